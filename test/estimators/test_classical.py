# SPDX-License-Identifier: Apache-2.0
"""Behavior of the training-free completion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.estimators.classical import PRESETS, complete
from metric_depth_ros.estimators.classical.grid import make_grid
from metric_depth_ros.estimators.classical.layout import nearest_per_pixel, pixel_index, spacing
from metric_depth_ros.estimators.classical.smoothing import make_smoother
from metric_depth_ros.estimators.classical.surface import _close_gaps

HEIGHT, WIDTH = 96, 160

PATTERNS = {
    'one point': np.array([[80, 40]]),
    'two points': np.array([[10, 10], [150, 90]]),
    'random 10': np.random.default_rng(0).integers(0, (WIDTH, HEIGHT), (10, 2)),
    'random 500': np.random.default_rng(1).integers(0, (WIDTH, HEIGHT), (500, 2)),
    'scan lines': np.stack(np.meshgrid(np.arange(WIDTH), [20, 45, 70]), -1).reshape(-1, 2),
    'grid of 8': np.stack(
        np.meshgrid(np.arange(4, WIDTH, 8), np.arange(4, HEIGHT, 8)), -1
    ).reshape(-1, 2),
    'full': np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1).reshape(-1, 2),
    'with a hole': np.stack(np.meshgrid(np.arange(WIDTH), np.arange(40)), -1).reshape(-1, 2),
    'one corner': np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2),
}


def textured_image(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3))
    return cv2.resize(noise.astype(np.uint8), (WIDTH, HEIGHT))


def flat_image() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def slanted_plane() -> np.ndarray:
    """Depth of a plane in space, 2 m to 5 m: linear in inverse depth."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    return (1.0 / (0.2 + 0.1 * x + 0.2 * y)).astype(np.float32)


def step_scene() -> tuple[np.ndarray, np.ndarray]:
    """Wall at 6 m left and at 2 m right, with the same edge in the image."""
    depth = np.full((HEIGHT, WIDTH), 6.0, np.float32)
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    depth[:, 83:] = 2.0
    image[:, 83:] = 190
    return image, depth


def ask(image, depth_map, uv, preset='quality'):
    """Complete the samples of a depth map at `uv`."""
    uv = np.asarray(uv, np.float32)
    index = uv.astype(int)
    depth = depth_map[index[:, 1], index[:, 0]].astype(np.float32)
    return complete(image, uv, depth, 0.001 * depth, preset)


@pytest.mark.parametrize('preset', list(PRESETS))
@pytest.mark.parametrize('pattern', list(PATTERNS))
def test_every_pixel_is_filled(pattern, preset):
    depth, confidence = ask(textured_image(), slanted_plane(), PATTERNS[pattern], preset)
    assert depth.shape == confidence.shape == (HEIGHT, WIDTH)
    assert depth.dtype == confidence.dtype == np.float32
    assert np.isfinite(depth).all()
    assert (depth > 0).all()


@pytest.mark.parametrize('preset', list(PRESETS))
@pytest.mark.parametrize('pattern', list(PATTERNS))
def test_confidence_is_a_share(pattern, preset):
    _, confidence = ask(textured_image(), slanted_plane(), PATTERNS[pattern], preset)
    assert np.isfinite(confidence).all()
    assert confidence.min() >= 0.0
    assert confidence.max() <= 1.0


@pytest.mark.parametrize('preset', list(PRESETS))
@pytest.mark.parametrize('make_image', [flat_image, textured_image])
def test_slanted_plane_is_reproduced(make_image, preset):
    truth = slanted_plane()
    corners = [[0, 0], [WIDTH - 1, 0], [0, HEIGHT - 1], [WIDTH - 1, HEIGHT - 1]]
    uv = np.concatenate([corners, PATTERNS['random 500'][:40]])
    depth, _ = ask(make_image(), truth, uv, preset)
    np.testing.assert_allclose(depth, truth, rtol=1e-3)


@pytest.mark.parametrize('preset', list(PRESETS))
@pytest.mark.parametrize('pattern', ['random 10', 'grid of 8', 'scan lines'])
def test_surface_passes_through_clean_points(pattern, preset):
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    truth = 3.0 + 0.3 * np.sin(x / 30.0) * np.cos(y / 20.0)
    uv = PATTERNS[pattern]
    depth, _ = ask(flat_image(), truth, uv, preset)
    error = np.abs(depth / truth - 1.0)[uv[:, 1], uv[:, 0]]
    assert error.max() < 0.01


@pytest.mark.parametrize('factor', [1e-3, 0.1, 40.0])
def test_result_scales_with_the_prompt(factor):
    image, (uv, truth) = textured_image(), (PATTERNS['random 500'], slanted_plane())
    reference, reference_confidence = ask(image, truth, uv)
    depth, confidence = ask(image, factor * truth, uv)
    np.testing.assert_allclose(depth, factor * reference, rtol=1e-3)
    np.testing.assert_allclose(confidence, reference_confidence, atol=1e-3)


@pytest.mark.parametrize('preset', list(PRESETS))
def test_image_edge_is_respected(preset):
    image, truth = step_scene()
    uv = PATTERNS['random 500'][:60]
    guided, _ = ask(image, truth, uv, preset)
    unguided, _ = ask(flat_image(), truth, uv, preset)
    assert np.abs(guided - truth).mean() < 0.5 * np.abs(unguided - truth).mean()


def test_point_seen_past_an_edge_does_not_spread():
    uv = PATTERNS['grid of 8']
    depth = np.full(len(uv), 4.0, np.float32)
    depth[len(uv) // 2] = 40.0
    filled, _ = complete(flat_image(), uv.astype(np.float32), depth, 0.01 * depth)
    assert np.mean(filled > 4.4) < 0.002


def test_result_stays_within_the_range_of_the_prompt():
    uv = PATTERNS['random 10']
    truth = slanted_plane()
    depth, _ = ask(textured_image(), truth, uv)
    sampled = truth[uv[:, 1], uv[:, 0]]
    assert depth.min() >= sampled.min() * (1 - 1e-6)
    assert depth.max() <= sampled.max() * (1 + 1e-6)


def test_noise_is_averaged_when_sigma_tells_of_it():
    uv = PATTERNS['grid of 8'].astype(np.float32)
    noise = np.random.default_rng(0).normal(0.0, 0.05, len(uv))
    depth = (3.0 * (1.0 + noise)).astype(np.float32)
    trusting, _ = complete(flat_image(), uv, depth, 1e-4 * depth)
    wary, _ = complete(flat_image(), uv, depth, 0.05 * depth)
    assert np.abs(wary - 3.0).mean() < 0.8 * np.abs(trusting - 3.0).mean()


@pytest.mark.parametrize('preset', list(PRESETS))
def test_empty_prompt_gives_no_depth(preset):
    nothing = np.zeros(0, np.float32)
    depth, confidence = complete(flat_image(), nothing.reshape(0, 2), nothing, nothing, preset)
    assert np.isnan(depth).all()
    assert (confidence == 0).all()


def test_one_point_gives_its_depth_everywhere():
    depth, _ = ask(textured_image(), slanted_plane(), PATTERNS['one point'])
    np.testing.assert_allclose(depth, slanted_plane()[40, 80], rtol=1e-5)


def test_nearest_of_the_points_of_one_pixel_counts():
    uv = np.array([[5, 5], [5, 5], [5.3, 4.8], [20, 9]], np.float32)
    kept = nearest_per_pixel(uv, np.array([3, 2, 9, 4], np.float32), (10, 30))
    assert sorted(kept) == [1, 3]


def test_duplicates_behind_change_nothing():
    uv = PATTERNS['random 500'][:100].astype(np.float32)
    depth = slanted_plane()[uv[:, 1].astype(int), uv[:, 0].astype(int)]
    alone, _ = complete(textured_image(), uv, depth, 0.01 * depth)
    doubled, _ = complete(
        textured_image(),
        np.concatenate([uv, uv]),
        np.concatenate([depth, 3 * depth]),
        np.concatenate([0.01 * depth, 0.03 * depth]),
    )
    np.testing.assert_array_equal(doubled, alone)


def test_order_of_the_points_does_not_matter():
    uv = np.unique(PATTERNS['random 500'], axis=0)
    shuffled = np.random.default_rng(3).permutation(uv)
    first, _ = ask(textured_image(), slanted_plane(), uv)
    second, _ = ask(textured_image(), slanted_plane(), shuffled)
    np.testing.assert_array_equal(first, second)


def test_confidence_falls_with_the_distance_to_the_points():
    uv = PATTERNS['grid of 8']
    _, confidence = ask(flat_image(), slanted_plane(), uv[uv[:, 0] < WIDTH // 2])
    assert confidence[:, : WIDTH // 2].mean() > 2.0 * confidence[:, -WIDTH // 4 :].mean()


def test_confidence_falls_behind_an_image_edge():
    image, truth = step_scene()
    uv = PATTERNS['grid of 8']
    uv = uv[uv[:, 0] < 83]
    _, edge = ask(image, truth, uv)
    _, no_edge = ask(flat_image(), truth, uv)
    assert edge[:, 84:90].mean() < no_edge[:, 84:90].mean()


def test_confidence_falls_with_sigma():
    uv = PATTERNS['grid of 8'].astype(np.float32)
    depth = np.full(len(uv), 3.0, np.float32)
    _, sure = complete(flat_image(), uv, depth, 0.001 * depth)
    _, unsure = complete(flat_image(), uv, depth, 0.1 * depth)
    assert (unsure < sure).all()


def test_confidence_falls_where_points_disagree():
    uv = PATTERNS['grid of 8'].astype(np.float32)
    depth = np.full(len(uv), 3.0, np.float32)
    messy = uv[:, 0] > WIDTH / 2
    depth[messy] *= np.random.default_rng(0).uniform(0.5, 1.5, messy.sum())
    _, confidence = complete(flat_image(), uv, depth, 0.01 * depth)
    assert confidence[:, : WIDTH // 3].mean() > 2.0 * confidence[:, -WIDTH // 3 :].mean()


@pytest.mark.parametrize('sigma', [1.5, np.inf])
def test_a_point_without_a_say_in_the_depth_leaves_the_confidence_around_it(sigma):
    uv = PATTERNS['grid of 8'].astype(np.float32)
    depth = np.full(len(uv), 3.0, np.float32)
    known, sure = complete(flat_image(), uv, depth, 0.01 * depth)
    filled, confidence = complete(
        flat_image(),
        np.append(uv, np.float32([[81, 49]]), axis=0),
        np.append(depth, np.float32(3.3)),
        np.append(0.01 * depth, np.float32(sigma)),
    )
    np.testing.assert_allclose(filled, known, rtol=2e-3)
    assert (confidence > 0.95 * sure).all()


def test_a_wide_image_is_filled_as_well_at_its_border_as_a_narrow_one():
    height, width, narrow = 120, 3840, 960
    y, x = np.mgrid[:height, :width].astype(np.float64)
    inverse = 0.3 + 0.1 * np.sin(x / 90) * np.cos(y / 70) + 0.05 * np.sin((x + y) / 37)
    image = np.repeat((128 + 300 * (inverse - 0.3)).astype(np.uint8)[..., None], 3, axis=2)
    truth = (1.0 / inverse).astype(np.float32)
    measured = np.random.default_rng(1).random((height, width)) < 0.3
    measured[30:90, np.arange(width) % 80 >= 50] = False
    row, column = np.nonzero(measured)

    def border_error(from_column):
        seen = column >= from_column
        uv = np.stack((column[seen] - from_column, row[seen]), axis=1)
        filled, _ = ask(image[:, from_column:], truth[:, from_column:], uv)
        return np.abs(filled / truth[:, from_column:] - 1.0)[:, -narrow // 2 :].mean()

    assert border_error(0) < 1.1 * border_error(width - narrow)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    count=st.integers(1, 60),
    preset=st.sampled_from(list(PRESETS)),
    seed=st.integers(0, 2**16),
)
def test_any_size_and_any_prompt_is_filled_within_range(height, width, count, preset, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    uv = rng.integers(0, (width, height), (count, 2)).astype(np.float32)
    depth = np.exp(rng.uniform(-4, 6, count)).astype(np.float32)
    sigma = (depth * rng.uniform(0, 0.5, count)).astype(np.float32)
    filled, confidence = complete(image, uv, depth, sigma, preset)
    assert filled.shape == confidence.shape == (height, width)
    assert (filled >= depth.min() * (1 - 1e-5)).all()
    assert (filled <= depth.max() * (1 + 1e-5)).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_unknown_preset_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"'best'.*quality, fast"):
        ask(flat_image(), slanted_plane(), PATTERNS['one point'], 'best')


def test_arrays_that_do_not_fit_are_refused():
    one = np.ones(1, np.float32)
    with pytest.raises(ValueError, match=r'uv \(2, 2\)'):
        complete(flat_image(), np.zeros((2, 2), np.float32), one, one)


def test_gray_image_is_refused():
    one = np.ones(1, np.float32)
    with pytest.raises(ValueError, match=r'uint8 \(96, 160\)'):
        complete(flat_image()[..., 0], np.zeros((1, 2), np.float32), one, one)


@pytest.mark.parametrize('value', [0.0, -1.0, np.nan, np.inf])
def test_unusable_depth_is_refused(value):
    bad = np.array([value], np.float32)
    with pytest.raises(ValueError, match='finite meters above 0'):
        complete(flat_image(), np.zeros((1, 2), np.float32), bad, np.ones(1, np.float32))


def test_input_is_left_alone():
    image, uv = textured_image(), PATTERNS['random 500'].astype(np.float32)
    depth = np.linspace(1, 2, len(uv), dtype=np.float32)
    sigma = 0.01 * depth
    copies = [a.copy() for a in (image, uv, depth, sigma)]
    complete(image, uv, depth, sigma)
    for array, copy in zip((image, uv, depth, sigma), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_spacing_of_a_grid_is_its_step():
    uv = PATTERNS['grid of 8'].astype(np.float32)
    gap = spacing(pixel_index(uv, (HEIGHT, WIDTH)), (HEIGHT, WIDTH))
    assert gap == pytest.approx((8.0, 8.0), rel=0.05)


def test_spacing_of_scan_lines_is_shorter_along_the_line():
    uv = PATTERNS['scan lines'].astype(np.float32)
    along, across = spacing(pixel_index(uv, (HEIGHT, WIDTH)), (HEIGHT, WIDTH))
    assert across > 4 * along


def test_smoother_keeps_the_sum_and_does_not_cross_a_strong_edge():
    image, _ = step_scene()
    impulse = np.zeros((1, HEIGHT, WIDTH), np.float32)
    impulse[0, 50, 70] = 1.0
    smooth = make_smoother(image).smooth(impulse, (20.0, 20.0), rounds=2)[0]
    assert smooth.sum() == pytest.approx(1.0, rel=1e-4)
    assert smooth.min() >= 0.0
    assert smooth[:, 83:].sum() < 0.01


def load_group(shared: Path, set_name: str, prompt: str):
    """Frames of one set as (image, uv, depth, truth, valid), and the best baseline's AbsRel."""
    folder = shared / 'data' / set_name
    rows = json.loads((shared / 'data' / 'baselines.json').read_text())
    best = min(
        row['all'][0]
        for row in rows
        if (row['set'], row['prompt'], row['empty_images']) == (set_name, prompt, 0)
    )
    frames = []
    for frame in json.loads((folder / 'frames.json').read_text())['frames']:
        image = cv2.imread(str(folder / frame['image']))[..., ::-1].copy()
        entry, truth = frame['prompts'][prompt], frame['gt']
        metric = cv2.imread(str(folder / entry['path']), -1) * np.float32(entry['scale'])
        row, column = np.nonzero(metric)
        path = folder / truth['path']
        target = np.load(path)['depth'] if path.suffix == '.npz' else cv2.imread(str(path), -1)
        target = target * np.float32(truth['scale'])
        valid = (target >= truth['min_m']) & (target <= truth['max_m'])
        uv = np.stack([column, row], axis=1).astype(np.float32)
        frames.append((image, uv, metric[row, column], target, valid))
    return frames, best


@pytest.mark.parametrize(
    ('set_name', 'prompt', 'preset', 'share'),
    [
        ('ibims_dense', 'random100', 'quality', 0.75),
        ('ibims_dense', 'lidar8', 'quality', 0.90),
        ('kitti_depthgt', 'random500', 'quality', 0.97),
        ('kittidc', 'random25pct', 'quality', 0.88),
        ('kittidc', 'random25pct', 'fast', 0.97),
        ('nyu', 'lowres8', 'quality', 0.97),
        ('nyu', 'lidar8', 'fast', 0.90),
    ],
)
def test_error_stays_below_the_best_baseline(shared, set_name, prompt, preset, share):
    frames, best = load_group(shared, set_name, prompt)
    errors = []
    for image, uv, depth, target, valid in frames:
        filled, _ = complete(image, uv, depth, 0.02 + 0.005 * depth, preset)
        errors.append(np.mean(np.abs(filled - target)[valid] / target[valid]))
    assert np.mean(errors) < share * best


def test_a_wide_far_region_between_few_points_stays_open():
    far = np.full((8, 400), 0.5, np.float32)
    far[:, 100:300] = 0.1  # of inverse depth; wider than what is closed whatever the spacing
    grid = make_grid(
        np.zeros((8, 400, 3), np.uint8), np.zeros((1, 2), np.float32), 1.0, (1.0, 1.0)
    )
    np.testing.assert_allclose(
        _close_gaps(far, replace(grid, spacing=(900.0, 1.0))), far, atol=1e-6
    )
