# SPDX-License-Identifier: Apache-2.0
"""Threads that work side by side hand out what they have made in order."""

import threading

from metric_depth_ros.ros.turns import Turns

_DEADLINE_S = 10.0


def _in_thread(call):
    results = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    return thread, results


def test_a_later_turn_waits_for_an_earlier_one():
    turns, order = Turns(), []
    first, second = turns.draw(), turns.draw()
    thread, _ = _in_thread(lambda: (turns.wait_for(second), order.append('second')))

    assert turns.wait_for(first)
    order.append('first')
    turns.done(first)
    thread.join(_DEADLINE_S)

    assert order == ['first', 'second']


def test_a_turn_that_is_given_back_early_holds_nobody_up():
    turns = Turns()
    first, second, third = turns.draw(), turns.draw(), turns.draw()

    turns.done(second)  # dropped before the first was ready
    turns.done(first)

    assert turns.wait_for(third)


def test_who_waits_for_one_that_never_comes_back_is_let_go():
    turns = Turns()
    turns.draw()
    later = turns.draw()
    thread, results = _in_thread(lambda: turns.wait_for(later))

    turns.abandon()
    thread.join(_DEADLINE_S)

    assert results == [False]
