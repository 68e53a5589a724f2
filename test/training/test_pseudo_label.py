# SPDX-License-Identifier: Apache-2.0
"""Labels: dense, metric, checked against points the teacher did not see."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_training import example, write_shards

from metric_depth_ros.cli.main import main
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.training.pseudo_label import LabelSettings, label, write_labels
from metric_depth_ros.training.shards import ShardSource
from metric_depth_ros.types import DepthEstimate

MANY = LabelSettings(points=(200_000, 400_000))  # 520 points and more of a tiny image


class Teacher(Estimator):
    """Answers with one depth, and remembers what it was shown."""

    name = 'teacher'

    def __init__(self, depth):
        self.depth = depth

    def estimate(self, frame):
        self.frame = frame
        return DepthEstimate(self.depth)


def sparse(seed):
    whole = example(seed)
    keep = np.random.default_rng(seed).random(whole.depth.shape) < 0.3
    return replace(whole, depth=np.where(keep, whole.depth, np.nan).astype(np.float32))


def test_label_is_dense_and_near_the_truth():
    labeled, error = label(
        sparse(1), create_estimator('classical'), MANY, np.random.default_rng(0)
    )
    truth = example(1).depth
    seen = np.isfinite(truth) & np.isfinite(labeled.depth)
    assert seen.mean() > 0.9
    assert np.median(np.abs(labeled.depth[seen] / truth[seen] - 1.0)) < 0.02
    assert error < 0.05


def test_teacher_does_not_see_the_points_it_is_checked_with():
    whole = sparse(2)
    teacher = Teacher(np.nan_to_num(whole.depth, nan=1.0, posinf=1.0))
    _, error = label(whole, teacher, MANY, np.random.default_rng(0))
    assert 0 < len(teacher.frame.prompt) < np.isfinite(whole.depth).sum()
    assert error == pytest.approx(0.0, abs=1e-6)


def test_wrong_answer_has_a_large_error():
    whole = sparse(2)
    teacher = Teacher(2 * np.nan_to_num(whole.depth, nan=1.0, posinf=1.0))
    _, error = label(whole, teacher, MANY, np.random.default_rng(0))
    assert error == pytest.approx(1.0, abs=1e-3)


def test_an_answer_is_checked_however_few_points_there_are():
    two = LabelSettings(points=(800, 800))  # of a tiny image
    teacher = Teacher(np.full((64, 96), 77.0, np.float32))
    for seed in range(20):
        _, error = label(sparse(2), teacher, two, np.random.default_rng(seed))
        assert error > 5.0


class OneExample:
    """A source."""

    groups = (1,)

    def __len__(self):
        return 1

    def load(self, index):
        return sparse(2)


@pytest.mark.parametrize(('worst', 'labeled'), [(1e9, 0), (np.inf, 1)])
def test_a_label_that_no_point_checks_is_left_out(tmp_path, worst, labeled):
    settings = LabelSettings(points=(1, 1), worst_abs_rel=worst)  # one point
    teacher = Teacher(np.full((64, 96), 3.0, np.float32))
    counts = write_labels(OneExample(), teacher, tmp_path, settings, {})
    assert (counts.labeled, counts.refused) == (labeled, 1 - labeled)


def test_label_beyond_the_limit_is_endless_and_unknown_stays_unknown():
    depth = np.full((64, 96), 500.0, np.float32)
    depth[:, :8] = np.nan
    seen = sparse(2)
    seen.depth[:, :8] = np.nan
    labeled, _ = label(seen, Teacher(depth), MANY, np.random.default_rng(0))
    assert np.isnan(labeled.depth[:, :8]).all()
    assert np.isposinf(labeled.depth[:, 8:]).all()


def test_rendered_sky_stays_endless_whatever_the_teacher_says():
    seen = sparse(2)
    seen.depth[:8] = np.inf
    labeled, _ = label(seen, Teacher(np.full((64, 96), 9.0)), MANY, np.random.default_rng(0))
    assert np.isposinf(labeled.depth[:8]).all()
    assert np.isfinite(labeled.depth[8:]).all()


def test_beyond_the_range_of_a_recorded_sensor_the_teacher_is_believed():
    seen = replace(sparse(2), kind='recorded')
    seen.depth[:8] = np.inf
    depth = np.full((64, 96), 12.0, np.float32)
    depth[:2], depth[2:4] = 500.0, np.nan
    labeled, _ = label(seen, Teacher(depth), MANY, np.random.default_rng(0))
    assert np.isposinf(labeled.depth[:2]).all()
    assert np.isnan(labeled.depth[2:4]).all()
    assert (labeled.depth[4:] == 12.0).all()


def test_command_labels_the_rest_when_run_again(tmp_path, capsys):
    data = write_shards(tmp_path / 'data', count=7)
    command = ['pseudo-label', str(data), str(tmp_path / 'out'), '--teacher', 'classical']
    command += ['--per-shard', '3', '--worst-error', '9']
    assert main([*command, '--part', '2/2']) == 0
    assert '3 labeled, 0 left out, 0 were there' in capsys.readouterr().out
    assert main(command) == 0
    assert '4 labeled, 0 left out, 3 were there' in capsys.readouterr().out
    assert len(ShardSource(tmp_path / 'out')) == 7


@pytest.mark.parametrize('other', [('--teacher', 'classical'), ('--per-shard', '2')])
def test_labels_of_other_settings_are_not_mixed(tmp_path, capsys, other):
    data = write_shards(tmp_path / 'data', count=1)
    command = ['pseudo-label', str(data), str(tmp_path / 'out')]
    assert main([*command, '--teacher', 'nearest']) == 0
    assert main([*command, '--teacher', 'nearest', *other]) == 2
    said = capsys.readouterr().err
    assert other[0].lstrip('-').replace('-', '_') in said
    assert 'another folder' in said


@pytest.mark.parametrize(
    ('rules', 'said'),
    [({'rules': 0}, 'rules 0 instead of'), ({}, 'rules unknown instead of')],
    ids=['others', 'not stated'],
)
def test_labels_by_other_rules_are_not_mixed(tmp_path, capsys, rules, said):
    data = write_shards(tmp_path / 'data', count=1)
    command = ['pseudo-label', str(data), str(tmp_path / 'out'), '--teacher', 'nearest']
    assert main(command) == 0
    path = tmp_path / 'out/labeled.json'
    kept = json.loads(path.read_text())
    del kept['rules']
    path.write_text(json.dumps({**kept, **rules}))
    assert main(command) == 2
    assert said in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize('beside', ['simulated.json', 'shards.json'])
def test_shards_of_others_are_not_taken_for_labels(tmp_path, capsys, beside):
    data, out = (write_shards(tmp_path / name, count=1) for name in ('data', 'out'))
    (out / beside).write_text('{"000000.tar": 1}')
    assert main(['pseudo-label', str(data), str(out), '--teacher', 'nearest']) == 2
    assert 'no labeled.json that tells' in ' '.join(capsys.readouterr().err.split())
    assert not (out / 'labeled.json').exists()


def test_command_leaves_out_what_the_teacher_gets_wrong(tmp_path, capsys):
    data = write_shards(tmp_path / 'data', count=3)
    command = ['pseudo-label', str(data), str(tmp_path / 'out'), '--teacher', 'nearest']
    main([*command, '--worst-error', '1e-9'])
    assert '0 labeled, 3 left out' in capsys.readouterr().out


def test_an_endless_worst_error_keeps_every_label(tmp_path, capsys):
    data = write_shards(tmp_path / 'data', count=3)
    command = ['pseudo-label', str(data), str(tmp_path / 'out'), '--teacher', 'nearest']
    assert main([*command, '--worst-error', 'inf']) == 0
    assert '3 labeled, 0 left out' in capsys.readouterr().out
    assert main([*command, '--worst-error', 'inf']) == 0
    assert '3 were there' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['nonsense', 'teacher:nonsense'])
def test_unknown_teacher_is_refused_by_its_own_option(tmp_path, capsys, name):
    data = write_shards(tmp_path / 'data', count=1)
    assert main(['pseudo-label', str(data), str(tmp_path / 'out'), '--teacher', name]) == 2
    said = capsys.readouterr().err
    assert "'nonsense'" in said
    assert '(option --teacher)' in ' '.join(said.split())
    assert '--estimator' not in said


def test_data_is_not_overwritten(tmp_path, capsys):
    data = write_shards(tmp_path, count=1)
    assert main(['pseudo-label', str(data), str(data), '--teacher', 'nearest']) == 2
    assert 'another folder' in capsys.readouterr().err
