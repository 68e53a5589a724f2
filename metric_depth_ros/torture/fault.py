# SPDX-License-Identifier: Apache-2.0
"""What a fault is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metric_depth_ros.torture.rig import Rig


@dataclass(frozen=True)
class Fault:
    """One row of the campaign.

    Parameters
    ----------
    group, name
        What is done.
    expected
        What must be observed.
    inject
        Does it to the rig, and returns what was observed; raises `NotObservedError` where that is
        not what must be.
    is_quick
        Whether the test suite runs it, too.
    may_grow
        Whether the node may hold more threads or descriptors afterwards than before: only where
        the fault itself is a thread that never comes back.
    """

    group: str
    name: str
    expected: str
    inject: Callable[[Rig], str]
    is_quick: bool = True
    may_grow: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Parameters
    ----------
    group, name, expected
        Of the fault.
    observed
        In words.
    passed
        Whether that is what must be, the node lives, and the next good frame was answered in time.
    recovery_s
        From the first good frame sent after the fault to the first one answered; None where the
        node did not answer, or was not to.
    duration_s
        Of the fault.
    """

    group: str
    name: str
    expected: str
    observed: str
    passed: bool
    recovery_s: float | None
    duration_s: float
