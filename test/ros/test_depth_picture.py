# SPDX-License-Identifier: Apache-2.0
"""Depth as a picture: its colors, and what it costs."""

import tracemalloc

import numpy as np

from metric_depth_ros.ros.depth_picture import depth_picture


def test_the_picture_of_depth_is_red_near_and_black_where_unknown():
    depth = np.tile(np.linspace(1.0, 50.0, 64, dtype=np.float32), (32, 1))
    depth[:4] = np.nan
    picture = depth_picture(depth)
    assert (picture[:4] == 0).all()
    near, far = picture[20, 0], picture[20, -1]  # blue, green, red
    assert near[2] > near[0]
    assert far[0] > far[2] or far.max() < 100


def test_a_picture_of_nothing_is_black():
    assert not depth_picture(np.full((8, 8), np.nan, np.float32)).any()


def test_a_picture_takes_no_memory_of_double_precision():
    depth = np.tile(np.linspace(1.0, 50.0, 640, dtype=np.float32), (480, 1))
    tracemalloc.start()
    try:
        depth_picture(depth)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Normalized inverse depth and what is made of it: four bytes a pixel each, never eight.
    assert peak < 20 * depth.size
