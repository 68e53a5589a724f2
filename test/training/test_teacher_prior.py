# SPDX-License-Identifier: Apache-2.0
"""The prior that the papers' teacher is trained with is that of the run-time estimator."""

import numpy as np
import torch
from tiny_checkpoints import tiny_network
from tiny_training import example

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.recipes import teacher as recipes
from metric_depth_ros.types import DepthEstimate


class HalfBlind(Estimator):
    """Knows twice the depth of the right half of the image, and nothing of the left one."""

    name = 'half blind'

    def __init__(self, depth):
        self._depth = (2.0 * depth).astype(np.float32)
        self._depth[:, : depth.shape[1] // 2] = np.nan

    def estimate(self, frame):
        return DepthEstimate(self._depth)


def test_points_where_the_prior_is_unknown_do_not_move_where_it_is_known(monkeypatch):
    seen = example(0)
    half = seen.depth.shape[1] // 2
    known = np.isfinite(seen.depth)
    monkeypatch.setattr(recipes, 'create_estimator', lambda *_: HalfBlind(seen.depth))
    options = {'prior': 'nearest', 'masked_share': 1.0}
    recipe = create_recipe('teacher', tiny_network('teacher')[1], options, 'test')
    rng = np.random.default_rng(5)
    prepared = recipe.prepare(seen, None, rng, real=False, augment=False)
    batch = recipe.collate([prepared])
    (channels,), units = recipe.prompts(batch, torch.device('cpu'))
    expected = float(units[0]) / seen.depth
    for aligned in channels[0, :2].numpy():
        right = known[:, half:]
        np.testing.assert_allclose(aligned[:, half:][right], expected[:, half:][right], rtol=2e-2)
