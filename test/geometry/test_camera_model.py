# SPDX-License-Identifier: Apache-2.0
"""`CameraModel` against OpenCV's own functions, and against itself."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion

K = np.array([[721.5, 0.0, 609.6], [0.0, 718.9, 172.9], [0.0, 0.0, 1.0]])
LENSES = {
    'plumb_bob': Distortion('plumb_bob', (-0.35, 0.14, 0.0008, -0.0011, -0.02)),
    'plumb_bob of four': Distortion('plumb_bob', (-0.28, 0.07, 0.0002, 0.0)),
    'rational_polynomial': Distortion(
        'rational_polynomial', (0.55, -2.6, 0.0006, -0.0003, 1.5, 0.43, -2.45, 1.43)
    ),
    'equidistant': Distortion('equidistant', (-0.011, 0.03, -0.022, 0.005)),
    'equidistant without terms': Distortion('equidistant', (0.0, 0.0, 0.0, 0.0)),
    'pinhole': Distortion(),
}
lenses = pytest.mark.parametrize('lens', LENSES.values(), ids=LENSES.keys())


def camera_with(lens: Distortion) -> CameraModel:
    return CameraModel(1242, 375, K, lens)


def visible_points(rng: np.random.Generator, count: int = 2000) -> np.ndarray:
    slopes = rng.uniform((-0.6, -0.4), (0.6, 0.4), (count, 2))
    depth = rng.uniform(0.5, 80.0, (count, 1))
    return np.hstack((slopes * depth, depth))


def opencv_pixels(lens: Distortion, xyz: np.ndarray) -> np.ndarray:
    origin = np.zeros(3)
    if lens.model == 'equidistant':
        coefficients = np.array(lens.coefficients)
        pixels, _ = cv2.fisheye.projectPoints(xyz[None], origin, origin, K, coefficients)
    else:
        coefficients = np.array(lens.coefficients or (0.0,) * 5)
        pixels, _ = cv2.projectPoints(xyz, origin, origin, K, coefficients)
    return pixels.reshape(-1, 2)


@lenses
def test_project_agrees_with_opencv(lens, rng):
    xyz = visible_points(rng)
    difference = camera_with(lens).project(xyz) - opencv_pixels(lens, xyz)
    assert np.abs(difference).max() < 1e-3


@lenses
def test_float32_projection_keeps_its_type_and_a_thousandth_of_a_pixel(lens, rng):
    xyz = visible_points(rng)
    pixels = camera_with(lens).project(xyz.astype(np.float32))
    assert pixels.dtype == np.float32
    assert np.abs(pixels - opencv_pixels(lens, xyz)).max() < 1e-3


@lenses
def test_unproject_inverts_project(lens, rng):
    xyz = visible_points(rng)
    camera = camera_with(lens)
    back = camera.unproject(camera.project(xyz), xyz[:, 2])
    np.testing.assert_allclose(back, xyz, atol=1e-6)


def test_undistortion_agrees_with_opencv(rng):
    lens = LENSES['plumb_bob']
    uv = rng.uniform((100, 20), (1100, 350), (500, 2))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)
    expected = (
        cv2.undistortPointsIter(
            uv[:, None], K, np.array(lens.coefficients), np.eye(3), K, criteria
        )
        if hasattr(cv2, 'undistortPointsIter')
        else cv2.undistortPoints(
            uv[:, None], K, np.array(lens.coefficients), R=np.eye(3), P=K, criteria=criteria
        )
    )
    ideal = camera_with(lens).pixel_to_normalized(uv)
    pixels = ideal * (K[0, 0], K[1, 1]) + (K[0, 2], K[1, 2])
    assert np.abs(pixels - expected[:, 0]).max() < 1e-3


@settings(deadline=None, max_examples=60)
@given(
    k1=st.floats(-0.4, 0.4),
    k2=st.floats(-0.15, 0.15),
    p1=st.floats(-0.002, 0.002),
    p2=st.floats(-0.002, 0.002),
)
def test_any_mild_lens_round_trips(k1, k2, p1, p2):
    camera = camera_with(Distortion('plumb_bob', (k1, k2, p1, p2)))
    u, v = np.meshgrid(np.linspace(0, 1241, 23), np.linspace(0, 374, 11))
    uv = np.stack((u, v), axis=-1)
    ideal = camera.pixel_to_normalized(uv)
    again = camera.normalized_to_pixel(ideal)
    reached = np.isfinite(ideal).all(axis=-1)
    assert reached.mean() > 0.55  # the strongest of these lenses folds over nearer to the corners
    assert np.abs(again - uv)[reached].max() < 1e-3


def test_points_at_or_behind_the_camera_have_no_pixel():
    xyz = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, -5.0], [0.0, 0.0, np.nan]])
    assert np.isnan(camera_with(Distortion()).project(xyz)).all()


def test_a_ray_beyond_the_fold_of_the_polynomial_has_no_pixel():
    # With k1 = -0.35 the radius shrinks again beyond r = 0.98: 60 degrees off axis would land
    # inside the image as a ghost.
    camera = camera_with(Distortion('plumb_bob', (-0.35, 0.0, 0.0, 0.0)))
    far_off_axis = np.array([[np.tan(np.radians(60.0)), 0.0, 1.0]]) * 10.0
    assert np.isnan(camera.project(far_off_axis)).all()
    assert np.isfinite(camera.project(np.array([[4.0, 0.0, 10.0]]))).all()


@pytest.mark.parametrize(
    'lens',
    [
        Distortion('plumb_bob', (1e-4, 0.0, 0.0, 0.0)),
        LENSES['equidistant without terms'],
        Distortion('equidistant', (0.02, -0.01, 0.004, -0.001)),
    ],
)
def test_the_rays_of_a_lens_end_85_degrees_off_its_axis(lens):
    slopes = np.tan(np.radians([84.0, 87.0, 89.9]))
    pixels = camera_with(lens).normalized_to_pixel(np.stack((slopes, 0.0 * slopes), axis=-1))
    np.testing.assert_array_equal(np.isfinite(pixels).all(axis=-1), [True, False, False])


def test_rectified_uses_P_and_drops_the_distortion():
    P = np.array([[650.0, 0.0, 600.0, -0.3], [0.0, 650.0, 180.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    camera = CameraModel(1242, 375, K, LENSES['plumb_bob'], P=P).rectified()
    assert camera.distortion.is_identity
    np.testing.assert_array_equal(camera.K, P[:, :3])


def test_crop_moves_the_principal_point(rng):
    camera = camera_with(LENSES['plumb_bob'])
    xyz = visible_points(rng, 50)
    cropped = camera.cropped(100, 40, 640, 240)
    assert cropped.size == (640, 240)
    np.testing.assert_allclose(cropped.project(xyz), camera.project(xyz) - (100, 40), atol=1e-9)


def test_resize_keeps_pixel_edges_in_place(rng):
    camera = camera_with(LENSES['rational_polynomial'])
    xyz = visible_points(rng, 50)
    resized = camera.resized(621, 125)
    edges = (camera.project(xyz) + 0.5) * (0.5, 1.0 / 3.0)
    np.testing.assert_allclose(resized.project(xyz) + 0.5, edges, atol=1e-9)


def test_resize_agrees_with_the_image_that_opencv_resizes():
    # A smooth blob's center of mass moves in the image as the camera says.
    camera = CameraModel.pinhole(160, 120, 100.0, 100.0, 80.0, 60.0)
    u, v = np.meshgrid(np.arange(160.0), np.arange(120.0))
    point = np.array([[0.13, -0.21, 1.0]])
    center = camera.project(point)[0]
    blob = np.exp(-((u - center[0]) ** 2 + (v - center[1]) ** 2) / 50.0)
    small = cv2.resize(blob, (80, 40), interpolation=cv2.INTER_AREA)
    us, vs = np.meshgrid(np.arange(80.0), np.arange(40.0))
    seen = np.array([(us * small).sum(), (vs * small).sum()]) / small.sum()
    np.testing.assert_allclose(camera.resized(80, 40).project(point)[0], seen, atol=1e-3)


def test_binning_follows_rep_104():
    binned = CameraModel.pinhole(640, 480, 500.0, 510.0, 320.0, 240.0).binned(2, 4)
    assert binned.size == (320, 120)
    np.testing.assert_allclose(binned.K[[0, 1], [0, 1]], (250.0, 127.5))
    np.testing.assert_allclose(binned.K[:2, 2], (160.0, 60.0))


def test_equal_cameras_compare_and_hash_equal():
    first, second = camera_with(LENSES['plumb_bob']), camera_with(LENSES['plumb_bob'])
    assert first == second
    assert hash(first) == hash(second)
    assert first != camera_with(Distortion())


def test_intrinsics_cannot_be_changed_in_place():
    camera = camera_with(Distortion())
    with pytest.raises(ValueError, match='read-only'):
        camera.K[0, 0] = 1.0


@pytest.mark.parametrize(
    ('change', 'fault', 'words'),
    [
        ({'width': 0}, 'camera_size', 'width is 0'),
        ({'height': 2**31}, 'camera_size', 'height is 2147483648'),
        ({'K': np.zeros((3, 3))}, 'camera_uncalibrated', 'not calibrated'),
        ({'K': np.full((3, 3), np.nan)}, 'camera_matrix', 'not finite'),
        ({'K': np.eye(2)}, 'camera_matrix', '4 values'),
    ],
)
def test_an_impossible_camera_is_refused_by_name(change, fault, words):
    with pytest.raises(InputError, match=words) as caught:
        CameraModel(**{'width': 64, 'height': 48, 'K': K, **change})
    assert caught.value.fault == fault


@pytest.mark.parametrize(
    ('model', 'coefficients', 'words'),
    [
        ('thin_prism', (), 'not supported'),
        ('plumb_bob', (0.1, 0.2), 'takes 0 or 4 or 5'),
        ('equidistant', (np.nan,) * 4, 'finite'),
    ],
)
def test_an_impossible_lens_is_refused_by_name(model, coefficients, words):
    with pytest.raises(InputError, match=words):
        Distortion(model, coefficients)


@pytest.mark.parametrize('name', LENSES)
def test_one_pixel_alone_has_its_ray(name):
    camera = camera_with(LENSES[name])
    pixel = np.array([700.0, 200.0])
    np.testing.assert_array_equal(
        camera.pixel_to_normalized(pixel), camera.pixel_to_normalized(pixel[None])[0]
    )
