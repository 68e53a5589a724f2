# SPDX-License-Identifier: Apache-2.0
"""CameraInfo codec: REP-104's region of interest and binning, rectified images, bad values."""

from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.camera_info import camera_from_info, camera_to_fields
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.types import CameraModel

FULL = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def info(**values):
    base = {
        'width': 640,
        'height': 480,
        'distortion_model': 'plumb_bob',
        'd': [0.1, -0.05, 0.001, -0.002, 0.01],
        'k': [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
        'r': np.eye(3).ravel(),
        'p': [450.0, 0.0, 310.0, 0.0, 0.0, 450.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        'binning_x': 0,
        'binning_y': 0,
        'roi': FULL,
    }
    return SimpleNamespace(**{**base, **values})


def test_calibration_survives_a_round_trip():
    camera = camera_from_info(info())
    fields = camera_to_fields(camera)
    again = SimpleNamespace(**vars(info()) | {n: getattr(fields, n) for n in ('k', 'd', 'r', 'p')})
    assert camera_from_info(again) == camera


def test_raw_image_takes_k_and_distortion():
    camera = camera_from_info(info())
    assert camera.K[0, 0] == 500.0
    assert camera.distortion.coefficients[0] == 0.1


def test_rectified_image_takes_p_and_no_distortion():
    camera = camera_from_info(info(k=[0.0] * 9), rectified=True)
    assert camera.K[0, 0] == 450.0
    assert camera.distortion.is_identity


def test_region_of_interest_is_cut_before_binning():
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=200, do_rectify=False)
    camera = camera_from_info(info(roi=roi, binning_x=2, binning_y=4))
    assert camera.size == (200, 50)
    np.testing.assert_allclose(camera.K[0], [250.0, 0.0, 110.0])
    np.testing.assert_allclose(camera.K[1], [0.0, 127.5, 50.0])


def test_region_of_interest_applies_to_p_too():
    roi = SimpleNamespace(x_offset=10, y_offset=20, width=100, height=100, do_rectify=False)
    camera = camera_from_info(info(roi=roi), rectified=True)
    np.testing.assert_allclose(camera.K[:2, 2], [300.0, 215.0])


@pytest.mark.parametrize('binning', [0, 1])
def test_binning_of_zero_and_one_mean_none(binning):
    assert camera_from_info(info(binning_x=binning, binning_y=binning)).size == (640, 480)


def test_zero_r_and_p_of_monocular_drivers_are_taken_as_absent():
    camera = camera_from_info(info(r=[0.0] * 9, p=[0.0] * 12))
    np.testing.assert_array_equal(camera.R, np.eye(3))
    assert camera.P[0, 0] == 500.0


def test_missing_model_name_means_no_distortion():
    assert camera_from_info(info(distortion_model='', d=[])).distortion.is_identity


@pytest.mark.parametrize('count', [0, 4, 5, 8, 14])
def test_any_number_of_zero_coefficients_is_a_pinhole(count):
    camera = camera_from_info(info(d=[0.0] * count))
    assert camera.distortion.coefficients == ()


@pytest.mark.parametrize('model', ['none', 'None', 'ideal', ''])
@pytest.mark.parametrize('count', [0, 5])
def test_a_lens_without_coefficients_may_be_called_none(model, count):
    camera = camera_from_info(info(distortion_model=model, d=[0.0] * count))
    assert camera.distortion == Distortion()


@pytest.mark.parametrize('model', ['none', 'ideal'])
def test_a_lens_called_none_that_has_coefficients_is_refused(model):
    with pytest.raises(InputError, match=f'{model!r} is not supported') as refusal:
        camera_from_info(info(distortion_model=model, d=[0.1, 0.0, 0.0, 0.0, 0.0]))
    assert refusal.value.fault == 'distortion_model'


FISHEYE = (-0.0093, 0.0462, -0.0434, 0.008)


@pytest.mark.parametrize('terms', [FISHEYE, (0.0,) * 4])
@pytest.mark.parametrize('zeros', [0, 1, 4])
def test_a_fisheye_may_have_zeros_after_its_four_coefficients(terms, zeros):
    camera = camera_from_info(info(distortion_model='equidistant', d=[*terms, *[0.0] * zeros]))
    assert camera.distortion == Distortion('equidistant', terms)


def test_a_fisheye_of_more_than_four_terms_is_refused():
    with pytest.raises(InputError, match=r'takes 0 or 4 .* got 5') as refusal:
        camera_from_info(info(distortion_model='equidistant', d=[*FISHEYE, 0.001]))
    assert refusal.value.fault == 'distortion_coefficients'


BROWN_CONRADY = (0.1, -0.05, 0.001, -0.002, 0.01)
RATIONAL = (*BROWN_CONRADY, 0.4, -0.03, 0.002)


@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial', ''])
@pytest.mark.parametrize(
    ('d', 'lens'),
    [
        (BROWN_CONRADY[:2], Distortion('plumb_bob', (0.1, -0.05, 0.0, 0.0, 0.0))),
        (BROWN_CONRADY[:4], Distortion('plumb_bob', (*BROWN_CONRADY[:4], 0.0))),
        ((*BROWN_CONRADY, 0.0, 0.0, 0.0), Distortion('plumb_bob', BROWN_CONRADY)),
        (RATIONAL[:6], Distortion('rational_polynomial', (*RATIONAL[:6], 0.0, 0.0))),
        (RATIONAL, Distortion('rational_polynomial', RATIONAL)),
        ((*RATIONAL, 0.0, 0.0, 0.0, 0.0), Distortion('rational_polynomial', RATIONAL)),
        ((*RATIONAL, *[0.0] * 6), Distortion('rational_polynomial', RATIONAL)),
    ],
)
def test_the_values_tell_the_polynomial_lens_whatever_the_driver_calls_it(model, d, lens):
    assert camera_from_info(info(distortion_model=model, d=d)).distortion == lens


@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial'])
def test_terms_of_thin_prisms_and_tilt_are_refused_with_the_way_out(model):
    with pytest.raises(InputError, match=r'after the first 8 .*camera\.rectified') as refusal:
        camera_from_info(info(distortion_model=model, d=[*RATIONAL, 0.0, 1e-4, 0.0, 0.0]))
    assert refusal.value.fault == 'distortion_coefficients'


@pytest.mark.parametrize(
    ('model', 'count'), [('plumb_bob', 5), ('rational_polynomial', 8), ('equidistant', 4)]
)
def test_fields_have_the_coefficients_of_their_model(model, count):
    camera = camera_from_info(info(distortion_model=model, d=[0.01] * count))
    fields = camera_to_fields(camera)
    assert fields.distortion_model == model
    assert fields.d == (0.01,) * count


def test_ideal_pinhole_is_written_as_five_zeros():
    fields = camera_to_fields(CameraModel.pinhole(64, 48, 50.0, 50.0, 32.0, 24.0))
    assert fields.d == (0.0,) * 5
    assert fields.p[0] == 50.0


@pytest.mark.parametrize(
    ('fault', 'bad'),
    [
        ('camera_uncalibrated', info(k=[0.0] * 9)),
        ('camera_size', info(width=0)),
        ('camera_size', info(height=2**31)),
        ('camera_matrix', info(k=[np.nan] + [1.0] * 8)),
        ('distortion_model', info(distortion_model='thin_prism')),
        ('distortion_coefficients', info(distortion_model='equidistant', d=[0.1, 0.2])),
        ('distortion_coefficients', info(d=[np.inf] * 5)),
        (
            'camera_roi',
            info(roi=SimpleNamespace(x_offset=600, y_offset=0, width=100, height=10)),
        ),
    ],
)
def test_bad_calibration_is_refused_by_name(fault, bad):
    with pytest.raises(InputError) as refusal:
        camera_from_info(bad)
    assert refusal.value.fault == fault


def test_a_rectified_image_without_p_is_refused_with_what_is_missing():
    with pytest.raises(InputError, match=r'CameraInfo\.p\[0\] is 0.*camera\.rectified') as refusal:
        camera_from_info(info(p=[0.0] * 12), rectified=True)
    assert refusal.value.fault == 'camera_uncalibrated'
    assert 'of a depth camera: prompt.depth_rectified' in str(refusal.value)


@pytest.mark.parametrize('binning', [(1000, 0), (0, 481)])
def test_a_binning_of_more_pixels_than_there_are_is_refused_as_such(binning):
    with pytest.raises(InputError, match=r'CameraInfo\.binning is .* 640x480') as refusal:
        camera_from_info(info(binning_x=binning[0], binning_y=binning[1]))
    assert refusal.value.fault == 'camera_binning'
