# SPDX-License-Identifier: Apache-2.0
"""``metric-depth run``: the `depth` node in this process, where ros2cli is not installed.

Same as ``ros2 run metric_depth_ros depth --ros-args ...``, with the Fast DDS profile chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metric_depth_ros.cli.parameter_files import check_parameter_file
from metric_depth_ros.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, named as those of ROS."""
    parser.add_argument(
        '--params-file',
        action='append',
        type=Path,
        default=[],
        metavar='FILE',
        help='YAML of parameters, e.g. config/kitti.yaml; may be repeated',
    )
    parser.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='one parameter, e.g. extrinsics.path:=calib.txt; may be repeated',
    )
    parser.add_argument(
        '-r',
        '--remap',
        action='append',
        default=[],
        metavar='FROM:=TO',
        help='remap a topic, e.g. image:=/camera/image_raw; may be repeated',
    )


def run(args: argparse.Namespace) -> int:
    """Run the node until it is interrupted."""
    from metric_depth_ros.nodes.depth import main

    return main(ros_arguments(args))


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """Return the command line of the node.

    Raises
    ------
    InputError
        A file that is none, or an option without ``:=``.
    """
    arguments = ['--ros-args']
    for path in args.params_file:
        check_parameter_file(path)
        arguments += ['--params-file', str(path)]
    for option, values in (('-p', args.param), ('-r', args.remap)):
        for value in values:
            if ':=' not in value:
                raise InputError(
                    'usage', f'{option} {value!r} has no ":=": write {option} NAME:=VALUE.'
                )
            arguments += [option, value]
    return arguments
