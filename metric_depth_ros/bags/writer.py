# SPDX-License-Identifier: Apache-2.0
"""`BagWriter`: messages or raw CDR into a rosbag2 of storage mcap. Imports rosbags."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from metric_depth_ros.bags.layout import TF_STATIC_TOPIC
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.errors import InputError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_FOREVER = QosTime(2147483647, 4294967295)


def _qos(durability: QosDurability, depth: int) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability.RELIABLE,
        durability,
        _FOREVER,
        _FOREVER,
        QosLiveliness.AUTOMATIC,
        _FOREVER,
        False,
    )


@contextmanager
def new_bag(path: Path, removed_on: type[BaseException] = BaseException) -> Iterator[BagWriter]:
    """Write a new bag, which is removed again where it does not come to its end.

    Parameters
    ----------
    path
        Folder to create.
    removed_on
        `InputError` for what is worth keeping when it is cut short by Ctrl-C.

    Raises
    ------
    InputError
        `path` exists already, and stays as it is; or as the methods of `BagWriter`.
    """
    bag = BagWriter(path)
    try:
        with bag:
            yield bag
    except removed_on:
        shutil.rmtree(path, ignore_errors=True)
        raise


class BagWriter:
    """Write a new rosbag2; one topic keeps one message type. A context manager.

    Parameters
    ----------
    path
        Folder to create; its parents may be missing.

    Raises
    ------
    InputError
        `path` exists already: a bag is never overwritten.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise InputError(
                'bag_exists',
                f'{path} exists already and bags are never overwritten: remove it or name '
                'another output.',
            )
        self._path = path
        self._connections: dict[str, Connection] = {}
        self._writer = Writer(
            path, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP
        )
        try:
            self._writer.open()
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)  # half made, it is in the way of the next one
            raise InputError(
                'bag_unwritable',
                f'cannot create the bag {path}: {error.strerror or error}. Name a folder that '
                'you may write to.',
            ) from error

    def __enter__(self) -> BagWriter:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the index and close, also after an error: what was recorded stays readable."""
        self.close()

    def close(self) -> None:
        """Write the index and metadata.yaml, and close the file.

        Raises
        ------
        InputError
            ``bag_unwritable``: the disk is full or gone.
        """
        try:
            self._writer.close()
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, topic: str, message: object, stamp_ns: int) -> None:
        """Serialize a rosbags message and append it.

        Parameters
        ----------
        topic
            Absolute topic name.
        message
            Message made with the classes of `bags.typestore`.
        stamp_ns
            Log time of the message in nanoseconds.
        """
        kind: str = message.__msgtype__  # type: ignore[attr-defined]
        self.write_raw(topic, kind, typestore().serialize_cdr(message, kind), stamp_ns)

    def write_raw(
        self, topic: str, message_type: str, data: bytes | memoryview, stamp_ns: int
    ) -> None:
        """Append a message that is serialized already (CDR with its encapsulation header).

        Raises
        ------
        InputError
            ``bag_unwritable``: the disk is full or gone.
        """
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._connect(topic, message_type)
        try:
            self._writer.write(connection, stamp_ns, data)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            'bag_unwritable',
            f'the bag {self._path} cannot be written any further: {error.strerror or error}. '
            'Free space, or name a folder on another disk.',
        )

    def _connect(self, topic: str, message_type: str) -> Connection:
        # /tf_static must be latched again by whoever plays the bag.
        latched = topic == TF_STATIC_TOPIC
        durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
        connection = self._writer.add_connection(
            topic,
            message_type,
            typestore=typestore(),
            offered_qos_profiles=[_qos(durability, 1 if latched else 10)],
        )
        self._connections[topic] = connection
        return connection
