# SPDX-License-Identifier: Apache-2.0
"""`metric-depth make-bag`: a frame set becomes a rosbag2."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('frame_set', type=Path, metavar='FRAMESET', help='folder with frames.json')
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to create')
    parser.add_argument(
        '--prompt', help='prompt to write as a sensor; default: the first that can be scored'
    )
    parser.add_argument('--camera', help='camera of a multi-camera set; default: the first')
    parser.add_argument(
        '--rate',
        type=positive(1000.0),
        metavar='HZ',
        help='stamp the frames at this rate; default: the stamps of the set, or 10 Hz if it has '
        'no rate',
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Write the bag and say what is in it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from metric_depth_ros.bags.from_frameset import write_frame_set
    from metric_depth_ros.framesets import load_frame_set

    frame_set = load_frame_set(args.frame_set)
    with Progress(console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(escape(f'{frame_set.name} to {args.out}'), total=None)
        summary = write_frame_set(
            frame_set,
            args.out,
            prompt=args.prompt,
            camera=args.camera,
            rate_hz=args.rate,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    camera = '' if summary.camera is None else f', camera {summary.camera}'
    print(
        f'{args.out}: {summary.frames} frames of {frame_set.name}{camera}, '
        f'prompt {summary.prompt}, {summary.rate_hz:g} Hz'
    )
    if summary.left_out:
        print(f'Frames left out, without prompt {summary.prompt}: {summary.left_out}')
    if summary.node_parameters:
        given = (f'-p {name}:={value}' for name, value in summary.node_parameters.items())
        print(f'For the prompt that `evaluate` makes of this set, replay with {" ".join(given)}')
    return 0
