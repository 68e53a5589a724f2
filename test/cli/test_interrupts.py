# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command as Ctrl-C does."""

import os
import signal

import pytest

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_so_that_the_clean_up_can_finish(number):
    before = signal.signal(number, signal.SIG_DFL)  # it may be ignored here: `nohup make test`
    cleaned_up = []

    @ended_like_ctrl_c()
    def work():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # `timeout` sends it twice
            cleaned_up.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert cleaned_up
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
