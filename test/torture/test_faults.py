# SPDX-License-Identifier: Apache-2.0
"""Each quick fault of the campaign is a test: the node lives and answers the next good frame."""

import pytest

from metric_depth_ros.torture.campaign import run_fault
from metric_depth_ros.torture.faults import LIVE_FAULTS

QUICK = [fault for fault in LIVE_FAULTS if fault.is_quick]


@pytest.mark.parametrize('fault', QUICK, ids=lambda fault: f'{fault.group}: {fault.name}')
def test_a_fault_is_survived(rig, fault):
    outcome = run_fault(rig, fault)
    assert outcome.passed, f'{outcome.observed}\n{rig.node.last_words()}'
