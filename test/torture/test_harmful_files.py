# SPDX-License-Identifier: Apache-2.0
"""Some of the campaign's files given to the commands themselves; the readers have tests too."""

import pytest

from metric_depth_ros.torture.files import FILE_FAULTS, FileFault, run_file_fault

QUICK = (
    'bag whose records claim 2^60 bytes',
    'cloud that claims 2^31 points',
    'disk full while recording',
    'weights that run code',
    'model that asks for a million layers',
)


@pytest.mark.parametrize('name', QUICK)
def test_a_harmful_file_is_refused_in_one_sentence(name, tmp_path):
    fault = next(fault for fault in FILE_FAULTS if fault.name == name)
    outcome = run_file_fault(fault, tmp_path)
    assert outcome.passed, outcome.observed


@pytest.mark.parametrize(('says', 'passed'), [('of this', True), ('of that', False)])
def test_a_refusal_of_something_else_is_not_as_expected(says, passed, tmp_path):
    program = (
        'raise SystemExit(print("refused because of this", file=__import__("sys").stderr) or 2)'
    )
    fault = FileFault('of this', lambda folder: ['-c', program], says)
    assert run_file_fault(fault, tmp_path).passed is passed
