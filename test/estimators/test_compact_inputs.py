# SPDX-License-Identifier: Apache-2.0
"""Frames for the compact teacher, and its answers as depth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.estimators.learned.compact_inputs import (
    CHANNELS,
    FEWEST_PIXELS,
    MOST_PIXELS,
    MULTIPLE_PX,
    WIDEST_SPACING_PX,
    compact_input,
    fine_size,
    size_for,
)
from metric_depth_ros.estimators.learned.compact_output import confidence_of, depth_of
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.networks.compact_teacher import INPUT_CHANNELS, NEAREST_CHANNEL
from metric_depth_ros.types import CameraModel, Source, SparsePrompt

WIDTH, HEIGHT = 96, 64


def _image(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def _prompt(count: int = 40, scale: float = 1.0, source: Source = Source.LIDAR) -> SparsePrompt:
    rng = np.random.default_rng(2)
    uv = rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (count, 2)).astype(np.float32)
    depth = (scale * rng.uniform(2.0, 9.0, count)).astype(np.float32)
    return SparsePrompt(uv, depth, 0.01 * depth, np.full(count, source, np.uint8))


def _camera() -> CameraModel:
    return CameraModel.pinhole(WIDTH, HEIGHT, 80.0, 80.0, 47.5, 31.5)


def _channel(inputs: np.ndarray, name: str) -> np.ndarray:
    return inputs[CHANNELS.index(name)]


def test_the_network_has_as_many_inputs_as_there_are_channels():
    assert len(CHANNELS) == INPUT_CHANNELS
    assert CHANNELS[NEAREST_CHANNEL] == 'nearest_from_guess'


@given(st.integers(1, 8000), st.integers(1, 8000))
def test_the_fine_size_is_a_multiple_and_bounded(width, height):
    fine = fine_size(width, height)

    assert all(side >= MULTIPLE_PX and side % MULTIPLE_PX == 0 for side in fine)
    # Thin strips are rounded up to one multiple, every other image is near the bound.
    strip = MULTIPLE_PX * (max(width, height) + MULTIPLE_PX)
    assert fine[0] * fine[1] <= max(1.3 * MOST_PIXELS, strip)


def test_an_image_is_not_enlarged():
    assert fine_size(1242, 375) == (1216, 352)


def test_an_image_of_a_fitting_size_keeps_it():
    assert fine_size(1216, 352) == (1216, 352)


def _scattered(count: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform((0, 0), (width - 1, height - 1), (count, 2)).astype(np.float32)


def test_few_points_are_seen_at_a_lower_resolution():
    many, some, few = (
        size_for(1216, 352, _scattered(count, 1216, 352)) for count in (20_000, 800, 5)
    )

    assert many == (1216, 352)
    assert some[0] * some[1] == pytest.approx(800 * WIDEST_SPACING_PX**2, rel=0.15)
    assert few[0] * few[1] == pytest.approx(FEWEST_PIXELS, rel=0.1)


def test_scan_lines_far_apart_are_seen_at_a_lower_resolution_than_as_many_scattered_points():
    u, v = np.meshgrid(np.arange(0, 1216, 3), np.arange(10, 352, 32))
    lines = np.stack((u.ravel(), v.ravel()), axis=1).astype(np.float32)
    scattered = _scattered(len(lines), 1216, 352)

    assert size_for(1216, 352, lines)[0] < 0.7 * size_for(1216, 352, scattered)[0]


def test_a_small_image_keeps_its_size_with_any_number_of_points():
    sizes = {size_for(256, 192, _scattered(count, 256, 192)) for count in (1, 10_000)}

    assert sizes == {(256, 192)}


@pytest.mark.parametrize('size', [(1280, 384), (1216, 352), (640, 480), (3840, 2160), (64, 48)])
def test_in_halves_any_number_of_points_is_seen_at_one_of_four_sizes_near_its_own(size):
    prompts = [_scattered(count, *size) for count in (0, 1, *range(50, 5000, 150))]
    sizes = [size_for(*size, uv, in_halves=True) for uv in prompts]

    assert len(set(sizes)) <= 4
    for uv, (width, height) in zip(prompts, sizes, strict=True):
        own = size_for(*size, uv)
        assert width * height == pytest.approx(own[0] * own[1], rel=0.6)


@pytest.mark.parametrize('count', [1, 2, 40, 3000])
def test_channels_are_finite_for_any_number_of_points(count):
    prepared = compact_input(_image(), _prompt(count), _camera())

    assert prepared.inputs.shape == (len(CHANNELS), HEIGHT // 2, WIDTH // 2)
    assert np.isfinite(prepared.inputs).all()
    assert np.isfinite(prepared.guess).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100.0))
def test_a_scaled_prompt_changes_the_unit_and_nothing_else(scale):
    plain = compact_input(_image(), _prompt(), _camera())
    scaled = compact_input(_image(), _prompt(scale=scale), _camera())

    assert scaled.unit_m == pytest.approx(scale * plain.unit_m, rel=1e-5)
    np.testing.assert_allclose(scaled.inputs, plain.inputs, atol=1e-3)
    np.testing.assert_allclose(scaled.guess, plain.guess, atol=1e-3)


def test_the_guess_is_as_fine_as_the_image_and_its_details_are_channels():
    prepared = compact_input(_image(), _prompt(), _camera())

    coarse, inputs = _channel(prepared.inputs, 'guess'), prepared.inputs
    assert prepared.guess.shape == (1, HEIGHT, WIDTH)
    np.testing.assert_allclose(
        coarse + _channel(inputs, 'guess_10'), prepared.guess[0, 1::2, 0::2], atol=1e-6
    )


def test_exposure_and_contrast_hardly_change_the_channels_of_the_image():
    image = _image().astype(np.float32)
    darker = np.rint(0.5 * image + 20.0).astype(np.uint8)

    plain = compact_input(image.astype(np.uint8), _prompt(), _camera()).inputs[:12]
    dark = compact_input(darker, _prompt(), _camera()).inputs[:12]

    assert np.abs(plain - dark).mean() < 0.15


def test_an_unknown_camera_is_marked():
    assert (_channel(compact_input(_image(), _prompt(), None).inputs, 'ray_known') == 0.0).all()
    assert (_channel(compact_input(_image(), _prompt(), _camera()).inputs, 'ray_known') == 1).all()


def test_rays_point_where_the_camera_looks():
    inputs = compact_input(_image(), _prompt(), _camera()).inputs

    # Half-size pixel i covers pixels 2 i and 2 i + 1.
    u = 2.0 * np.arange(WIDTH // 2) + 0.5
    np.testing.assert_allclose(_channel(inputs, 'ray_x')[0], (u - 47.5) / 80.0, atol=1e-6)


def test_rays_go_through_the_lens():
    camera = CameraModel(
        WIDTH,
        HEIGHT,
        np.array([[32.0, 0.0, 47.5], [0.0, 32.0, 31.5], [0.0, 0.0, 1.0]]),
        Distortion('equidistant', (0.0, 0.0, 0.0, 0.0)),
    )
    inputs = compact_input(_image(), _prompt(), camera).inputs
    seen = _channel(inputs, 'ray_known') == 1
    row, column = np.nonzero(seen)
    uv = np.stack((2.0 * column + 0.5, 2.0 * row + 0.5), axis=1)
    slopes = camera.pixel_to_normalized(uv)
    for name, expected in zip(('ray_x', 'ray_y'), slopes.T, strict=True):
        np.testing.assert_allclose(_channel(inputs, name)[seen], expected.clip(-4, 4), rtol=1e-4)
    assert 0.5 < seen.mean() < 1.0  # farther out than 90 degrees there is no ray
    assert not _channel(inputs, 'ray_x')[~seen].any()


def test_radar_is_marked_where_its_points_are():
    inputs = compact_input(_image(), _prompt(source=Source.RADAR), _camera()).inputs

    np.testing.assert_array_equal(_channel(inputs, 'radar'), _channel(inputs, 'point'))


def _answer(value: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def test_depth_passes_near_a_clean_point():
    point = SparsePrompt(
        np.float32([[30.0, 20.0]]), np.float32([2.1]), np.float32([0.001]), np.uint8([1])
    )

    depth = depth_of(_answer(0.0), _answer(np.log(0.05)), point, 2.0, _image())

    assert depth[20, 30] == pytest.approx(2.1, rel=0.01)
    assert depth[50, 70] == pytest.approx(2.0, rel=1e-6)


def test_depth_ignores_a_point_that_is_far_off():
    point = SparsePrompt(
        np.float32([[30.0, 20.0]]), np.float32([9.0]), np.float32([0.001]), np.uint8([1])
    )

    depth = depth_of(_answer(0.0), _answer(np.log(0.02)), point, 2.0, _image())

    assert depth[20, 30] == pytest.approx(2.0, rel=0.01)


def _point(depth: float) -> SparsePrompt:
    return SparsePrompt(
        np.float32([[0.0, 0.0]]), np.float32([depth]), np.float32([0.001]), np.uint8([1])
    )


def test_nothing_is_farther_than_the_farthest_point():
    depth = depth_of(_answer(3.0), _answer(-3.0), _point(2.5), 2.0, _image())

    np.testing.assert_allclose(depth, 2.5, rtol=1e-5)


def test_residuals_of_points_lift_nothing_beyond_the_farthest_point():
    # At its farthest already beside a point that the answer is much nearer than.
    answer = _answer(np.log(3.0))
    answer[0, 0] = np.log(2.0)
    near = _point(3.0)

    depth = depth_of(answer, _answer(-1.0), near, 1.0, _image())

    assert depth.max() <= 3.0 * (1 + 1e-6)


def test_a_coarser_answer_is_enlarged_to_the_image():
    coarse = _answer(np.log(3.0), (HEIGHT // 2, WIDTH // 2))

    depth = depth_of(coarse, coarse - 5.0, _point(3.0), 1.0, _image())

    assert depth.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(depth, 3.0, rtol=1e-5)


def test_confidence_falls_with_the_expected_error_and_in_the_sky():
    shape = (HEIGHT, WIDTH)
    sure = confidence_of(_answer(np.log(0.01)), _answer(-20.0), shape)[0, 0]
    half = confidence_of(_answer(np.log(0.05)), _answer(-20.0), shape)[0, 0]
    sky = confidence_of(_answer(np.log(0.01)), _answer(20.0), shape)[0, 0]

    assert sure > half == pytest.approx(0.5, abs=1e-3)
    assert sky < 1e-3
