# SPDX-License-Identifier: Apache-2.0
"""`metric-depth replay`: a bag through the live node, recorded and scored."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import positive, whole
from metric_depth_ros.cli.rerun_option import add_rerun_argument, open_rerun
from metric_depth_ros.cli.topic_arguments import RECORDED, add_topic_argument, topics_from

if TYPE_CHECKING:
    from rich.console import Console

    from metric_depth_ros.evaluation.error_report import ErrorReport
    from metric_depth_ros.evaluation.fail_if import Condition
    from metric_depth_ros.evaluation.rerun_log import RerunLog
    from metric_depth_ros.replay.session import ReplayOptions, ReplayRun

_LAST_DOMAIN = 232  # the ports of DDS end there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('bag', type=Path, metavar='BAG', help='rosbag2 folder, .mcap or .db3')
    _add_output_arguments(parser)
    _add_node_arguments(parser)
    _add_playing_arguments(parser)
    parser.add_argument(
        '--fail-if',
        action='append',
        default=[],
        metavar='CONDITION',
        help="exit with 1 when it holds, e.g. 'abs_rel>0.1', 'replaced>0' or "
        "'latency_ms.p95>100'; may be repeated",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for recording and node.log; default: a new one in out/replay',
    )
    parser.add_argument(
        '--json',
        type=Path,
        metavar='FILE',
        help='where the figures go; default: figures.json in that folder',
    )
    parser.add_argument(
        '--html',
        type=Path,
        metavar='FILE',
        help='write a report: worst frames, errors by distance and confidence, latencies',
    )
    add_rerun_argument(parser)


def _add_node_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--params-file', type=Path, metavar='FILE', help='parameters of the node')
    parser.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='one parameter, e.g. estimator:=classical:fast; may be repeated',
    )
    parser.add_argument('--with-points', action='store_true', help='subscribe to depth/points too')
    parser.add_argument(
        '--domain',
        type=whole(0, _LAST_DOMAIN),
        metavar='ID',
        help='ROS domain, 0 to 232; default: random',
    )


def _add_playing_arguments(parser: argparse.ArgumentParser) -> None:
    add_topic_argument(
        parser,
        f'topic of the bag for {RECORDED} or ground_truth (a depth image, or the cloud of a LiDAR '
        'that the node does not get); may be repeated',
    )
    parser.add_argument(
        '--rate', type=positive(1000.0), default=1.0, help='2 plays twice as fast; default: 1'
    )
    parser.add_argument(
        '--loops',
        type=whole(1),
        default=1,
        metavar='N',
        help='play N times with rising stamps; the first time is recorded and scored; default: 1',
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Replay; 0 when all went well, 1 when frames were lost, the node died or --fail-if holds."""
    from metric_depth_ros.cli.outputs import folder_for
    from metric_depth_ros.cli.parameter_files import check_parameter_file
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.evaluation.fail_if import parse_condition

    conditions = [parse_condition(text) for text in args.fail_if]
    topics = topics_from(args)
    if not args.bag.exists():  # before a folder is made for it
        raise InputError('bag_missing', f'there is no bag at {args.bag}: check the path.')
    if args.params_file is not None:
        check_parameter_file(args.params_file)
    out = args.out or _free_folder(Path('out', 'replay'), args.bag.resolve().name)
    with folder_for(out, '--out'):
        return _replay(args, out, topics, conditions)


def _replay(
    args: argparse.Namespace, out: Path, topics: dict[str, str], conditions: list[Condition]
) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from metric_depth_ros.cli.outputs import prepare_file, refuse_one_for_two, whole_file
    from metric_depth_ros.evaluation.error_report import ErrorReport
    from metric_depth_ros.replay.figures import failures, replay_figures
    from metric_depth_ros.replay.published import DEPTH_TOPIC
    from metric_depth_ros.replay.scoring import score_recording
    from metric_depth_ros.replay.session import replay
    from metric_depth_ros.replay.streams import GROUND_TRUTH

    json_file = args.json or out / 'figures.json'
    refuse_one_for_two({'--json': json_file, '--html': args.html, '--rerun': args.rerun})
    prepare_file(json_file, '--json')
    if args.html is not None:
        prepare_file(args.html, '--html')
    options = _options(args, out, topics)
    console = Console(stderr=True)
    report = None if args.html is None else ErrorReport()
    with open_rerun(args) as log, Progress(console=console, transient=True) as bar:
        task = bar.add_task(escape(f'replay {args.bag}'), total=None)
        result = replay(options, lambda done, total: bar.update(task, completed=done, total=total))
        # What was measured stays, whatever may be wrong with what it is compared with.
        score = None
        _write_figures(json_file, replay_figures(options, result, score))
        if GROUND_TRUTH in result.streams.topics:
            bar.update(task, description='score', total=None)
            score = score_recording(
                args.bag, result.streams, result.recording, DEPTH_TOPIC, result.settings
            )
        bar.update(task, description='report', total=None)
        _show(args.bag, result, report, log)
    figures = replay_figures(options, result, score)
    _write_figures(json_file, figures)
    if report is not None:
        with whole_file(args.html, '--html') as path:
            _write_html(path, figures, report)
    _print_table(figures, out, console)
    problems = failures(figures, result, conditions)
    for problem in problems:
        console.print(problem, style='red', markup=False, highlight=False)
    return 1 if problems else 0


def _options(args: argparse.Namespace, out: Path, topics: dict[str, str]) -> ReplayOptions:
    from metric_depth_ros.replay.session import ReplayOptions

    return ReplayOptions(
        bag=args.bag,
        out=out,
        params_file=args.params_file,
        parameters=args.param,
        topics=topics,
        rate=args.rate,
        loops=args.loops,
        with_points=args.with_points,
        with_confidence=args.html is not None or args.rerun is not None,
        domain=args.domain,
    )


def _show(bag: Path, result: ReplayRun, report: ErrorReport | None, log: RerunLog | None) -> None:
    """Go through the answered frames once, for all that shows them."""
    from metric_depth_ros.replay.answered import add_to_report, answered_frames, log_frame

    if report is None and log is None:
        return
    for replayed, latency_ms in answered_frames(bag, result):
        if report is not None:
            add_to_report(report, replayed, latency_ms)
        if log is not None:
            log_frame(log, replayed, latency_ms)


def _write_figures(file: Path, figures: dict[str, Any]) -> None:
    import json

    from metric_depth_ros.cli.outputs import whole_file

    with whole_file(file, '--json') as path:
        path.write_text(json.dumps(figures, indent=2, allow_nan=False) + '\n', encoding='utf-8')


def _write_html(path: Path, figures: dict[str, Any], report: ErrorReport) -> None:
    from metric_depth_ros.evaluation.report import write_report

    text = (
        f'{figures["frames_out"]} of {figures["frames_in"]} images answered by '
        f'{figures["method"]}; {figures["replaced"]} replaced, {figures["stale"]} stale, '
        f'{figures["lost"]} lost. Latency is from the publication of an image to the receipt of '
        'its depth.'
    )
    write_report(path, f'Replay of {figures["bag"]}', [report.section('Frames', text)])


def _print_table(figures: dict[str, Any], out: Path, console: Console) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from metric_depth_ros.evaluation.report import format_number

    table = Table(box=SIMPLE, show_header=False, padding=(0, 1, 0, 0))
    seldom = ('bad_input', 'failed', 'repeated_stamps')
    told = ['replaced', 'stale', 'lost', *(name for name in seldom if figures[name])]
    counts = ', '.join(f'{figures[name]} {name}' for name in told)
    table.add_row(
        'frames', f'{figures["frames_out"]} of {figures["frames_in"]} answered, {counts}'
    )
    table.add_row('method', escape(figures['method']))
    for name in ('latency_ms', 'estimator_ms', 'rss_mb', 'metrics', 'metrics_unprompted'):
        if any(value is not None for value in figures[name].values()):
            values = (f'{key} {format_number(value)}' for key, value in figures[name].items())
            table.add_row(name, ', '.join(values))
    table.add_row('cpu_percent', format_number(figures['cpu_percent']))
    table.add_row('written to', escape(str(out)))
    console.print(table)


def _free_folder(parent: Path, name: str) -> Path:
    """Return parent/name, or the first of name-2, name-3, ... that does not exist."""
    names = itertools.chain([name], (f'{name}-{number}' for number in itertools.count(2)))
    return next(parent / free for free in names if not (parent / free).exists())
