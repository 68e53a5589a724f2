# SPDX-License-Identifier: Apache-2.0
"""Small simulated bags, made once."""

import pytest

from metric_depth_ros.simulation.recording import record
from metric_depth_ros.simulation.scenes import make_scene


def _recorded(folder, name):
    record(make_scene(name, (160, 96), seed=2), folder / name, count=6, rate_hz=10.0, seed=2)
    return folder / name


@pytest.fixture(scope='session')
def street_bag(tmp_path_factory):
    return _recorded(tmp_path_factory.mktemp('bags'), 'street')


@pytest.fixture(scope='session')
def tabletop_bag(tmp_path_factory):
    return _recorded(tmp_path_factory.mktemp('bags'), 'tabletop')
