# SPDX-License-Identifier: Apache-2.0
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.evaluation.benchmarks.catalog import benchmark
from metric_depth_ros.evaluation.benchmarks.families import (
    BOUNDARIES,
    METRIC,
    MONOCULAR,
    boundary_score,
    geometry_score,
    geometry_tasks,
    metric_score,
    sampled_tasks,
)
from metric_depth_ros.evaluation.benchmarks.moge_view import moge_view, nearest_resized
from metric_depth_ros.evaluation.benchmarks.prompts import BLOCK_LEVELS, SAMPLED, masked_blocks
from metric_depth_ros.evaluation.benchmarks.protocol import Item, Score
from metric_depth_ros.evaluation.benchmarks.records import (
    Record,
    RecordFile,
    check_settings,
    read_records,
)
from metric_depth_ros.evaluation.benchmarks.result import summarize
from metric_depth_ros.evaluation.benchmarks.run import Share, answer, seed_of
from metric_depth_ros.evaluation.metrics import ErrorSums, error_sums
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.types import CameraModel, DepthEstimate

SHAPE = (120, 160)


@pytest.fixture
def item() -> Item:
    """A slanted plane, seen by a camera whose principal point is not in the middle."""
    camera = CameraModel.pinhole(160, 120, 150.0, 150.0, 70.0, 66.0)
    v, u = np.mgrid[:120, :160]
    depth = 1.0 / (0.25 + 0.0005 * (u - 80) + 0.0008 * (v - 60))
    image = np.repeat((u[..., None] % 256).astype(np.uint8), 3, axis=2)
    return Item('plane', image, depth.astype(np.float32), camera)


def test_the_centered_view_keeps_the_geometry(item: Item) -> None:
    seen = moge_view(128, 96)(item)
    assert seen.image.shape == (96, 128, 3)
    assert seen.camera.K[0, 2] == pytest.approx(63.5)
    assert seen.camera.K[0, 0] == pytest.approx(seen.camera.K[1, 1])
    assert np.isfinite(seen.depth).mean() > 0.99
    # Turned about the camera's center: the plane keeps its distance from it.
    for one, other in ((item, seen),):
        planes = []
        for part in (one, other):
            points = depth_to_points(part.camera, part.depth).reshape(-1, 3).astype(np.float64)
            points = points[np.isfinite(points).all(axis=1)]
            normal, *_ = np.linalg.lstsq(points, np.ones(len(points)), rcond=None)
            planes.append(1.0 / np.linalg.norm(normal))
        assert planes[1] == pytest.approx(planes[0], rel=2e-3)


def test_a_centered_image_of_the_size_stays_as_it_is(item: Item) -> None:
    camera = CameraModel.pinhole(160, 120, 150.0, 150.0, 79.5, 59.5)
    centered = Item('plane', item.image, item.depth, camera)
    seen = moge_view(160, 120)(centered)
    np.testing.assert_array_equal(seen.image, item.image)
    np.testing.assert_allclose(seen.depth, item.depth, rtol=1e-5)
    np.testing.assert_allclose(seen.camera.K, camera.K)


def test_depth_beyond_1000_times_the_first_percentile_does_not_count(item: Item) -> None:
    depth = item.depth.copy()
    depth[60, 80] = 1e5
    camera = CameraModel.pinhole(160, 120, 150.0, 150.0, 79.5, 59.5)
    seen = moge_view(160, 120)(Item('plane', item.image, depth, camera))
    assert np.isnan(seen.depth[60, 80])
    assert np.isfinite(seen.depth).sum() == seen.depth.size - 1


def test_nearest_resizing_finds_what_a_cell_has() -> None:
    depth = np.full((8, 8), np.nan, np.float32)
    depth[1, 6] = 3.0
    small = nearest_resized(depth, (2, 2))
    assert small[0, 1] == 3.0
    assert np.isnan(small).sum() == 3


def test_an_image_shrinks_to_the_levels_that_pillow_gives(rng: np.random.Generator) -> None:
    """Of black and white pixels: the rounding between the two directions shows."""
    camera = CameraModel.pinhole(320, 240, 300.0, 300.0, 159.5, 119.5)
    image = rng.choice(np.array([0, 255], np.uint8), (240, 320, 3))
    seen = moge_view(160, 120)(Item('edges', image, np.ones((240, 320), np.float32), camera))
    expected = Image.fromarray(image).resize((160, 120), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(seen.image, np.asarray(expected))


@pytest.mark.parametrize('name', SAMPLED)
def test_sampled_prompts_are_the_depth_of_their_pixels(item: Item, name: str) -> None:
    prompt = SAMPLED[name](item, 3)
    column, row = prompt.uv.T.astype(int)
    assert len(prompt) > 20
    # Cells are put where they begin, as published: a slant is off by up to a cell.
    tolerance = {'8x': 0.06, '16x': 0.12}.get(name, 1e-6)
    np.testing.assert_allclose(prompt.depth, item.depth[row, column], rtol=tolerance)
    assert len(SAMPLED['Extreme'](item, 3)) == 100


@pytest.mark.parametrize('known', [0, 1, 4])
@pytest.mark.parametrize('task', sampled_tasks(), ids=lambda task: task.name)
def test_an_image_with_too_little_ground_truth_to_sample_counts_as_one_without(
    item: Item, task, known: int
) -> None:
    depth = np.full_like(item.depth, np.nan)
    depth.reshape(-1)[:known] = 2.0
    record = answer(replace(item, depth=depth), task, NearestFill())
    assert record.score.sums == ErrorSums()
    assert math.isnan(record.score.figures['abs_rel'])


@pytest.mark.parametrize('task', sampled_tasks(), ids=lambda task: task.name)
def test_an_image_smaller_than_a_cell_has_a_score(task) -> None:
    camera = CameraModel.pinhole(9, 7, 9.0, 9.0, 4.0, 3.0)
    tiny = Item('tiny', np.zeros((7, 9, 3), np.uint8), np.full((7, 9), 2.0, np.float32), camera)
    assert answer(tiny, task, NearestFill()).score.sums.pixels == 63


def test_a_farther_answer_never_scores_better_in_metric_depth(item: Item) -> None:
    answers = [np.full_like(item.depth, far) for far in (900.0, 1000.0, 5000.0, 3e38, np.inf)]
    errors = [metric_score(DepthEstimate(a), item).figures['abs_rel'] for a in answers]
    assert errors[0] < errors[1] == errors[2] == errors[3] == errors[4]
    missing = metric_score(DepthEstimate(np.full_like(item.depth, np.nan)), item)
    assert missing.sums.failures == missing.sums.pixels


@pytest.mark.parametrize('name', ['booster', 'eth3d', 'middlebury', 'nuscenes', 'sintel', 'sun'])
def test_metric_depth_ends_at_1000_m_in_every_data_set_of_its_table(name: str) -> None:
    (task,) = (task for task in benchmark(name).tasks if task.name == METRIC)
    assert task.score is metric_score
    tables = [t for t in benchmark(name).tables if 'metric depth' in t.title]
    assert len(tables) == 2
    assert all('count as 1000 m' in table.note for table in tables)


def test_a_figure_of_some_images_only_is_said(item: Item) -> None:
    found = geometry_score(DepthEstimate(item.depth, camera=item.camera), item)
    lost = geometry_score(DepthEstimate(item.depth), item)
    (task, _) = geometry_tasks(64, 48)
    scores = {'a': found, 'b': lost, 'c': found}
    records = {(task.name, i): Record(task.name, i, s, 1.0, 'm') for i, s in scores.items()}
    result = summarize(benchmark('ibims'), [task], records, {'estimator': 'm'})
    assert 'monocular: fov_error_deg of 2 of 3 images; the others have none.' in result['remarks']


@pytest.mark.parametrize(
    ('name', 'task_name'),
    [
        ('nuscenes_radar', 'radar'),
        ('kitti_eigen', 'crops'),
        ('ibims', BOUNDARIES),
        ('ibims', MONOCULAR),
    ],
)
def test_images_that_fall_out_of_a_mean_and_failed_pixels_are_said(
    item: Item, name: str, task_name: str
) -> None:
    (task,) = (task for task in benchmark(name).tasks if task.name == task_name)
    nothing = replace(item, depth=np.full_like(item.depth, np.nan))
    scores = {
        'answered': task.score(DepthEstimate(item.depth, camera=item.camera), item),
        'not answered': task.score(DepthEstimate(nothing.depth, camera=item.camera), item),
        'without truth': task.score(DepthEstimate(item.depth, camera=item.camera), nothing),
    }
    records = {(task.name, i): Record(task.name, i, s, 1.0, 'm') for i, s in scores.items()}
    result = summarize(benchmark(name), [task], records, {'estimator': 'm'})
    assert result['remarks'][-2:] == [
        f'{task.name}: 1 of 3 images have no ground truth to score.',
        f'{task.name}: 50 % of the pixels have no usable prediction.',
    ]
    pooled = result['tasks'][task.name]['pooled']
    assert (pooled is None) == (task.name != MONOCULAR)
    assert set(pooled or ()) <= set(scores['answered'].figures)


def test_figures_of_one_crop_alone_are_said(item: Item) -> None:
    task = benchmark('kitti_eigen').tasks[-1]
    below = item.depth.copy()
    below[: int(0.95 * len(below))] = np.nan  # of which Eigen's crop has nothing
    seen = {'whole': item, 'below': replace(item, depth=below)}
    records = {
        (task.name, i): Record(task.name, i, task.score(DepthEstimate(item.depth), s), 1.0, 'm')
        for i, s in seen.items()
    }
    said = summarize(benchmark('kitti_eigen'), [task], records, {'estimator': 'm'})['remarks'][-1]
    assert said.startswith('crops: Eigen abs_rel, Eigen mae_m')
    assert said.endswith('of 1 of 2 images; the others have none.')


@pytest.mark.parametrize('level', BLOCK_LEVELS)
def test_blocks_hide_their_share(item: Item, level: str) -> None:
    prompt = masked_blocks(level)(item, 5)
    share, relative, _ = BLOCK_LEVELS[level]
    assert len(prompt) / item.depth.size == pytest.approx(1 - share, abs=0.05)
    column, row = prompt.uv.T.astype(int)
    error = np.abs(prompt.depth / item.depth[row, column] - 1)
    assert np.median(error) < 3 * relative + 0.01
    again = masked_blocks(level)(item, 5)
    np.testing.assert_array_equal(prompt.depth, again.depth)


def test_seeds_follow_from_the_names_alone() -> None:
    assert seed_of('a', '8x') == seed_of('a', '8x') != seed_of('b', '8x')


def test_a_line_cut_short_by_a_kill_is_done_again(tmp_path: Path) -> None:
    depth = np.ones((2, 2), np.float32)
    sums = error_sums(depth, depth)
    for rank, name in ((0, 'a'), (1, 'b')):
        with RecordFile(tmp_path, rank) as records:
            records.add(Record('t', name, Score(sums.metrics(), sums), 1.0, 'm'))
    cut = tmp_path / 'records-001.jsonl'
    cut.write_text(cut.read_text()[:-20])
    assert set(read_records(tmp_path)) == {('t', 'a')}
    with RecordFile(tmp_path, 1) as records:
        records.add(Record('t', 'b', Score({'x': math.nan}), 1.0, 'm'))
    back = read_records(tmp_path)
    assert set(back) == {('t', 'a'), ('t', 'b')}
    assert back['t', 'a'].score.sums == sums


@pytest.mark.parametrize('text', ['', '{"a": 1', '[1]', '\udcff'])
def test_settings_that_cannot_be_read_are_refused_with_the_remedy(tmp_path: Path, text) -> None:
    (tmp_path / 'run.json').write_text(text, errors='surrogateescape')
    with pytest.raises(InputError, match=r'run\.json .*delete the folder'):
        check_settings(tmp_path, {'a': 1})


@pytest.mark.parametrize('begun', [{'a': 1}, {'a': 1, 'scoring_rules': 0}])
def test_a_folder_begun_by_other_scoring_rules_is_refused(tmp_path: Path, begun) -> None:
    (tmp_path / 'run.json').write_text(json.dumps(begun))
    with pytest.raises(InputError, match=r'scoring_rules (None|0), this one has \d+: .*--out'):
        check_settings(tmp_path, {'a': 1})


def test_a_folder_begun_by_the_same_scoring_rules_is_continued(tmp_path: Path) -> None:
    check_settings(tmp_path, {'a': 1})
    check_settings(tmp_path, {'a': 1})


def test_boundaries_without_ground_truth_are_unknown(item: Item) -> None:
    nothing = replace(item, depth=np.full_like(item.depth, np.nan))
    figures = boundary_score(DepthEstimate(item.depth), nothing).figures
    assert math.isnan(figures['boundary_f1'])


def test_shares_are_whole_and_disjoint() -> None:
    shares = [Share.of_environment({'RANK': str(r), 'WORLD_SIZE': '3'}) for r in range(3)]
    assert all(sum(s.has(i) for s in shares) == 1 for i in range(20))


def test_the_field_of_view_error_is_scored_where_a_camera_was_found(item: Item) -> None:
    found = CameraModel.pinhole(160, 120, 160.0, 160.0, 79.5, 59.5)
    figures = geometry_score(DepthEstimate(item.depth, camera=found), item).figures
    assert figures['fov_error_deg'] == pytest.approx(abs(found.fov_x_deg - item.camera.fov_x_deg))
    assert figures['delta1'] == 1.0
    assert 'fov_error_deg' not in geometry_score(DepthEstimate(item.depth), item).figures


def test_an_answer_is_scored_on_the_view_it_was_asked_of(item: Item) -> None:
    from metric_depth_ros.evaluation.benchmarks.protocol import Task

    task = Task('8x', SAMPLED['8x'], moge_view(64, 48))
    record = answer(item, task, NearestFill())
    assert record.score.sums.pixels <= 64 * 48
    assert record.score.figures['abs_rel'] < 0.05


class Masking(Estimator):
    """Takes everything for sky, and knows its depth all the same."""

    name = 'masking'

    def __init__(self, depth, sky=True):
        self._depth, self._sky = depth, sky

    def unmasked(self):
        return Masking(self._depth, sky=False)

    def estimate(self, frame):
        depth = np.full_like(self._depth, np.inf) if self._sky else self._depth
        return DepthEstimate(depth, camera=frame.camera)


def test_geometry_is_asked_for_without_a_mask_as_published(item: Item) -> None:
    for task in geometry_tasks(64, 48):
        estimator = Masking(task.view(item).depth)
        assert answer(item, task, estimator).score.figures['delta1'] == 1.0
        masked = replace(task, unmasked=False)
        assert answer(item, masked, estimator).score.figures['delta1'] == 0.0
