# SPDX-License-Identifier: Apache-2.0
"""Surfaces that fool a depth camera."""

import numpy as np
import pytest

from metric_depth_ros.simulation.sensors.surfaces import fool

BOX = np.s_[20:40, 30:60]


def scene():
    depth = np.full((64, 96), 4.0, np.float32)
    depth[BOX] = 2.0
    image = np.full((64, 96, 3), 90, np.uint8)
    image[BOX] = (180, 160, 60)
    return depth, image


def fooled(count=40):
    depth, image = scene()
    return [fool(depth, image, 1, np.random.default_rng(seed)) for seed in range(count)]


def test_whole_surfaces_are_wrong_and_others_are_not():
    depth, _ = scene()
    for result in fooled():
        wrong = ~(result == depth)
        outside = wrong.copy()
        outside[19:41, 29:61] = False
        # The wall around is larger than what may be unusual, so it must be the box or nothing.
        assert not outside.any()


@pytest.mark.parametrize('fault', ['lost', 'far'])
def test_a_surface_may_be_lost_or_seem_farther(fault):
    found = [
        np.isnan(r[BOX]).mean() if fault == 'lost' else (r[BOX] > 2.1).mean() for r in fooled()
    ]
    assert max(found) > 0.6


def test_glass_shows_what_is_behind_it():
    assert any(np.median(r[BOX]) == 4.0 for r in fooled())


def test_the_truth_is_left_alone():
    depth, image = scene()
    before = depth.copy()
    fool(depth, image, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(depth, before)


def test_a_view_of_nothing_stays_nothing():
    depth, image = scene()
    nothing = np.full_like(depth, np.inf)
    np.testing.assert_array_equal(fool(nothing, image, 3, np.random.default_rng(0)), nothing)
