# SPDX-License-Identifier: Apache-2.0
"""The report of a campaign: text for a terminal, JSON for a machine, one HTML file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from metric_depth_ros.evaluation.report import Section, Table, write_report
from metric_depth_ros.machine import describe_machine, describe_versions
from metric_depth_ros.torture.fault import Outcome

TITLE = 'Faults against the depth node'


def line_of(outcome: Outcome) -> str:
    """Return an outcome as one line."""
    verdict = 'ok  ' if outcome.passed else 'FAIL'
    recovery = '' if outcome.recovery_s is None else f' [next frame {outcome.recovery_s:.2f} s]'
    observed = ' '.join(outcome.observed.split())
    return f'{verdict} {outcome.group}: {outcome.name}: {observed}{recovery}'


def summary(outcomes: Sequence[Outcome], is_whole: bool = True) -> str:
    """Return the result of the campaign, or of what was done of it, in one sentence."""
    failed = sum(not outcome.passed for outcome in outcomes)
    recoveries = [o.recovery_s for o in outcomes if o.recovery_s is not None]
    slowest = f', the slowest recovery took {max(recoveries):.2f} s' if recoveries else ''
    cut = '' if is_whole else 'interrupted after '
    return f'{cut}{len(outcomes)} faults, {failed} not as expected{slowest}'


def write_reports(folder: Path, outcomes: Sequence[Outcome], is_whole: bool = True) -> list[Path]:
    """Write torture.txt, torture.json and torture.html; return their paths.

    Parameters
    ----------
    folder
        Where to.
    outcomes
        Of the faults that were done.
    is_whole
        False where the campaign was interrupted, which the reports then say.
    """
    paths = [folder / f'torture.{kind}' for kind in ('txt', 'json', 'html')]
    text, data, page = paths
    result = summary(outcomes, is_whole)
    lines = [*map(line_of, outcomes), result]
    text.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    content = {
        'summary': result,
        'is_whole': is_whole,
        'machine': describe_machine(),
        'versions': describe_versions(),
        'faults': [asdict(outcome) for outcome in outcomes],
    }
    data.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    write_report(page, TITLE, [Section('Result', [result]), *_sections(outcomes)])
    return paths


def _sections(outcomes: Sequence[Outcome]) -> Iterator[Section]:
    header = ['fault', 'expected', 'observed', 'next good frame, s', 'verdict']
    for group, members in groupby(outcomes, lambda outcome: outcome.group):
        rows = [
            [o.name, o.expected, o.observed[:200], o.recovery_s, 'ok' if o.passed else 'FAIL']
            for o in members
        ]
        yield Section(group, tables=[Table(header, rows)])
