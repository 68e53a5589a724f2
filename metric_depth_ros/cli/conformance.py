# SPDX-License-Identifier: Apache-2.0
"""``metric-depth conformance``: recompute golden values of the papers' own code."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "compare networks and algorithms with values that the papers' own code computed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'folders',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='a golden (config.json, inputs.npz, outputs.npz, weights), or a folder of goldens',
    )


def run(args: argparse.Namespace) -> int:
    """Print one line a quantity; return 1 when one is off or a folder is of an unknown kind."""
    from metric_depth_ros.evaluation.conformance.golden import find_goldens
    from metric_depth_ros.evaluation.conformance.run import find_kind, run_golden

    passed = failed = unknown = 0
    for folder in args.folders:
        for golden in find_goldens(folder):
            if find_kind(golden) is None:
                unknown += 1
                print(f'FAIL  {golden.folder}  unknown kind of golden')
                continue
            for check in run_golden(golden):
                passed, failed = passed + check.ok, failed + (not check.ok)
                relation = '<=' if check.ok else '> '
                print(
                    f'{"ok  " if check.ok else "FAIL"}  {golden.folder}  {check.case}  '
                    f'{check.quantity}  {check.error:.2e} {relation} {check.tolerance:.2e}'
                )
    print(f'{passed} within tolerance, {failed} off, {unknown} folders of unknown kind')
    return 0 if failed == unknown == 0 else 1
