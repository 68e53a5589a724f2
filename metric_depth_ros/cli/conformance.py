# SPDX-License-Identifier: Apache-2.0
"""``metric-depth conformance``: recompute golden values of the papers' own code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metric_depth_ros.conformance.golden import Check, Golden


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
    """Print one line a quantity; return 1 when one is off or a folder is not usable.

    A folder that has nothing to compare is not usable: it would pass whatever is wrong here.
    """
    from metric_depth_ros.conformance.golden import find_goldens
    from metric_depth_ros.conformance.run import find_kind, run_golden
    from metric_depth_ros.errors import InputError

    passed = failed = unusable = 0
    for golden in (golden for folder in args.folders for golden in find_goldens(folder)):
        if find_kind(golden) is None:
            unusable += 1
            print(f'FAIL  {golden.folder}  unknown kind of golden')
            continue
        before = passed + failed
        try:
            for check in run_golden(golden):
                passed, failed = passed + check.ok, failed + (not check.ok)
                print(_line(golden, check), flush=True)
            if passed + failed == before:
                unusable += 1
                print(f'FAIL  {golden.folder}  nothing to compare in outputs.npz')
        except (InputError, KeyError) as error:  # a key: of an array or a setting that is absent
            unusable += 1
            print(f'FAIL  {golden.folder}  incomplete golden: {error}')
    print(f'{passed} within tolerance, {failed} off, {unusable} folders not usable')
    return 0 if failed == unusable == 0 else 1


def _line(golden: Golden, check: Check) -> str:
    verdict, relation = ('ok  ', '<=') if check.ok else ('FAIL', '> ')
    return (
        f'{verdict}  {golden.folder}  {check.case}  {check.quantity}  '
        f'{check.error:.2e} {relation} {check.tolerance:.2e}'
    )
