# SPDX-License-Identifier: Apache-2.0
"""`metric-depth simulate`: a simulated recording becomes a rosbag2."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import positive, size, whole

DEFAULT_RATE_HZ = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('out', type=Path, metavar='OUT', help='bag folder to create')
    parser.add_argument(
        '--scene',
        choices=('street', 'indoor', 'tabletop'),
        required=True,
        help='street: camera and LiDAR; indoor and tabletop: camera and depth camera',
    )
    parser.add_argument(
        '--seconds',
        type=positive(1e5),
        default=5.0,
        help='length of the recording, in a long one the robot goes to and fro; default: 5',
    )
    parser.add_argument(
        '--rate',
        type=positive(1e5),
        metavar='HZ',
        default=DEFAULT_RATE_HZ,
        help=f'frames a second; default: {DEFAULT_RATE_HZ:g}',
    )
    parser.add_argument('--seed', type=whole(0), default=0, help='same seed, same bag; default: 0')
    parser.add_argument(
        '--size',
        type=size(16, 8192),
        metavar='WxH',
        help='image size, 4 megapixels at most; default: 832x256 or 640x480',
    )
    parser.add_argument(
        '--device',
        choices=('cpu', 'cuda', 'auto'),
        default='cpu',
        help='where to cast rays; default: cpu',
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Write the bag and say what is in it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from metric_depth_ros.estimators.devices import torch_device
    from metric_depth_ros.simulation.recording import record
    from metric_depth_ros.simulation.scenes import make_scene

    device = torch_device(args.device)  # refused before there is a bag
    scene = make_scene(args.scene, args.size, args.seed)
    count = max(1, round(args.seconds * args.rate))
    with Progress(console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(escape(f'{args.scene} to {args.out}'), total=count)
        record(
            scene,
            args.out,
            count=count,
            rate_hz=args.rate,
            seed=args.seed,
            device=str(device),
            progress=lambda done, total: bar.update(task, completed=done),
        )
    print(
        f'{args.out}: {count} frames of {args.scene}, {scene.camera.width}x{scene.camera.height}, '
        f'{args.rate:g} Hz, seed {args.seed}'
    )
    return 0
