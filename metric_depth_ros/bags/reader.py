# SPDX-License-Identifier: Apache-2.0
"""`BagReader`: rosbag2 (mcap, sqlite3) message by message, raw or decoded. Imports rosbags.

Whatever is wrong with a bag is an `InputError` that names the bag: rosbags itself reports damage
with a dozen kinds of exception, depending on which byte is damaged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from metric_depth_ros.bags.storages import BoundedReader
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.frames import INDEX_NAME

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'


@dataclass(frozen=True)
class RawMessage:
    """One message as it lies in the bag.

    Parameters
    ----------
    topic, message_type
        Topic and type, e.g. ``'sensor_msgs/msg/Image'``.
    log_ns
        Time at which it was recorded, in nanoseconds.
    data
        CDR bytes with their encapsulation header.
    """

    topic: str
    message_type: str
    log_ns: int
    data: bytes


class BagReader:
    """Read a rosbag2 lazily, in the order of time. A context manager.

    Parameters
    ----------
    path
        Bag folder (with metadata.yaml), or a bare ``.mcap`` or ``.db3`` file.

    Raises
    ------
    InputError
        ``bag_missing``, ``bag_format`` (not a rosbag2), or ``bag_corrupt``; the last also for an
        sqlite3 recording that was not ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_what_is_no_bag(path)
        try:
            self._reader = BoundedReader(path)
            self._reader.open()
        except InputError:
            raise
        except Exception as error:
            raise _corrupt(path, error) from error

    def __enter__(self) -> BagReader:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    @property
    def topics(self) -> dict[str, str]:
        """Message type by topic, of the topics that hold messages."""
        return {c.topic: c.msgtype for c in self._reader.connections if c.msgcount}

    def count(self, topic: str) -> int:
        """Return how many messages a topic holds."""
        return sum(c.msgcount for c in self._reader.connections if c.topic == topic)

    def absence(self, topic: str) -> str:
        """Return why a topic is none of `topics`: 'has no topic /x', or one without messages."""
        if topic in (c.topic for c in self._reader.connections):
            return (
                f'holds no messages of topic {topic} (its publisher was silent while the bag was '
                'recorded)'
            )
        return f'has no topic {topic}'

    def require_type(self, topic: str, message_type: str, remedy: str) -> None:
        """Refuse a topic that is not there, or of another type.

        Raises
        ------
        InputError
            ``bag_type``; it ends with the remedy.
        """
        kind = self.topics.get(topic)
        if kind != message_type:
            found = self.absence(topic)
            if kind is not None:
                found = f'cannot be used: topic {topic} has messages of type {kind}'
            raise InputError('bag_type', f'{self.path} {found}, expected {message_type}: {remedy}')

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Yield messages undecoded; only one is in memory at a time.

        Parameters
        ----------
        topics
            Topics wanted; None means all.

        Raises
        ------
        InputError
            ``bag_topic`` for a topic that the bag lacks, ``bag_corrupt`` for damage.
        """
        messages = self._reader.messages(self._select(topics))
        while True:
            try:
                connection, log_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:
                raise _corrupt(self.path, error) from error
            yield RawMessage(connection.topic, connection.msgtype, log_ns, data)

    def messages(
        self, topics: Collection[str] | None = None
    ) -> Iterator[tuple[RawMessage, Message]]:
        """Yield (raw, decoded message) pairs; the decoded one has the ROS field names.

        Raises
        ------
        InputError
            As `raw`; also ``bag_type`` for a message type that is not a common ROS one.
        """
        for raw in self.raw(topics):
            yield raw, self.decode(raw)

    def decode(self, raw: RawMessage) -> Message:
        """Return the decoded message.

        Raises
        ------
        InputError
            ``bag_type`` for an unknown type, ``bag_format`` for messages compressed one by one
            in a file without its folder, ``bag_corrupt`` for bytes that do not fit the type.
        """
        if self.path.is_file() and raw.data[:4] == _ZSTD_MAGIC:
            raise InputError(
                'bag_format',
                f'{self.path}: the messages of topic {raw.topic} are compressed one by one, which '
                'only metadata.yaml tells: name the bag folder instead of the file in it.',
            )
        store = typestore()
        if raw.message_type not in store.types:
            raise InputError(
                'bag_type',
                f'{self.path}: topic {raw.topic} has messages of type {raw.message_type}, which '
                'is none of the common ROS 2 messages: leave the topic out.',
            )
        try:
            return store.deserialize_cdr(raw.data, raw.message_type)
        except Exception as error:
            raise _corrupt(self.path, error) from error

    def _select(self, topics: Collection[str] | None) -> list[Connection]:
        if topics is None:
            return list(self._reader.connections)
        missing = sorted(set(topics) - {c.topic for c in self._reader.connections})
        if missing:
            raise InputError(
                'bag_topic',
                f'{self.path} has no topic {", ".join(missing)}; it has '
                f'{", ".join(sorted(self.topics)) or "none at all"}.',
            )
        return [c for c in self._reader.connections if c.topic in topics]


def _refuse_what_is_no_bag(path: Path) -> None:
    if not path.exists():
        raise InputError('bag_missing', f'there is no bag at {path}: check the path.')
    if path.is_file() and path.suffix == '.bag':
        raise InputError(
            'bag_format',
            f'{path} is a ROS 1 bag, expected a rosbag2: convert it with '
            '`rosbags-convert --src IN.bag --dst OUT`.',
        )
    if path.is_dir() and not (path / 'metadata.yaml').exists():
        has_sets = any(next(path.glob(at), None) for at in (INDEX_NAME, f'*/{INDEX_NAME}'))
        raise InputError(
            'bag_format',
            f'{path} holds frame sets ({INDEX_NAME}) and is no rosbag2 folder: `metric-depth '
            'evaluate` scores frame sets, `metric-depth make-bag` makes a bag of one, tokenize '
            'and reconstruct take one at a time.'
            if has_sets
            else f'{path} holds no metadata.yaml, so it is not a rosbag2 folder: name the bag '
            'folder itself or its .mcap or .db3 file. `ros2 bag reindex` rewrites a lost '
            'metadata.yaml.',
        )
    if path.is_file() and path.suffix not in ('.mcap', '.db3'):
        raise InputError(
            'bag_format',
            f'{path} is no rosbag2: expected a bag folder, or a file ending in .mcap or .db3.',
        )


def _corrupt(path: Path, error: Exception) -> InputError:
    reason = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        reason = 'a record claims more bytes than there is memory'
    return InputError(
        'bag_corrupt',
        f'{path} cannot be read, it is damaged or was cut short ({reason}): record or copy it '
        'again; `mcap recover` or `ros2 bag reindex` may save a part.',
    )
