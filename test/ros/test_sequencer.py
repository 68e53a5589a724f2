# SPDX-License-Identifier: Apache-2.0
"""Threads that work side by side hand out what they have made in order."""

import threading

from metric_depth_ros.ros.sequencer import Sequencer

_DEADLINE_S = 10.0


def _in_thread(call):
    results = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    return thread, results


def test_a_later_turn_waits_for_an_earlier_one():
    sequencer, order = Sequencer(), []
    first, second = sequencer.draw(), sequencer.draw()
    thread, _ = _in_thread(lambda: (sequencer.wait_for(second), order.append('second')))

    assert sequencer.wait_for(first)
    order.append('first')
    sequencer.done(first)
    thread.join(_DEADLINE_S)

    assert order == ['first', 'second']


def test_a_turn_that_is_given_back_early_holds_nobody_up():
    sequencer = Sequencer()
    first, second, third = sequencer.draw(), sequencer.draw(), sequencer.draw()

    sequencer.done(second)  # dropped before the first was ready
    sequencer.done(first)

    assert sequencer.wait_for(third)


def test_who_waits_for_one_that_never_comes_back_is_let_go():
    sequencer = Sequencer()
    sequencer.draw()
    later = sequencer.draw()
    thread, results = _in_thread(lambda: sequencer.wait_for(later))

    sequencer.abandon()
    thread.join(_DEADLINE_S)

    assert results == [False]
