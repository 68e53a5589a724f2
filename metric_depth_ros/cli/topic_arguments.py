# SPDX-License-Identifier: Apache-2.0
"""The option ``--topic INPUT:=TOPIC``: which topics of a bag are read."""

from __future__ import annotations

import argparse
from typing import Any

RECORDED = 'image, camera_info, points, radar, sensor_depth/image, sensor_depth/camera_info'


def add_topic_argument(parser: Any, meaning: str) -> None:
    """Declare the option, for a parser or a group of its options."""
    parser.add_argument(
        '--topic', action='append', default=[], metavar='INPUT:=TOPIC', help=meaning
    )


def topics_from(args: argparse.Namespace) -> dict[str, str]:
    """Return the topics that were chosen, by input.

    Raises
    ------
    InputError
        Not written as INPUT:=TOPIC.
    """
    from metric_depth_ros.errors import InputError

    topics = {}
    for text in args.topic:
        name, separator, topic = text.partition(':=')
        if not separator:
            raise InputError('usage', f'--topic {text!r} has no ":=": write INPUT:=TOPIC.')
        topics[name] = topic
    return topics
