# SPDX-License-Identifier: Apache-2.0
"""Pairing of an image with the measurements around it: camera-driven, bounded, never stalling.

Callbacks offer messages from one thread, a worker takes bundles from another. The image leads:
there is room for one, and a newer one replaces it. A bundle holds, per source, the message whose
stamp is nearest to that of the image; of a latched source that of its stamp, else the last that
arrived. An image waits for a measurement only where the rhythm of the source says that a nearer
one is about to arrive, or where a latched source changes; an image that comes late finds what was
measured at its time. Standard library only; knows no ROS.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metric_depth_ros.codecs.stamps import NS_PER_S

MOST_KEPT = 64  # messages of a source; clouds and depth images are large
_RHYTHM = 2  # messages that tell the rhythm of a source
# A source that has never sent is waited for longer, so that the first frame has a prompt, but
# only by the first frames: a sensor that is not there must not slow the camera.
FIRST_WAIT_S = 0.25
FIRST_WAITS = 3
# Messages of a latched source that say the same, or that come before their image, after which
# none is waited for.
_STEADY = 30
_RHYTHM_S = 1.0  # a second message that has not come by then is not waited for


@dataclass(frozen=True, eq=False)
class Arrival:
    """A message that arrived.

    Parameters
    ----------
    message, stamp_ns
        The message and its stamp.
    arrived_s
        Monotonic time.
    age_s
        Of an image: how old it was then, 0 where that is not known.
    """

    message: Any
    stamp_ns: int
    arrived_s: float
    age_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Bundle:
    """An image with the measurement of each source that fits it.

    Parameters
    ----------
    image
        The image that leads.
    measurements
        By source; a source without a message near enough is absent.
    waited_s
        Time that the image spent waiting for measurements.
    missed_s
        For each source without a message near enough: by how much the nearest one is after the
        image (negative: before), None where there is none.
    """

    image: Arrival
    measurements: dict[str, Arrival]
    waited_s: float
    missed_s: dict[str, float | None] = field(default_factory=dict)


def nearest_arrival(arrived: Sequence[Arrival], stamp_ns: int, *, latched: bool) -> Arrival | None:
    """Return the message with the nearest stamp, the newer of two equally near ones.

    Of a latched source, whose stamps may be of any clock, that of this very stamp, else the last
    that arrived.

    Parameters
    ----------
    arrived
        In the order of arrival.
    stamp_ns
        Of the image.
    latched
        Whether the source is.
    """
    if latched:
        own = (a for a in reversed(arrived) if a.stamp_ns == stamp_ns)
        return next(own, arrived[-1] if arrived else None)
    return min(reversed(arrived), key=lambda a: abs(a.stamp_ns - stamp_ns), default=None)


@dataclass(eq=False)
class _Source:
    """The messages of one topic that an image may still need, and its rhythm.

    The last message of a latched source (CameraInfo) holds for every image that has none of its
    own stamp. It is waited for until one has come, and while its messages differ (a lens that
    zooms) and some come right after the image of their stamp, as most drivers publish.
    """

    max_age_s: float
    latched: bool
    content: Callable[[Any], object]
    led: int = _STEADY  # messages since one that came after the image of its stamp
    steady: int = _STEADY  # messages since one that differed from the one before
    recent: deque[Arrival] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    last_arrived_s: float | None = None
    first_waits: int = 0

    def add(self, arrival: Arrival) -> None:
        newest_ns = self.recent[-1].stamp_ns if self.recent else arrival.stamp_ns
        if (newest_ns - arrival.stamp_ns) / NS_PER_S > self.max_age_s:
            self.recent.clear()  # its clock went back: a bag began anew
        if self.latched and self.recent:
            differs = self.content(self.recent[-1].message) != self.content(arrival.message)
            self.steady = 0 if differs else self.steady + 1
        self.recent.append(arrival)
        self.last_arrived_s = arrival.arrived_s

    def forget_other_than(self, stamp_ns: int) -> None:
        """Keep only what fits an image of this stamp, and be ready to wait again."""
        kept = [a for a in self.recent if abs(a.stamp_ns - stamp_ns) / NS_PER_S <= self.max_age_s]
        self.recent = deque(kept, maxlen=MOST_KEPT)
        self.first_waits = 0

    def forget_needless(self, image_ns: int, kept_s: float) -> None:
        """Forget what is nearest to no image that is still to come.

        Parameters
        ----------
        image_ns
            Stamp that no such image is before: what was measured until then but for the last
            message is needless.
        kept_s
            Nor is any image this far behind the newest message.
        """
        newest_ns = self.recent[-1].stamp_ns
        # An image of another time says nothing: the clock of the source went back before its own.
        is_near = (image_ns - newest_ns) / NS_PER_S <= self.max_age_s
        while len(self.recent) > _RHYTHM:
            first_ns, second_ns = self.recent[0].stamp_ns, self.recent[1].stamp_ns
            is_passed = is_near and first_ns <= second_ns <= image_ns
            if not is_passed and (newest_ns - first_ns) / NS_PER_S <= kept_s:
                return
            self.recent.popleft()

    def nearest_arrival(self, stamp_ns: int) -> Arrival | None:
        """Return the message that fits an image of this stamp best."""
        return nearest_arrival(self.recent, stamp_ns, latched=self.latched)

    def wait_until(self, image: Arrival, max_wait_s: float) -> float:
        """Return the monotonic time until which a nearer message is worth waiting for."""
        if not self.recent:
            if self.first_waits >= FIRST_WAITS or max_wait_s == 0.0:
                return 0.0
            return image.arrived_s + max(max_wait_s, FIRST_WAIT_S)
        last = self.recent[-1]
        behind_ns = image.stamp_ns - last.stamp_ns
        if behind_ns <= 0:
            return 0.0
        if self.latched:
            is_due = max(self.led, self.steady) < _STEADY
            return image.arrived_s + max_wait_s if is_due else 0.0
        if len(self.recent) == 1:  # no rhythm yet, or the only one that ever comes
            fresh = image.arrived_s - last.arrived_s < _RHYTHM_S
            return image.arrived_s + max_wait_s if fresh else 0.0
        before = self.recent[-2]
        period_ns = last.stamp_ns - before.stamp_ns
        if period_ns >= 2 * behind_ns:  # the next one will be farther from the image than this
            return 0.0
        period_s = last.arrived_s - before.arrived_s
        due_s = last.arrived_s + period_s
        limit_s = image.arrived_s + max_wait_s
        if due_s > limit_s:
            return 0.0
        return min(limit_s, due_s + max(0.5 * period_s, max_wait_s))


class Assembly:
    """Bounded meeting point of the streams of one camera.

    Parameters
    ----------
    sources
        Names of the streams that give measurements.
    latched
        Names of the streams whose last message holds until the next (CameraInfo), but for images
        that have one of their own stamp.
    max_age_s
        Largest difference between the stamps of an image and of a measurement.
    max_wait_s
        Longest time that an image waits for a measurement, counted from its arrival.
    max_frame_age_s
        Images arrive at most this long after their stamp; 0: any time.
    content
        Returns what a message of a latched stream says but for its header. Where that changes,
        images wait for the one of their stamp.
    """

    def __init__(
        self,
        sources: Iterable[str],
        latched: Iterable[str],
        max_age_s: float,
        max_wait_s: float,
        max_frame_age_s: float = 0.0,
        content: Callable[[Any], object] = lambda message: None,
    ) -> None:
        self.replaced = 0
        self._max_wait_s = max_wait_s
        self._max_frame_age_s = max_frame_age_s
        self._sources = {name: _Source(max_age_s, False, content) for name in sources}
        self._sources |= {name: _Source(math.inf, True, content) for name in latched}
        self._image: Arrival | None = None
        self._taken: Arrival | None = None  # and waits for its measurements
        self._newest_ns = 0  # of the images
        self._image_arrived_s: float | None = None
        self._closed = False
        self._changed = threading.Condition()

    def set_limits(self, max_age_s: float, max_wait_s: float, max_frame_age_s: float) -> None:
        """Change the limits from the next image on."""
        with self._changed:
            self._max_wait_s = max_wait_s
            self._max_frame_age_s = max_frame_age_s
            for source in self._sources.values():
                if not source.latched:
                    source.max_age_s = max_age_s

    def offer_image(
        self, message: object, stamp_ns: int, *, age_s: float = 0.0, jumped_back: bool = False
    ) -> None:
        """Store the newest image; one that nobody has taken is replaced and counted.

        Parameters
        ----------
        message
            The image.
        stamp_ns
            Its stamp.
        age_s
            How old it is already, 0 where that is not known.
        jumped_back
            The clock went back (a bag began anew): what was measured elsewhere in time is
            forgotten.
        """
        with self._changed:
            if self._image is not None:
                self.replaced += 1
            self._image = Arrival(message, stamp_ns, time.monotonic(), age_s)
            self._image_arrived_s = self._image.arrived_s
            self._newest_ns = stamp_ns
            for source in self._sources.values():
                if jumped_back:
                    source.forget_other_than(stamp_ns)
                self._forget_needless(source)
            self._changed.notify()

    def offer(self, source: str, message: object, stamp_ns: int) -> None:
        """Store a measurement."""
        with self._changed:
            held = self._sources[source]
            held.led = 0 if stamp_ns == self._newest_ns else held.led + 1
            held.add(Arrival(message, stamp_ns, time.monotonic()))
            self._forget_needless(held)
            self._changed.notify()

    def heard(self, stream: str) -> None:
        """Note that a stream sends, though its message still waits for partners elsewhere."""
        with self._changed:
            if stream == 'image':
                self._image_arrived_s = time.monotonic()
            else:
                self._sources[stream].last_arrived_s = time.monotonic()

    def wake(self) -> None:
        """Let whoever waits for an image ask whether it is given up."""
        with self._changed:
            self._changed.notify_all()

    def take(self, given_up: Callable[[], bool] = lambda: False) -> Bundle | None:
        """Wait for an image and what belongs to it; None once closed.

        Parameters
        ----------
        given_up
            Asked before an image is taken, after every message and `wake`: whether to return None.
        """
        with self._changed:
            while self._image is None and not self._closed and not given_up():
                self._changed.wait()
            if self._closed or self._image is None or given_up():
                return None
            image, self._image = self._image, None
            self._taken = image
            waited_s = self._wait_for_due(image)
            self._taken = None
            if self._closed:
                return None
            return self._bundle(image, waited_s)

    def close(self) -> None:
        """Wake the worker for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def silent_s(self, stream: str) -> float | None:
        """Return the seconds since the last message of a stream, None if it never sent one.

        The stream is ``'image'`` or a source.
        """
        with self._changed:
            arrived_s = (
                self._image_arrived_s
                if stream == 'image'
                else self._sources[stream].last_arrived_s
            )
        return None if arrived_s is None else time.monotonic() - arrived_s

    def _forget_needless(self, source: _Source) -> None:
        if not source.recent:
            return
        until_ns = self._newest_ns
        if self._taken is not None:
            until_ns = min(until_ns, self._taken.stamp_ns)
        max_late_s = self._max_frame_age_s or math.inf
        source.forget_needless(until_ns, max_late_s + source.max_age_s)

    def _bundle(self, image: Arrival, waited_s: float) -> Bundle:
        bundle = Bundle(image, {}, waited_s)
        for name, source in self._sources.items():
            found = source.nearest_arrival(image.stamp_ns)
            offset_s = None if found is None else (found.stamp_ns - image.stamp_ns) / NS_PER_S
            if found is not None and offset_s is not None and abs(offset_s) <= source.max_age_s:
                bundle.measurements[name] = found
            else:
                bundle.missed_s[name] = offset_s
        return bundle

    def _wait_for_due(self, image: Arrival) -> float:
        began_s = time.monotonic()
        while not self._closed:
            deadline_s = max(
                (s.wait_until(image, self._max_wait_s) for s in self._sources.values()),
                default=0.0,
            )
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0.0:
                break
            self._changed.wait(remaining_s)
        for source in self._sources.values():
            source.first_waits += not source.recent
        return time.monotonic() - began_s
