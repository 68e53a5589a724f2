# SPDX-License-Identifier: Apache-2.0
"""The limits of the output."""

import numpy as np

from metric_depth_ros.ros.limits import limited_depth
from metric_depth_ros.types import DepthEstimate


def test_depth_beyond_the_range_is_infinite_and_never_clipped():
    depth = np.array([[1.0, 20.0, 20.1, np.inf, np.nan, 0.0, -3.0]], np.float32)
    limited = limited_depth(DepthEstimate(depth), 20.0, 0.0).depth
    expected = [[1.0, 20.0, np.inf, np.inf, np.nan, np.nan, np.nan]]
    np.testing.assert_array_equal(limited, np.array(expected, np.float32))


def test_depth_of_low_confidence_is_unknown():
    confidence = np.array([[0.2, 0.8]], np.float32)
    estimate = DepthEstimate(np.ones((1, 2), np.float32), confidence)
    np.testing.assert_array_equal(limited_depth(estimate, 9.0, 0.5).depth, [[np.nan, 1.0]])


def test_depth_whose_confidence_is_no_number_is_unknown():
    estimate = DepthEstimate(np.ones((1, 1), np.float32), np.full((1, 1), np.nan, np.float32))
    assert np.isnan(limited_depth(estimate, 9.0, 0.5).depth).all()


def test_an_estimate_within_the_limits_is_not_copied():
    depth = np.ones((2, 2), np.float32)
    assert limited_depth(DepthEstimate(depth), 9.0, 0.0).depth is depth
