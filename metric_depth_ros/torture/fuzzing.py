# SPDX-License-Identifier: Apache-2.0
"""Fuzzed messages as rows of the campaign; hypothesis is imported only when one is run.

A million messages take a while: what has been done is written down after each round, and a run
that was interrupted goes on from there.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from metric_depth_ros.errors import InputError
from metric_depth_ros.torture.fault import Outcome
from metric_depth_ros.torture.fuzz.kinds import Kind
from metric_depth_ros.whole_files import write_whole


@dataclass
class Progress:
    """What has been done of one kind.

    Parameters
    ----------
    rounds, tried, answered
        Rounds that are done, their messages, and how many of these were answered with depth.
    seconds
        That they took.
    """

    rounds: int = 0
    tried: int = 0
    answered: int = 0
    seconds: float = 0.0


class FuzzJournal:
    """What has been done of all kinds, in a file.

    Parameters
    ----------
    path
        The file.
    resume
        Whether to go on from what it says; if not, it is begun anew.

    Raises
    ------
    InputError
        A file that is no journal.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._kinds: dict[str, Progress] = {}
        if not (resume and path.exists()):
            return
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            self._kinds = {name: Progress(**done) for name, done in content.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                'fuzz', f'{path} is no journal of fuzzed messages ({error}): run without --resume.'
            ) from error

    def of(self, kind: Kind) -> Progress:
        """Return what has been done of a kind, to be changed and written."""
        return self._kinds.setdefault(kind.name, Progress())

    def write(self) -> None:
        """Write all of it, so that an interruption leaves the old file or the new one."""
        content = {name: asdict(progress) for name, progress in self._kinds.items()}
        write_whole(self._path, json.dumps(content, indent=2) + '\n')


def fuzz_outcome(
    kind: Kind,
    messages: int,
    journal: FuzzJournal,
    tell: Callable[[str], object] = lambda line: None,
) -> Outcome:
    """Try at least this many fuzzed messages of a kind.

    Parameters
    ----------
    kind
        Of the messages.
    messages
        How many, those included that the journal has.
    journal
        Where rounds are written down.
    tell
        Called with a line after each round.

    Raises
    ------
    InputError
        hypothesis is not installed.
    """
    try:
        from metric_depth_ros.torture.fuzz.rounds import fuzz_round
    except ModuleNotFoundError as error:
        raise InputError(
            'fuzz', f'fuzzing needs {error.name}: pip install {error.name}, or --fuzz 0.'
        ) from error
    done = journal.of(kind)
    fault = ''
    while done.tried < messages and not fault:
        began_s = time.monotonic()
        try:
            tally = fuzz_round(kind, done.rounds)
        except Exception:
            fault = f'round {done.rounds}: {traceback.format_exc()[-1500:]}'
            break
        done.rounds += 1
        done.tried += tally.tried
        done.answered += tally.answered
        done.seconds += time.monotonic() - began_s
        journal.write()
        tell(
            f'{kind.name}: {done.tried} of {messages} messages, '
            f'{done.tried / done.seconds:.0f} a second'
        )
    return Outcome(
        'fuzz',
        f'{done.tried} messages: {kind.name}',
        'refused by name, or outputs of the size of the image',
        fault or f'{done.answered} answered with depth, the others refused by name',
        not fault,
        None,
        done.seconds,
    )
