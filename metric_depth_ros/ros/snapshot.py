# SPDX-License-Identifier: Apache-2.0
"""The newest frame of a running node as a folder: a bug report that can be computed again.

The messages go into a bag as they came, the frame and what was published of it into files that
`metric-depth repeat` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.cdr import WireMessage
from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import ros_home, user_path
from metric_depth_ros.ros.assembly import Bundle
from metric_depth_ros.ros.limits import LimitedDepth
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.types import Frame

if TYPE_CHECKING:
    from metric_depth_ros.bags.writer import BagWriter

MESSAGES = 'messages'


@dataclass(frozen=True, eq=False)
class Answered:
    """A frame that was answered: messages, what was made of them and published, the parameters."""

    bundle: Bundle
    frame: Frame
    method: str
    confidence: NDArray[np.float32] | None
    limited: LimitedDepth
    settings: DepthNodeSettings


def save_snapshot(answered: Answered, root: str, prefix: str) -> Path:
    """Write a frame into a new folder, whole or not at all, and return the folder.

    Parameters
    ----------
    answered
        The frame.
    root
        The parameter ``snapshot.folder``.
    prefix
        Of the folder's name, which goes on with the stamp: node and camera.

    Raises
    ------
    InputError
        The folder exists already (the frame was saved before), or cannot be written.
    """
    # Before there is a folder, which would be half a snapshot where rosbags is not installed.
    from metric_depth_ros.bags.writer import BagWriter
    from metric_depth_ros.framesets.snapshots import Snapshot, write_snapshot

    folder = _root(root) / f'{prefix}_{answered.frame.stamp_ns}'
    snapshot = Snapshot(
        answered.frame,
        answered.limited.depth,
        answered.confidence,
        answered.limited.camera,
        answered.method,
        dict(_values(answered.settings, '')),
    )
    if folder.exists():
        raise InputError('snapshot', f'this frame is saved already: {folder}')
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix='.unfinished-', dir=folder.parent) as unfinished:
            whole = Path(unfinished, folder.name)
            write_snapshot(whole, snapshot)
            with BagWriter(whole / MESSAGES) as bag:
                _write_messages(bag, answered.bundle)
            whole.rename(folder)
    except (OSError, InputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        raise InputError(
            'snapshot',
            f'the snapshot {folder} cannot be written: {getattr(cause, "strerror", "") or error} '
            '(parameter snapshot.folder).',
        ) from error
    return folder


def _root(folder: str) -> Path:
    if folder:
        return user_path(folder)
    return ros_home() / 'metric_depth_snapshots'


def _values(settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the parameters by full name."""
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from _values(value, f'{prefix}{item.name}.')
        else:
            yield prefix + item.name, list(value) if isinstance(value, tuple) else value


def _write_messages(bag: BagWriter, bundle: Bundle) -> None:
    for stream, arrival in {'image': bundle.image, **bundle.measurements}.items():
        name, data = _as_it_came(arrival.message)
        bag.write_raw(f'/{stream}', name, data, max(arrival.stamp_ns, 0))


def _as_it_came(message: Any) -> tuple[str, bytes]:
    """Return the type of a message and its bytes."""
    if isinstance(message, WireMessage):
        return message.message_type, message.serialized
    from rclpy.serialization import serialize_message

    kind = type(message)
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}', serialize_message(message)
