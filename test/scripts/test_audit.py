# SPDX-License-Identifier: Apache-2.0
"""What `make audit` says for reports as pip-audit writes them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts/audit.py'
GOOD = {'name': 'numpy', 'version': '2.4.0', 'vulns': []}
BAD = {
    'name': 'pillow',
    'version': '9.0.0',
    'vulns': [{'id': 'PYSEC-2022-1', 'fix_versions': ['9.0.1'], 'aliases': [], 'description': ''}],
}
SKIPPED = {'name': 'torch', 'skip_reason': 'Dependency not found on PyPI: torch (2.9.0+cpu)'}


@pytest.fixture(scope='module')
def audit():
    specification = importlib.util.spec_from_file_location('audit', SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_packages_without_a_known_vulnerability_pass(audit):
    code, lines = audit.verdict({'dependencies': [GOOD, SKIPPED]})
    assert code == 0
    assert lines[-1] == '1 of 2 packages looked up, 0 of them vulnerable'
    assert 'torch' in lines[0]


def test_a_vulnerable_package_fails_with_its_remedy(audit):
    code, lines = audit.verdict({'dependencies': [GOOD, BAD]})
    assert code == 1
    assert lines[0] == 'VULNERABLE: pillow 9.0.0: PYSEC-2022-1, fixed in 9.0.1'


def test_a_report_in_which_nothing_was_looked_up_is_no_pass(audit):
    code, lines = audit.verdict({'dependencies': [SKIPPED, SKIPPED]})
    assert code == 2
    assert lines[0].startswith('NOT AUDITED: none of 2 packages')


def test_a_program_that_fails_is_no_pass(tmp_path):
    program = tmp_path / 'pip-audit'
    program.write_text('#!/bin/sh\necho no service >&2\nexit 1\n')
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / 'constraints.txt', '--pip-audit', program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'NOT AUDITED: pip-audit gave no report: no service' in done.stdout
