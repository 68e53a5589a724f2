# SPDX-License-Identifier: Apache-2.0
"""`metric-depth demo`: simulate, replay, score and report, without any hardware."""

from __future__ import annotations

import argparse
from pathlib import Path

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        '--out', type=Path, default=Path('out/demo'), metavar='DIR', help='default: out/demo'
    )
    parser.add_argument(
        '--seconds', type=positive(1e4), default=4.0, help='length of each recording; default: 4'
    )
    parser.add_argument(
        '--rate', type=positive(1e4), default=5.0, metavar='HZ', help='frames a second; default: 5'
    )
    parser.add_argument(
        '--scale', type=positive(1e4), default=1.0, help='size of the images; default: 1'
    )
    parser.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='parameter of the node, e.g. estimator:=classical:fast; may be repeated',
    )
    parser.add_argument(
        '--picture', type=Path, metavar='FILE', help='one small picture of all scenes, e.g. a PNG'
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every frame was answered, or was passed over and the report says so."""
    from rich.console import Console
    from rich.progress import Progress

    from metric_depth_ros.cli.outputs import folder_for, prepare_file
    from metric_depth_ros.demo import (
        refuse_unwritable_picture,
        run_demo,
        write_overview_picture,
    )
    from metric_depth_ros.evaluation.report import format_number

    if args.picture is not None:
        refuse_unwritable_picture(args.picture, '--picture')
        prepare_file(args.picture, '--picture')
    console = Console(stderr=True)
    with folder_for(args.out, '--out'), Progress(console=console) as bar:
        tasks = {}

        def show(text: str, done: int, total: int) -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            bar.update(tasks[text], completed=done)

        parts = run_demo(
            args.out,
            seconds=args.seconds,
            rate_hz=args.rate,
            size_scale=args.scale,
            parameters=args.param,
            progress=show,
        )
    for part in parts:
        figures = part.figures
        print(
            f'{part.scene.name}: {figures["frames_out"]} of {figures["frames_in"]} frames '
            f'answered, AbsRel {format_number(figures["metrics"]["abs_rel"])}, latency p50 '
            f'{format_number(figures["latency_ms"]["p50"])} ms'
        )
        if part.passed_over:
            console.print(part.passed_over, style='yellow', markup=False, highlight=False)
        for failure in part.failures:
            console.print(failure, style='red', markup=False, highlight=False)
    if args.picture is not None:
        write_overview_picture(parts, args.picture)
    print(f'Report: {args.out / "report.html"}')
    return 1 if any(part.failures for part in parts) else 0
