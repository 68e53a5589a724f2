# SPDX-License-Identifier: Apache-2.0
"""Work that is done once, told apart from the frames."""

import math

import pytest

from metric_depth_ros.estimators import preparation
from metric_depth_ros.estimators.preparation import Preparation


def test_what_never_prepares_is_ready_since_ever():
    assert Preparation().ended_s() == 0.0


def test_the_end_of_the_preparation_is_known_once_all_threads_have_ended(monkeypatch):
    monkeypatch.setattr(preparation.time, 'monotonic', lambda: 7.0)
    work = Preparation()
    with work.under_way():
        with work.under_way():
            assert work.ended_s() == math.inf
        assert work.ended_s() == math.inf
    assert work.ended_s() == 7.0


def test_preparation_that_fails_has_ended():
    work = Preparation()
    with pytest.raises(RuntimeError), work.under_way():
        raise RuntimeError('no compiler')
    assert 0.0 < work.ended_s() < math.inf
