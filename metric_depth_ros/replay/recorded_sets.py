# SPDX-License-Identifier: Apache-2.0
"""Messages of one stamp, gathered from the topics of a bag. Loads no rclpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.ros.stamp_sets import StampSets

# Images that a camera records before the depth of one of them comes: four seconds at 30 Hz.
_STAMPS_MEANWHILE = 120


def recorded_sets(
    reader: BagReader, required: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, Message]]]:
    """Yield stamps (ns) with their messages by topic, in the order of the stamps.

    Parameters
    ----------
    reader
        Of the bag.
    required, optional
        Topics that a set needs, and those that it may lack; all must be in the bag.
    """
    ready: list[tuple[int, dict[str, Message]]] = []
    sets: StampSets[Message] = StampSets(
        required,
        optional,
        lambda stamp_ns, found: ready.append((stamp_ns, found)),
        capacity=_STAMPS_MEANWHILE,
        expect_optional=True,
    )
    for raw, message in reader.messages([*required, *optional]):
        sets.add(raw.topic, message, stamp_of(message))
        while ready:
            yield ready.pop(0)
    sets.flush()
    yield from ready
