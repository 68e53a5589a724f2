# SPDX-License-Identifier: Apache-2.0
from metric_depth_ros.estimators.runtime.buckets import LARGEST_COUNT, STEADY_AFTER, Buckets


def test_the_first_shape_is_admitted():
    assert Buckets().admits('480x640')


def test_an_odd_image_between_two_steady_ones_is_not_admitted():
    buckets = Buckets()
    assert [buckets.admits(s) for s in ('640', '641', '640')] == [True, False, True]


def test_a_shape_that_stays_is_admitted():
    buckets = Buckets()
    buckets.admits('640')
    answers = [buckets.admits('1280') for _ in range(STEADY_AFTER + 1)]
    assert answers == [False] * STEADY_AFTER + [True]


def test_alternating_shapes_are_never_steady():
    buckets = Buckets()
    buckets.admits('640')
    assert not any(buckets.admits(s) for _ in range(20) for s in ('641', '642'))


def test_a_warmed_up_shape_is_admitted_at_once():
    buckets = Buckets()
    buckets.admits('640')
    assert buckets.admits('1280', at_once=True)
    assert buckets.admits('1280')


def test_the_number_of_shapes_is_bounded():
    buckets = Buckets()
    admitted = [buckets.admits(side, at_once=True) for side in range(LARGEST_COUNT + 3)]
    assert sum(admitted) == LARGEST_COUNT
