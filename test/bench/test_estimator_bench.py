# SPDX-License-Identifier: Apache-2.0
"""Speed of the estimators for a CPU: which are measured, and against what."""

import pytest
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.bench import estimator


@pytest.fixture
def rows(tmp_path):
    return estimator.run(1, str(write_checkpoint('compact_teacher', tmp_path)))


def test_the_compact_teacher_is_measured_against_nearest_filling_with_a_bar(rows):
    (row,) = [row for row in rows if row.name == 'compact_teacher']

    assert row.baseline == 'nearest filling'
    assert row.bar == 17.0
    assert row.ratio > 0.0


def test_every_row_with_a_bar_is_a_candidate(rows):
    assert [row.bar for row in rows if row.name.endswith('4x pixels')] == [None, 3.0, 9.0]


def test_random_weights_take_the_place_of_missing_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(estimator, 'manifest', dict)
    weights = estimator._shipped_or_random(tmp_path)

    assert estimator._compact(weights).name == 'compact_teacher'


def test_shipped_weights_are_preferred_to_random_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(estimator, 'manifest', lambda: {'compact_teacher': {}})

    assert estimator._shipped_or_random(tmp_path) == ''
