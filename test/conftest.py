# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest

_SHARED = Path(
    os.environ.get('METRIC_DEPTH_SHARED', Path(__file__).resolve().parents[2] / 'shared')
)


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
