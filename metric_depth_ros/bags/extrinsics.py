# SPDX-License-Identifier: Apache-2.0
"""Transforms of a bag, static and moving. Imports the sibling `reader`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.layout import TF_STATIC_TOPIC, TF_TOPIC, TF_TYPE
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.poses import matrix_from_transform
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import Transform

_LOGGER = logging.getLogger(__name__)


def read_static_transforms(bag: Path) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return every transform of the bag's /tf_static.

    Parameters
    ----------
    bag
        Bag folder or file.

    Returns
    -------
    dict[tuple[str, str], NDArray[np.float64]]
        (4, 4) by (parent frame, child frame); p_parent = T p_child. The last one wins where a
        pair was published several times, and what is no transform is left out.

    Raises
    ------
    InputError
        The bag cannot be read, or has no /tf_static or one of another type.
    """
    with BagReader(bag) as reader:
        return {frames: matrix for frames, _, matrix in _transforms(reader, TF_STATIC_TOPIC)}


def read_poses(bag: Path) -> dict[tuple[str, str], PoseTrack]:
    """Return the path of every frame that moves, from the bag's /tf; empty where it has none.

    Parameters
    ----------
    bag
        Bag folder or file.

    Returns
    -------
    dict[tuple[str, str], PoseTrack]
        By (parent frame, child frame). The last pose wins where a stamp occurs several times, and
        what is no pose is left out.

    Raises
    ------
    InputError
        The bag cannot be read, or its /tf is of another type.
    """
    poses: dict[tuple[str, str], dict[int, NDArray[np.float64]]] = {}
    with BagReader(bag) as reader:
        if TF_TOPIC not in reader.topics:
            return {}
        for frames, stamp_ns, matrix in _transforms(reader, TF_TOPIC):
            poses.setdefault(frames, {})[stamp_ns] = matrix
    return {
        frames: PoseTrack(
            np.array(sorted(path), np.int64), np.stack([path[stamp] for stamp in sorted(path)])
        )
        for frames, path in poses.items()
    }


def _transforms(reader: BagReader, topic: str) -> Iterator[tuple[tuple[str, str], int, Transform]]:
    """Yield frames, stamp (ns) and matrix of what tf2 would take.

    Nodes publish transforms before they have filled them in. tf2 skips those, so that robots run
    with them, and a bag of such a robot is as good as the robot.
    """
    told = set()
    if topic in reader.topics:
        reader.require_type(topic, TF_TYPE, 'convert it, or leave it out.')
    for _, message in reader.messages([topic]):
        for stamped in message.transforms:
            frames = _frames(stamped)
            try:
                matrix = matrix_from_transform(stamped.transform)
            except InputError as error:
                if frames not in told:
                    told.add(frames)
                    parent, child = frames
                    words = '%s: the place of %r in %r on %s is left out: %s'
                    _LOGGER.warning(words, reader.path, child, parent, topic, error)
            else:
                yield frames, stamp_of(stamped), matrix


def _frames(stamped: Message) -> tuple[str, str]:
    return stamped.header.frame_id.lstrip('/'), stamped.child_frame_id.lstrip('/')
