# SPDX-License-Identifier: Apache-2.0
"""The journal of a training: a JSON line for whatever it has to tell. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from metric_depth_ros.whole_files import write_whole

JOURNAL_NAME = 'metrics.jsonl'
_BEST_BY = ('ratio', 'abs_rel')  # the first that there is; less is better

Figures = dict[str, float]


def write_line(path: Path, step: int, what: str, figures: Mapping[str, Any]) -> None:
    """Add a line."""
    with path.open('a', encoding='utf-8') as journal:
        journal.write(json.dumps({'step': step, 'what': what, **figures}) + '\n')


def cut_after(path: Path, step: int) -> None:
    """Drop the lines after a step, which will be made again."""
    kept = _lines_until(path, step)
    write_whole(path, ''.join(json.dumps(line) + '\n' for line in kept))


def score_of(figures: Mapping[str, Any]) -> float | None:
    """Return what the best weights are chosen by, or None without it; less is better."""
    return next((figures[name] for name in _BEST_BY if name in figures), None)


def best_score(path: Path, step: int, validated: Mapping[str, Any]) -> float:
    """Return the best score of the validations up to a step; infinite without one.

    Parameters
    ----------
    validated
        Examples that the next scores are of, as lines of a start tell them; scores of others do
        not count.
    """
    best, before = float('inf'), None
    for line in [*_lines_until(path, step), {'what': 'start', 'validated': validated}]:
        if line['what'] == 'validation':
            score = score_of(line)
            best = best if score is None else min(best, score)
        elif 'validated' in line:
            if before not in (None, line['validated']):
                best = float('inf')
            before = line['validated']
    return best


def _lines_until(path: Path, step: int) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text('utf-8').splitlines():
        with suppress(ValueError):  # of a line that a full disk or a kill cut short
            lines.append(json.loads(text))
    return [line for line in lines if line['step'] <= step]
