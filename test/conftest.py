# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use, and the DDS environment of the whole session."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from metric_depth_ros.middleware import dds_environment

# Set before any test makes a participant, since Fast DDS reads its profile once in a process.
# The traffic of this session stays on this machine and in a domain of its own.
os.environ.update(dds_environment())
os.environ['ROS_DOMAIN_ID'] = str(random.SystemRandom().randint(1, 101))
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
if 'PYTEST_XDIST_WORKER' in os.environ:  # a process on every core: more threads only wait
    os.environ.setdefault('OMP_NUM_THREADS', '1')

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile('shared machine', deadline=None)
settings.load_profile('shared machine')

# Folders of tests that talk over DDS: one after another even where others run beside them, so that
# no node sees the topics of another test's.
_OVER_DDS = ('bench', 'package', 'realsense', 'replay', 'ros', 'torture')
_SHARED = Path(
    os.environ.get('METRIC_DEPTH_SHARED', Path(__file__).resolve().parents[2] / 'shared')
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every process of pytest-xdist whole files, and one of them all that is DDS."""
    if not config.pluginmanager.hasplugin('xdist'):
        return
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        group = 'dds' if path.parts[0] in _OVER_DDS else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope='session')
def shared() -> Path:
    """Folder of the evaluation frames and golden outputs, which may not be shipped."""
    if not (_SHARED / 'data').is_dir():
        pytest.skip(
            f'the evaluation data and goldens are not at {_SHARED}: set METRIC_DEPTH_SHARED'
        )
    return _SHARED
