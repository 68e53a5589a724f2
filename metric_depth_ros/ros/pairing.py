# SPDX-License-Identifier: Apache-2.0
"""Pairing of streams by message_filters, where ``sync.policy`` is exact or approximate.

message_filters is imported only then, and the pairs are those of its TimeSynchronizer and its
ApproximateTimeSynchronizer. Three things that these lack are made up for here: they say nothing
about messages that find no partner; after a clock has jumped back they throw every new message
out for the old ones that are left over; and they hold a lock while they deliver, which an
exception of the receiver would leave locked for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameters import SyncSettings
from metric_depth_ros.ros.stamps import BackwardJump

QUEUE = 5  # messages of each stream that wait for their partners


class Pairing:
    """Sets of messages of several streams, one of which leads.

    Parameters
    ----------
    settings
        Policy and slop.
    streams
        The first one leads: its messages without partners are counted.
    on_set
        Called with the messages by stream, for each set.
    on_unpaired
        Called with a sentence while the leading stream finds no partners.

    Raises
    ------
    InputError
        message_filters is not installed.
    """

    def __init__(
        self,
        settings: SyncSettings,
        streams: Sequence[str],
        on_set: Callable[[dict[str, Any]], None],
        on_unpaired: Callable[[str], None],
    ) -> None:
        self._filters = _message_filters(settings.policy)
        self._settings = settings
        self._streams = tuple(streams)
        self._on_set = on_set
        self._on_unpaired = on_unpaired
        self._unpaired = 0
        self._jumps = BackwardJump()
        self._complete: list[tuple[Any, ...]] = []
        self._inputs: dict[str, Any] = {}
        self._begin()

    @property
    def problem(self) -> str:
        """A sentence while the leading stream finds no partners; empty: it does."""
        return self._unpaired_words() if self._unpaired > QUEUE else ''

    def add(self, stream: str, message: Any) -> None:
        """Take the next message of a stream."""
        if self._jumps.seen(stamp_ns(message.header.stamp), stream):
            self._begin()
        self._unpaired += stream == self._streams[0]
        self._inputs[stream].signalMessage(message)
        complete, self._complete = self._complete, []
        for messages in complete:
            self._unpaired = 0
            self._on_set(dict(zip(self._streams, messages, strict=True)))
        if problem := self.problem:
            self._on_unpaired(problem)

    def _begin(self) -> None:
        """Forget what waits for partners."""
        self._complete.clear()
        self._inputs = {stream: self._filters.SimpleFilter() for stream in self._streams}
        sources = list(self._inputs.values())
        if self._settings.policy == 'exact':
            synchronizer = self._filters.TimeSynchronizer(sources, QUEUE)
        else:
            synchronizer = self._filters.ApproximateTimeSynchronizer(
                sources, QUEUE, self._settings.slop_s
            )
        synchronizer.registerCallback(lambda *messages: self._complete.append(messages))

    def _unpaired_words(self) -> str:
        leading, *others = self._streams
        exact = self._settings.policy == 'exact'
        nearness = 'the same stamp' if exact else f'a stamp within {self._settings.slop_s:g} s'
        remedy = 'approximate or nearest' if exact else 'nearest, or raise sync.slop_s'
        return (
            f'the last {self._unpaired} messages of {leading} found no {" and ".join(others)} '
            f'with {nearness}: set sync.policy to {remedy}, or correct the stamps.'
        )


def check_installed(policy: str) -> None:
    """Refuse a policy whose package is not installed.

    Raises
    ------
    InputError
        ``exact`` or ``approximate`` without message_filters.
    """
    if policy != 'nearest':
        _message_filters(policy)


def _message_filters(policy: str) -> Any:
    try:
        import message_filters
    except ImportError as error:
        raise InputError(
            'sync',
            f'sync.policy is {policy}, but message_filters is not installed (sudo apt install '
            'ros-$ROS_DISTRO-message-filters). Without it, set sync.policy to nearest.',
        ) from error
    return message_filters
