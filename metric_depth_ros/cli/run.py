# SPDX-License-Identifier: Apache-2.0
"""``metric-depth run``: the `depth` node in this process, where ros2cli is not installed.

Same as ``ros2 run metric_depth_ros depth --ros-args ...``, with the Fast DDS profile chosen.
"""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path

from metric_depth_ros.cli.parameter_files import check_parameter_file
from metric_depth_ros.cli.topic_arguments import RECORDED
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
    for option, values, form in (
        ('-p', args.param, 'NAME:=VALUE'),
        ('-r', args.remap, 'FROM:=TO'),
    ):
        for value in values:
            if ':=' not in value:
                raise InputError(
                    'usage', f'{option} {value!r} has no ":=": write {option} {form}.'
                )
            arguments += [option, value]
    for rule in args.remap:
        _warn_of_misspelled(rule)
    return arguments


def _warn_of_misspelled(rule: str) -> None:
    """Tell of a rule for a name that is nearly that of an input: ROS says nothing of it."""
    inputs = RECORDED.split(', ')
    name = rule.partition(':=')[0].rpartition(':')[2].lstrip('/')  # of [NODE:]FROM:=TO
    # What comes before the topic may be a camera; outputs have names of their own.
    is_known = name.startswith('depth/') or any(f'/{name}'.endswith(f'/{i}') for i in inputs)
    near = get_close_matches(name, inputs, 1)
    if near and not is_known:
        print(
            f'-r {rule} may do nothing: the depth node has no topic {name!r}; did you mean '
            f'{near[0]}?',
            file=sys.stderr,
        )
