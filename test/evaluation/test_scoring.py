# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.evaluation.metrics import (
    Aggregation,
    ErrorSums,
    aggregate,
    depth_metrics,
)
from metric_depth_ros.evaluation.scoring import (
    FrameScore,
    GroupResult,
    find_groups,
    run_group,
    score_frame,
)
from metric_depth_ros.framesets import FrameSet, find_frame_sets, load_frame_set
from metric_depth_ros.types import DepthEstimate, Frame


class Constant(Estimator):
    """Answers 2 m at the upper half and nothing below: a method that leaves holes."""

    name = 'constant'

    def estimate(self, frame: Frame) -> DepthEstimate:
        depth = np.full(frame.image.shape[:2], np.nan, np.float32)
        depth[: len(depth) // 2] = 2.0
        return DepthEstimate(depth, method='constant')


def score(frame_set: FrameSet, prompt: str, estimator: object) -> GroupResult:
    (group,) = find_groups([frame_set], [prompt])
    result = GroupResult(group)
    for scored in run_group(group, estimator):
        result.add(scored)
    return result


def test_all_scored_prompts_are_taken_by_default(mini_set) -> None:
    groups = find_groups([load_frame_set(mini_set)])
    assert [group.prompt for group in groups] == ['grid', 'lidar']


def test_a_prompt_that_does_not_exist_is_answered_with_those_that_do(mini_set) -> None:
    with pytest.raises(InputError, match=r"'radar' does not exist.*: grid, lidar"):
        find_groups([load_frame_set(mini_set)], ['radar'])


def test_a_prompt_that_cannot_be_scored_says_so(mini_set) -> None:
    with pytest.raises(InputError, match="'raw' cannot be scored"):
        find_groups([load_frame_set(mini_set)], ['raw'])


def test_a_set_with_nothing_to_score_is_refused(mini_set) -> None:
    index = json.loads((mini_set / 'frames.json').read_text())
    for frame in index['frames']:
        frame['gt'] = None
    (mini_set / 'frames.json').write_text(json.dumps(index))
    with pytest.raises(InputError, match='nothing to score'):
        find_groups([load_frame_set(mini_set)])


def test_figures_are_the_mean_over_the_frames(mini_set) -> None:
    frame_set = load_frame_set(mini_set)
    images = []
    for frame in frame_set.frames:
        prediction = NearestFill().estimate(frame.load_frame('grid')).depth
        images.append(depth_metrics(prediction, frame.load_ground_truth()))
    summary = score(frame_set, 'grid', NearestFill()).summary(Aggregation.PER_IMAGE)
    expected = {name: np.mean([image[name] for image in images]) for name in images[0]}
    boundary = summary['metrics'].pop('boundary_f1')
    assert summary['metrics'] == pytest.approx(expected)
    assert 0.0 <= boundary <= 1.0
    assert (summary['frames'], summary['coverage'], summary['failures']) == (2, 1.0, 0.0)


def test_the_cloud_and_the_map_of_the_same_points_score_alike(mini_set) -> None:
    frame_set = load_frame_set(mini_set)
    grid, cloud = (
        score(frame_set, name, NearestFill()).summary(Aggregation.PER_IMAGE)
        for name in ('grid', 'lidar')
    )
    assert cloud['metrics']['abs_rel'] == pytest.approx(grid['metrics']['abs_rel'], rel=0.05)


def test_pixels_with_a_prompt_are_not_in_the_unprompted_figures(true_depth) -> None:
    prompted = np.zeros(true_depth.shape, bool)
    prompted[:, :10] = True
    prediction = np.where(prompted, true_depth, 1.5 * true_depth)
    result = score_frame(prediction, true_depth, prompted)
    assert result.unprompted.pixels == (~prompted).sum()
    assert result.unprompted.metrics()['abs_rel'] == pytest.approx(0.5)
    assert result.overall.metrics()['abs_rel'] == pytest.approx(0.5 * (~prompted).mean())


def test_masked_figures_are_those_of_the_region(mini_set) -> None:
    summary = score(load_frame_set(mini_set), 'grid', Constant()).summary(Aggregation.POOLED)
    assert summary['masks']['box']['delta1'] == pytest.approx(0.5)  # its upper half is answered


def test_holes_are_failures_and_lower_the_coverage(mini_set) -> None:
    summary = score(load_frame_set(mini_set), 'grid', Constant()).summary(Aggregation.PER_IMAGE)
    assert summary['coverage'] == 0.5
    assert summary['failures'] == pytest.approx(0.5)
    assert summary['metrics']['delta1'] < 0.5
    assert summary['methods'] == ['constant']


def test_figures_that_do_not_exist_are_none_and_valid_json(mini_set) -> None:
    index = json.loads((mini_set / 'frames.json').read_text())
    for frame in index['frames']:
        frame['gt'] |= {'min_m': 20.0, 'max_m': 30.0, 'kind': 'points'}
    (mini_set / 'frames.json').write_text(json.dumps(index))
    summary = score(load_frame_set(mini_set), 'grid', Constant()).summary(Aggregation.PER_IMAGE)
    assert summary['metrics']['abs_rel'] is None
    assert summary['frames_without_ground_truth'] == 2
    assert 'boundary_f1' not in summary['metrics']
    json.dumps(summary, allow_nan=False)


def test_cameras_of_one_instant_are_one_sample(mini_set) -> None:
    index = json.loads((mini_set / 'frames.json').read_text())
    (mini_set / 'frames.json').write_text(json.dumps(index | {'multi_camera': True}))
    result = score(load_frame_set(mini_set), 'grid', NearestFill())
    assert len(set(result.samples)) == 1
    one_sample = aggregate([s.overall for s in result.scores], Aggregation.PER_IMAGE)
    metrics = result.summary(Aggregation.PER_SAMPLE)['metrics']
    assert metrics['abs_rel'] == pytest.approx(one_sample['abs_rel'])


def edit_frames(folder: Path, **changes: object) -> FrameSet:
    index = json.loads((folder / 'frames.json').read_text())
    for frame in index['frames']:
        frame |= changes
    (folder / 'frames.json').write_text(json.dumps(index))
    return load_frame_set(folder)


def test_boundaries_of_a_frame_without_ground_truth_are_unknown(true_depth) -> None:
    nothing, nowhere = np.full_like(true_depth, np.nan), np.zeros(true_depth.shape, bool)
    result = score_frame(true_depth, nothing, nowhere, with_boundaries=True)
    assert math.isnan(result.boundary_f1)


@pytest.mark.parametrize(
    ('aggregation', 'expected'),
    [(Aggregation.PER_IMAGE, 0.25), (Aggregation.POOLED, 0.25), (Aggregation.PER_SAMPLE, 0.5)],
)
def test_boundaries_are_averaged_as_the_aggregation_says(mini_set, aggregation, expected) -> None:
    (group,) = find_groups([load_frame_set(mini_set)], ['grid'])
    scores = [FrameScore(ErrorSums(), ErrorSums(), {}, f1, 1.0) for f1 in (1.0, 0.0, 0.0, 0.0)]
    result = GroupResult(group, scores, [1.0] * 4, [1] * 4, {'m'}, ['a', 'b', 'b', 'b'])
    assert result.summary(aggregation)['metrics']['boundary_f1'] == expected


def test_a_sample_of_null_is_no_sample(mini_set) -> None:
    result = score(edit_frames(mini_set, sample=None), 'grid', NearestFill())
    assert result.samples == ['0', '1']


@pytest.mark.parametrize('sample', [{'scene': 1}, [1], True, 1.5])
def test_a_sample_that_names_nothing_is_refused_with_its_frame(mini_set, sample) -> None:
    with pytest.raises(InputError, match=r'frame 0 of mini: sample is .*whole number'):
        score(edit_frames(mini_set, sample=sample), 'grid', NearestFill())


def test_nearest_scores_as_the_independent_baseline_does(shared: Path) -> None:
    """Depth maps that are of no LiDAR are prompts as they are: figures must agree."""
    baselines = {
        (row['set'], row['prompt']): row
        for row in json.loads((shared / 'data' / 'baselines.json').read_text())
        if row['method'] == 'nearest'
    }
    sets = find_frame_sets(shared / 'data' / name for name in ('cleargrasp', 'nyu'))
    for group in find_groups(sets, ['rgbd', 'random100', 'random500', 'lowres16']):
        row = baselines[group.frame_set.name, group.prompt]
        result = GroupResult(group)
        for scored in run_group(group, NearestFill()):
            result.add(scored)
        summary = result.summary(Aggregation.PER_IMAGE)
        regions = {'all': summary['metrics'], 'unprompted': summary['metrics_unprompted']}
        if row.get('masked'):
            regions['masked'] = summary['masks']['transparent']
        for name, metrics in regions.items():
            ours = [metrics[key] for key in ('abs_rel', 'mae_m', 'rmse_m', 'delta1')]
            assert ours == pytest.approx(row[name], rel=2e-3), (group.prompt, name)
        assert not math.isnan(summary['ms']['p50'])
