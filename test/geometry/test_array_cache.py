# SPDX-License-Identifier: Apache-2.0
"""Arrays that are kept from frame to frame."""

import numpy as np

from metric_depth_ros.geometry.array_cache import ArrayCache


def counting_cache(most, most_bytes=1 << 20):
    """Return a cache of arrays of as many bytes as their key says, and the keys it makes."""
    made = []

    def make(key):
        made.append(key)
        return np.zeros(key // 8, np.float32), np.zeros(key // 8, np.float32)

    return ArrayCache(make, most, most_bytes), made


def test_arrays_are_made_once():
    cache, made = counting_cache(most=2)
    assert cache.get(16) is cache.get(16)
    assert made == [16]


def test_the_arrays_that_were_not_used_for_longest_are_forgotten_first():
    cache, made = counting_cache(most=2)
    for key in (16, 24, 16, 32, 16, 24):
        cache.get(key)
    assert made == [16, 24, 32, 24]


def test_large_arrays_are_forgotten_by_their_bytes():
    cache, made = counting_cache(most=100, most_bytes=1000)
    for key in (400, 480, 160, 480, 160, 400):
        cache.get(key)
    assert made == [400, 480, 160, 400]


def test_the_newest_arrays_are_kept_however_large_they_are():
    cache, made = counting_cache(most=100, most_bytes=1000)
    for key in (8, 4000, 4000, 8):
        cache.get(key)
    assert made == [8, 4000, 8]
