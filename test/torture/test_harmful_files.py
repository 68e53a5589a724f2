# SPDX-License-Identifier: Apache-2.0
"""Some of the campaign's files given to the commands themselves; the readers have tests too."""

import pytest

from metric_depth_ros.torture.files import FILE_FAULTS, run_file_fault

QUICK = ('bag whose records claim 2^60 bytes', 'disk full while recording')


@pytest.mark.parametrize('name', QUICK)
def test_a_harmful_file_is_refused_in_one_sentence(name, tmp_path):
    fault = next(fault for fault in FILE_FAULTS if fault.name == name)
    outcome = run_file_fault(fault, tmp_path)
    assert outcome.passed, outcome.observed
