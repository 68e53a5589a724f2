# SPDX-License-Identifier: Apache-2.0
"""What holds of the compact student that ships: it was trained briefly, and knows little.

docs/COMPACT.md has the figures. Its depth as it is is hardly better than one depth everywhere, so
nothing here says that it is.
"""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')

from metric_depth_ros.estimators.learned.shipped import manifest
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.simulation.examples import simulate_example
from metric_depth_ros.types import Frame

SIZE = 320, 224
SEEDS = range(5)


@pytest.fixture(scope='module')
def estimator():
    return create_estimator('compact_student', EstimatorOptions(device='cpu'))


@pytest.fixture(scope='module')
def streets():
    """Return views of streets of families that training never shows."""
    return [simulate_example(seed, 'validation', 'cpu', 'street', SIZE) for seed in SEEDS]


def _frame(view):
    return Frame(0, 'camera', view.image, view.camera)


def _shape_error(depth, truth):
    """Return the mean error of the logarithm, apart from a factor of all of the image."""
    known = np.isfinite(truth) & np.isfinite(depth)
    assert known.any()
    error = np.log(depth[known] / truth[known])
    return float(np.abs(error - np.median(error)).mean())


def test_unseen_streets_are_not_answered_as_flat(estimator, streets):
    found = [_shape_error(estimator.estimate(_frame(view)).depth, view.depth) for view in streets]
    flat = [_shape_error(np.ones_like(view.depth), view.depth) for view in streets]

    assert np.mean(found) < 0.85 * np.mean(flat)


def test_recovered_focal_length_is_that_of_a_lens(estimator, streets):
    for view in streets:
        camera = estimator.estimate(replace(_frame(view), camera=None)).camera

        assert 0.5 < camera.K[0, 0] / SIZE[0] < 2.0


def test_manifest_tells_how_the_weights_were_made():
    entry = manifest()['compact_student']

    assert entry['command'] == 'metric-depth train compact_student --config compact_student_cpu'
    assert entry['steps'] > 0
    assert entry['validation']['abs_rel'] > 0
