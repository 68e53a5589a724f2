# SPDX-License-Identifier: Apache-2.0
"""Modules that say that they need the standard library only load nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import metric_depth_ros

PACKAGE = Path(metric_depth_ros.__file__).parent
# What a docstring may name besides, and the module that it is imported by.
NAMED = {'NumPy': 'numpy', 'PyYAML': 'yaml'}

LOADED = """
import sys
before = set(sys.modules)
import {module}
new = {{name.partition('.')[0] for name in set(sys.modules) - before}}
print(*sorted(new - set(sys.stdlib_module_names) - {{'metric_depth_ros'}}))
"""


def claims():
    """Return module -> the sentence of its docstring that makes the claim."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        text = ' '.join((ast.get_docstring(ast.parse(path.read_text())) or '').split())
        sentences = [s for s in text.split('. ') if 'standard library' in s.lower()]
        if sentences:
            parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
            found['.'.join(parts).removesuffix('.__init__')] = sentences[0]
    return found


CLAIMS = claims()


def test_tables_of_parameters_claim_to_need_the_standard_library_only():
    rooms = {'parameters', 'query_parameters', 'reconstruct_parameters', 'realsense.parameters'}
    assert {f'metric_depth_ros.ros.{room}' for room in rooms} <= CLAIMS.keys()


@pytest.mark.parametrize('module', CLAIMS)
def test_loads_the_standard_library_only(module):
    run = subprocess.run(
        [sys.executable, '-c', LOADED.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(run.stdout.split()) <= {n for word, n in NAMED.items() if word in CLAIMS[module]}
