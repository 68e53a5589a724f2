# SPDX-License-Identifier: Apache-2.0
"""What a run of a benchmark has done so far, on disk: one line an image and task.

Every process appends to a file of its own, so that a run which was interrupted, or whose
processes were other ones, goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.benchmarks.protocol import Score
from metric_depth_ros.evaluation.metrics import ErrorSums
from metric_depth_ros.whole_files import write_whole

_SETTINGS = 'run.json'
# To be raised with every change that gives the same answer of an estimator another figure, or an
# image another prompt, view or ground truth: old and new figures must not share a mean.
SCORING_RULES = 2


@dataclass(frozen=True)
class Record:
    """The score of one image in one task, and how long the estimate took."""

    task: str
    item: str
    score: Score
    elapsed_ms: float
    method: str


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what a run is about, or hold it against what the folder was begun with.

    How this version scores is part of it.

    Raises
    ------
    InputError
        The folder holds another run, the message names the first difference; or a damaged one.
    """
    path = folder / _SETTINGS
    wanted = json.loads(json.dumps({**settings, 'scoring_rules': SCORING_RULES}))
    if not path.exists():
        write_whole(path, json.dumps(wanted, indent=2) + '\n')
        return
    begun = _begun(path)
    for key in {**begun, **wanted}:
        if begun.get(key) != wanted.get(key):
            raise InputError(
                'benchmark_run',
                f'{folder} holds a run with {key} {begun.get(key)!r}, this one has '
                f'{wanted.get(key)!r}: give another --out, or delete the folder to begin anew.',
            )


def _begun(path: Path) -> dict[str, Any]:
    """Return what a folder was begun with."""
    try:
        begun = json.loads(path.read_text(encoding='utf-8'))
        if isinstance(begun, dict):
            return begun
        problem = 'it holds no keys and values'
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InputError(
        'benchmark_run',
        f'{path} does not tell which run the folder holds ({problem}): give another --out, or '
        'delete the folder to begin anew.',
    )


class RecordFile:
    """The file that one process appends to."""

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'records-{rank:03d}.jsonl'
        cut_short = path.exists() and not path.read_bytes().endswith(b'\n')
        self._stream: IO[str] = path.open('a', encoding='utf-8')
        if cut_short:  # by a kill: the line is lost, the next one must not be
            self._stream.write('\n')

    def __enter__(self) -> RecordFile:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._stream.close()

    def add(self, record: Record) -> None:
        """Append a record; it is on its way to the disk when this returns."""
        sums = record.score.sums
        line = {
            'task': record.task,
            'item': record.item,
            'figures': record.score.figures,
            'sums': None if sums is None else astuple(sums),
            'ms': record.elapsed_ms,
            'method': record.method,
        }
        self._stream.write(json.dumps(line) + '\n')
        self._stream.flush()


def read_records(folder: Path) -> dict[tuple[str, str], Record]:
    """Return what all processes have done, by task and item."""
    records = (r for path in sorted(folder.glob('records-*.jsonl')) for r in _records(path))
    return {(record.task, record.item): record for record in records}


def _records(path: Path) -> Iterator[Record]:
    with path.open(encoding='utf-8') as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut short by a kill: done again
            sums = None if entry['sums'] is None else ErrorSums(*entry['sums'])
            yield Record(
                entry['task'],
                entry['item'],
                Score(entry['figures'], sums),
                entry['ms'],
                entry['method'],
            )
