# SPDX-License-Identifier: Apache-2.0
"""Run faults one after the other, and judge what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from metric_depth_ros.torture.fault import Fault, Outcome
from metric_depth_ros.torture.holdings import Holdings
from metric_depth_ros.torture.rig import NotObservedError, Rig

_SETTLED_S = 10.0


def run_fault(rig: Rig, fault: Fault) -> Outcome:
    """Do one fault to a rig whose good stream is answered, and judge it."""
    began_s = time.monotonic()
    recovery_s = None
    try:
        observed = fault.inject(rig)
        passed = True
    except NotObservedError as error:
        observed, passed = f'NOT AS EXPECTED: {error}', False
    duration_s = time.monotonic() - began_s
    try:
        recovery_s = rig.wait_recovered(time.monotonic())
    except NotObservedError:
        observed, passed = f'{observed}; no good frame was answered afterwards', False
    if not rig.node.is_running:
        observed, passed = f'{observed}; the node died: {rig.node.last_words()}', False
    if recovery_s is not None and recovery_s > rig.bars.recovery_s:
        observed, passed = f'{observed}; the next good frame took {recovery_s:.2f} s', False
    return Outcome(
        fault.group, fault.name, fault.expected, observed, passed, recovery_s, duration_s
    )


def run_faults(
    rig: Rig, faults: Iterable[Fault], tell: Callable[[Outcome], object] = lambda outcome: None
) -> list[Outcome]:
    """Do all faults to one rig; the last outcome is about what the node has gathered."""
    outcomes = []
    before = rig.holdings()
    pid, expected = rig.node.pid, 0
    for fault in faults:
        outcomes.append(run_fault(rig, fault))
        tell(outcomes[-1])
        expected += fault.may_grow
        if rig.node.pid != pid:  # killed and restarted
            before, pid, expected = rig.holdings(), rig.node.pid, 0
    outcomes.append(leaks(rig, before, expected))
    tell(outcomes[-1])
    return outcomes


def leaks(rig: Rig, before: Holdings, hanging: int = 0) -> Outcome:
    """Judge what the node holds now against what it held before.

    Parameters
    ----------
    rig
        With a node that answers.
    before
        What it held then.
    hanging
        Threads of estimators that were left hanging, on purpose.
    """
    began_s = time.monotonic()

    def grown() -> dict[str, int]:
        more = rig.holdings().grown_beyond(before)
        more['threads'] = more.get('threads', 0) - hanging
        return {name: count for name, count in more.items() if count > 0}

    # Participants that have left are forgotten with some delay.
    while grown() and time.monotonic() - began_s < _SETTLED_S:
        time.sleep(0.2)
    more = grown()
    now = rig.holdings()
    words = ', '.join(f'{count} {name} more' for name, count in more.items())
    held = f'{now.threads} threads, {now.descriptors} descriptors, {now.segments} segments'
    return Outcome(
        'leaks',
        'threads, processes, descriptors, shared memory',
        'as many as before the faults',
        words or held,
        not more,
        None,
        time.monotonic() - began_s,
    )
