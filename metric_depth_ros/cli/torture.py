# SPDX-License-Identifier: Apache-2.0
"""``metric-depth torture``: a campaign of faults against a live node, with a report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metric_depth_ros.torture.fault import Outcome

    Tell = Callable[[Outcome], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('out/torture'),
        help='folder of the reports; default: out/torture',
    )
    parser.add_argument(
        '--only',
        default='',
        metavar='WORDS',
        help='only faults whose group or name holds these words, e.g. lifecycle',
    )
    parser.add_argument(
        '--frames',
        type=whole(0),
        default=10_000,
        metavar='N',
        help='frames of the endurance run, 1000 or more; 0 leaves it out; default: 10000',
    )
    parser.add_argument(
        '--fuzz',
        type=whole(0),
        default=10_000,
        metavar='N',
        help='fuzzed messages of each kind, 0 leaves them out; default: 10000',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='count the fuzzed messages of an earlier run, and go on from there',
    )
    parser.add_argument('--list', action='store_true', help='list the faults and stop')


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Run the campaign; exit 1 where anything was not as expected."""
    import tempfile

    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.torture.endurance import LEAST_FRAMES
    from metric_depth_ros.torture.report import line_of, summary, write_reports

    if 0 < args.frames < LEAST_FRAMES:
        raise InputError(
            'torture_frames',
            f'--frames {args.frames}: fewer do not show what a node gathers over time; expected '
            f'{LEAST_FRAMES} or more, or 0 for none.',
        )
    chosen = list(_chosen_faults(args))
    if not chosen:
        raise InputError(
            'torture_only',
            f'--only {args.only!r}: no fault holds these words{_left_out(args)}; '
            '`metric-depth torture --list` prints all faults.',
        )
    if args.list:
        print('\n'.join(chosen))
        return 0
    prepare_folder(args.out, '--out')
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _show_progress('')
        print(line_of(outcome), flush=True)

    is_whole = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            _live(Path(folder), args.only, tell)
            _files(Path(folder), args.only, tell)
            _long(Path(folder), args, tell)
        is_whole = True
    finally:  # hours may be done when somebody ends it
        if is_whole or outcomes:
            paths = write_reports(args.out, outcomes, is_whole)
            print(summary(outcomes, is_whole), *paths, sep='\n')
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _left_out(args: argparse.Namespace) -> str:
    zero = [f'--{name} 0' for name in ('frames', 'fuzz') if not getattr(args, name)]
    return f' of those that {" and ".join(zero)} leave{"s" * (len(zero) == 1)}' if zero else ''


def _chosen_faults(args: argparse.Namespace) -> Iterator[str]:
    from metric_depth_ros.torture.faults import LIVE_FAULTS
    from metric_depth_ros.torture.files import FILE_FAULTS
    from metric_depth_ros.torture.fuzz.kinds import KINDS

    only = args.only
    for fault in LIVE_FAULTS:
        if _chosen(only, fault.group, fault.name):
            yield f'{fault.group}: {fault.name} -> {fault.expected}'
    for file_fault in FILE_FAULTS:
        if _chosen(only, 'files', file_fault.name):
            yield f'files: {file_fault.name} -> refused with one sentence'
    for kind in KINDS:
        if args.fuzz and _chosen(only, 'fuzz', kind.name):
            yield f'fuzz: {kind.name} -> refused by name, or outputs of the size of the image'
    if args.frames and _chosen(only, 'endurance', 'frames'):
        yield 'endurance: frames -> no more memory, threads and files held at the end'


def _chosen(only: str, group: str, name: str) -> bool:
    return only.lower() in f'{group}: {name}'.lower()


def _live(folder: Path, only: str, tell: Tell) -> None:
    from metric_depth_ros.torture.campaign import run_faults
    from metric_depth_ros.torture.faults import LIVE_FAULTS
    from metric_depth_ros.torture.rig import Rig

    chosen = [fault for fault in LIVE_FAULTS if _chosen(only, fault.group, fault.name)]
    if not chosen:
        return
    own = folder / 'live'
    own.mkdir()
    with Rig(own) as rig:
        run_faults(rig, chosen, tell)


def _files(folder: Path, only: str, tell: Tell) -> None:
    from metric_depth_ros.torture.files import FILE_FAULTS, run_file_fault

    for number, fault in enumerate(FILE_FAULTS):
        if _chosen(only, 'files', fault.name):
            own = folder / f'file_{number}'
            own.mkdir()
            tell(run_file_fault(fault, own))


def _long(folder: Path, args: argparse.Namespace, tell: Tell) -> None:
    from metric_depth_ros.torture.endurance import run_endurance
    from metric_depth_ros.torture.fuzz.kinds import KINDS
    from metric_depth_ros.torture.fuzzing import FuzzJournal, fuzz_outcome

    journal = FuzzJournal(args.out / 'fuzz.json', args.resume)
    for kind in KINDS:
        if args.fuzz and _chosen(args.only, 'fuzz', kind.name):
            tell(fuzz_outcome(kind, args.fuzz, journal, _show_progress))
    if args.frames and _chosen(args.only, 'endurance', 'frames'):
        own = folder / 'endurance'
        own.mkdir()
        tell(run_endurance(own, args.frames, _show_progress))


def _show_progress(line: str) -> None:
    """Rewrite one line of a terminal; a log is spared."""
    if sys.stderr.isatty():
        print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)
