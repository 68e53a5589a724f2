# SPDX-License-Identifier: Apache-2.0
"""`metric-depth doctor`: print what `metric_depth_ros.doctor` finds."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: there are none."""


def run(args: argparse.Namespace) -> int:
    """Print the findings; exit 1 when something needed is missing."""
    from metric_depth_ros.doctor import examine

    marks = {'ok': 'ok     ', 'missing': 'MISSING', 'absent': '-      '}
    complete = True
    for finding in examine():
        remedy = f'\n{"":28}-> {finding.remedy}' if finding.remedy else ''
        print(f'{marks[finding.state]} {finding.subject:<20}{finding.detail}{remedy}', flush=True)
        complete &= finding.state != 'missing'
    return 0 if complete else 1
