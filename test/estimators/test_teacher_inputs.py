# SPDX-License-Identifier: Apache-2.0
"""What the teacher's network sees of a prior and a prompt."""

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch

from metric_depth_ros.estimators.learned.teacher import MOST_POINTS, TeacherAdapter
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt

WIDTH, HEIGHT = 320, 240


class Prior:
    """Answers every frame with the same depth."""

    name = 'prior'

    def __init__(self, depth):
        self._depth = depth

    def estimate(self, frame):
        return DepthEstimate(self._depth)


def floor():
    """Return depth that grows upward and to the right."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return (1.0 / (0.1 + 0.001 * v - 0.0001 * u)).astype(np.float32)


def frame_of(depth, stride):
    """Return a blank image, with every so many pixels of a depth as its prompt."""
    row, column = (np.ravel(x) for x in np.mgrid[:HEIGHT:stride, :WIDTH:stride])
    uv = np.stack((column, row), axis=1).astype(np.float32)
    measured = depth[row, column]
    sigma = np.full(len(uv), 0.01, np.float32)
    prompt = SparsePrompt(uv, measured, sigma, np.zeros(len(uv), np.uint8))
    return Frame(0, 'camera', np.zeros((HEIGHT, WIDTH, 3), np.uint8), None, prompt)


def seen(frame, prior):
    batch = TeacherAdapter(Prior(prior), torch.device('cpu')).batch([frame])
    return batch.prompts['prompt'][0].numpy(), float(batch.prompts['unit_m'][0])


def test_points_where_the_prior_is_unknown_do_not_move_where_it_is_known():
    depth = floor()
    prior = 2.0 * depth
    prior[:, : WIDTH // 2] = np.nan
    maps, unit_m = seen(frame_of(depth, 10), prior)
    for aligned in maps[:2]:  # pixel by pixel, and as a whole
        known = aligned[:, WIDTH // 2 :]
        np.testing.assert_allclose(known, unit_m / depth[:, WIDTH // 2 :], rtol=1e-3)


def test_an_unknown_prior_says_nothing_but_its_points():
    depth = floor()
    maps, unit_m = seen(frame_of(depth, 10), np.full_like(depth, np.nan))
    points = maps[2] > 0.0
    np.testing.assert_allclose(maps[0][points], unit_m / depth[points], rtol=1e-5)
    assert not maps[:2, ~points].any()


def test_a_prompt_denser_than_any_in_training_is_thinned_the_same_way_every_time():
    depth = floor()
    frame = frame_of(depth, 1)
    assert len(frame.prompt) > MOST_POINTS
    (first, _), (again, _) = seen(frame, depth), seen(frame, depth)
    points = first[2] > 0.0
    assert points.sum() == MOST_POINTS
    np.testing.assert_array_equal(first, again)
    thirds = [part.sum() / MOST_POINTS for part in np.array_split(points, 3)]
    np.testing.assert_allclose(thirds, 1 / 3, atol=0.02)  # of all parts of the image alike
