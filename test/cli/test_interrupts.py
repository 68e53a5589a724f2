# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command as Ctrl-C does."""

import os
import signal
from types import SimpleNamespace

import pytest

from metric_depth_ros import framesets
from metric_depth_ros.bags import from_frameset
from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.main import EXIT_INTERRUPTED, main


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


def test_a_bag_that_is_made_of_frames_is_ended_in_order(monkeypatch):
    def write(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(framesets, 'load_frame_set', lambda _: SimpleNamespace(name='frames'))
    monkeypatch.setattr(from_frameset, 'write_frame_set', write)
    before = signal.signal(signal.SIGTERM, lambda number, stack: None)
    try:
        assert main(['make-bag', 'frames', 'bag']) == EXIT_INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
