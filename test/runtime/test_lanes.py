# SPDX-License-Identifier: Apache-2.0
"""Several threads have a runner each, and share the cores."""

import threading

import pytest
import torch
from torch import nn

from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Lanes, Runner
from metric_depth_ros.estimators.runtime import lanes as lanes_module
from metric_depth_ros.estimators.threads import one_thread

_DEADLINE_S = 10.0


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(lanes_module, 'CORES', 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _lanes(count):
    options = EstimatorOptions(device='cpu')
    return Lanes([Runner(nn.ReLU(), lambda *_: {}, options) for _ in range(count)])


def test_one_thread_alone_has_all_cores(two_cores):
    lanes = _lanes(2)

    with lanes.taken():
        assert torch.get_num_threads() == 2


def test_two_threads_have_runners_and_cores_of_their_own(two_cores):
    lanes, seen = _lanes(2), []

    def take():
        with lanes.taken() as runner:
            seen.append((runner, torch.get_num_threads()))

    with lanes.taken() as mine:
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(_DEADLINE_S)
    ((other, cores),) = seen
    assert other is not mine
    assert cores == 1


def test_a_thread_waits_for_a_runner(two_cores):
    lanes, seen = _lanes(1), []

    def take():
        with lanes.taken() as runner:
            seen.append(runner)

    with lanes.taken() as mine:
        thread = threading.Thread(target=take)
        thread.start()
        assert not seen
    thread.join(_DEADLINE_S)
    assert seen == [mine]


def test_a_thread_has_its_number_of_threads_back(two_cores):
    lanes = _lanes(2)
    with lanes.taken(), lanes.taken():
        assert torch.get_num_threads() == 1

    assert torch.get_num_threads() == 2


def test_lanes_made_while_another_thread_runs_on_one_core_have_all_cores(two_cores):
    seen = []

    def make_and_take():
        with _lanes(1).taken():
            seen.append(torch.get_num_threads())

    with one_thread():
        thread = threading.Thread(target=make_and_take)
        thread.start()
        thread.join(_DEADLINE_S)
    assert seen == [2]
