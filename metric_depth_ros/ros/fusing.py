# SPDX-License-Identifier: Apache-2.0
"""The worker thread of the `reconstruct` node: published depth in, a growing surface out.

Callbacks only store. A depth image waits here for the pose of its stamp, in the order of the
stamps, and never longer than it may.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.reconstruction.posed_frame import PosedFrame
from metric_depth_ros.ros.dense_depth import DEPTH, decode_dense
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.pose_sources import PoseSource
from metric_depth_ros.ros.reconstruct_parameters import ReconstructNodeSettings
from metric_depth_ros.ros.stamps import BackwardJump
from metric_depth_ros.ros.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metric_depth_ros.reconstruction.live_surface import Cloud, LiveSurface
    from metric_depth_ros.types import DepthEstimate

_WAITING = 10  # depth images that wait for their pose
_POSE_POLL_S = 0.02
_RECENT = 100  # frames that the percentiles of /diagnostics are over
_LOCK_S = 1.0  # of the two seconds in which an interrupted node is gone


# What became of the depth images.
COUNTS = (
    'frames_in',  # came with their CameraInfo
    'fused',
    'no_color',  # fused, but gray: without the color image that is subscribed to
    'skipped',  # left out by fusion.max_rate_hz
    'no_pose',  # dropped, since no pose of their stamp came in time
    'replaced',  # dropped, since too many were waiting
    'bad_input',  # dropped, since they or their pose could not be used
    'failed',  # dropped, since fusing them failed
)


@dataclass(frozen=True)
class _Waiting:
    stamp_ns: int
    messages: dict[str, Any]
    surface: int  # number of the surface that it belongs to
    arrived_s: float = field(default_factory=time.monotonic)


class FusionWorker:
    """Thread that fuses between `start` and `stop`; what it knows of the surface outlives it.

    Parameters
    ----------
    surface
        What grows.
    poses
        Where the camera was.
    settings
        Returns the settings in force.
    publish
        Takes a cloud, its frame and its stamp (ns).
    listeners
        Tells how many listen to the cloud.
    counts, faults
        Where images are counted by `COUNTS`, and what is wrong with them is reported.
    save
        Writes the surface, before it is forgotten.
    """

    def __init__(
        self,
        surface: LiveSurface,
        poses: PoseSource,
        settings: Callable[[], ReconstructNodeSettings],
        publish: Callable[[Cloud, str, int], None],
        listeners: Callable[[], int],
        counts: Tally,
        faults: FaultLog,
        save: Callable[[], None],
    ) -> None:
        self.recent_ms: deque[float] = deque(maxlen=_RECENT)
        self._surface = surface
        self._poses = poses
        self._settings = settings
        self._publish = publish
        self._listeners = listeners
        self._heard_by = 0
        self._counts = counts
        self._faults = faults
        self._save = save
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._surface_lock = threading.Lock()
        self._stopped = False
        self._surface_wanted = self._surface_begun = 0  # a clock that goes back begins another
        self._jumps = BackwardJump()
        self._taken_ns = -1
        self._fused_ns = 0
        self._world = ''
        self._published_s = -float('inf')
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fuse what is offered from now on into the surface as it is."""
        self._stopped = False
        self._heard_by = 0  # those who listened before may not be those who do now
        # A daemon, so that a frame that takes seconds cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='fusion-worker', daemon=True)
        self._thread.start()

    def offer(self, stamp_ns: int, messages: dict[str, Any]) -> None:
        """Take the messages of one stamp."""
        if self._jumps.seen(stamp_ns):  # nobody has told: it was while the thread was stopped
            self.jumped_back()
        rate_hz = self._settings().fusion.max_rate_hz
        self._counts.count('frames_in')
        if rate_hz and 0 <= stamp_ns - self._taken_ns < NS_PER_S / rate_hz:
            self._counts.count('skipped')
            return
        self._taken_ns = stamp_ns
        with self._changed:
            if len(self._queue) >= _WAITING:
                self._queue.popleft()
                self._counts.count('replaced')
            self._queue.append(_Waiting(stamp_ns, messages, self._surface_wanted))
            self._changed.notify()

    def jumped_back(self) -> None:
        """Take notice that stamps went back."""
        restart = self._settings().time_jump == 'restart'
        self._faults.report(
            DEPTH,
            'stamp_backward',
            'the stamps jumped back (a bag or a simulation began anew): poses are forgotten'
            + (', and a new surface begins (parameter time_jump).' if restart else '.'),
        )
        self._poses.clear()
        self._jumps.forget()
        with self._changed:
            self._queue.clear()
            self._taken_ns = -1
            self._surface_wanted += restart

    @contextmanager
    def surface(self) -> Iterator[LiveSurface | None]:
        """Give the surface to one reader at a time; None where the thread does not let it go."""
        is_ours = self._surface_lock.acquire(timeout=_LOCK_S)
        try:
            yield self._surface if is_ours else None
        finally:
            if is_ours:
                self._surface_lock.release()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False if the frame at hand takes longer than the timeout.

        Where it does, neither this worker nor its surface can be used any more.
        """
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._changed.notify()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._step()
            except InputError as error:
                self._counts.count('bad_input')
                self._faults.report(DEPTH, error.fault, str(error))
            except Exception:  # a defect, not of the input: it costs this frame, never the node
                self._counts.count('failed')
                self._faults.report(DEPTH, 'internal', f'a frame failed: {traceback.format_exc()}')

    def _step(self) -> None:
        """Fuse the next image that has a pose, and publish what is due."""
        found = self._next()
        if found is not None:
            self._fuse(*found)
        if not self._stopped:
            self._publish_if_due()

    def _next(self) -> tuple[_Waiting, Transform] | None:
        """Return the first image whose pose is known; drop those that have waited too long."""
        max_wait_s = self._settings().pose.max_wait_s
        with self._changed:
            if not self._queue:
                self._changed.wait(_POSE_POLL_S)
            waiting = list(self._queue)
        for image in waiting:
            frame_id = image.messages[DEPTH].header.frame_id.lstrip('/')
            try:
                pose = self._poses.at(frame_id, image.stamp_ns)
            except InputError:
                self._take(image)
                raise
            if pose is not None:
                return (image, pose) if self._take(image) else None
            if time.monotonic() - image.arrived_s > max_wait_s and self._take(image):
                self._counts.count('no_pose')
                self._faults.report(self._poses.topic, 'pose_missing', self._missing(image))
        if waiting:
            with self._changed:
                self._changed.wait(_POSE_POLL_S)
        return None

    def _take(self, image: _Waiting) -> bool:
        """Remove an image from the queue; False if the clock has jumped meanwhile."""
        with self._changed:
            try:
                self._queue.remove(image)
            except ValueError:
                return False
            return True

    def _missing(self, image: _Waiting) -> str:
        pose = self._settings().pose
        return (
            f'no pose of {image.messages[DEPTH].header.frame_id!r} at '
            f'{image.stamp_ns / NS_PER_S:.3f} s within pose.max_wait_s = {pose.max_wait_s:g}: '
            f'the depth image is dropped. Is {self._poses.topic} published, in the same clock, '
            + (
                f'with a path from {self._poses.world!r}?'
                if pose.source == 'tf2'
                else 'around the stamps of the depth, and /tf too where the camera moves on its '
                'robot? A slow one needs a longer pose.max_wait_s.'
            )
        )

    def _fuse(self, image: _Waiting, pose: Transform) -> None:
        began_s = time.monotonic()
        dense = decode_dense(image.stamp_ns, image.messages)
        if self._world and self._poses.world != self._world:
            self._faults.report(
                self._poses.topic,
                'world_changed',
                f'poses are in {self._poses.world!r} now, not in {self._world!r}: a new surface '
                'begins.',
            )
            self._restart()
        elif image.surface != self._surface_begun:
            self._restart()
        self._surface_begun = image.surface
        self._world = self._poses.world
        self._integrate(PosedFrame(dense.frame, pose), dense.estimate)
        self._fused_ns = image.stamp_ns
        lacks_color = self._settings().color != 'none' and dense.image is None
        self._counts.count('no_color', lacks_color)
        self._counts.count('fused')
        self.recent_ms.append(1e3 * (time.monotonic() - began_s))

    def _integrate(self, posed: PosedFrame, estimate: DepthEstimate) -> None:
        min_confidence = self._settings().fusion.min_confidence
        try:
            with self._surface_lock:
                self._surface.integrate(posed, estimate, min_confidence)
        except OSError as error:
            self._faults.report(
                DEPTH,
                'save',
                'what the camera has left behind cannot be kept on disk and is missing from the '
                f'surface: {error.strerror or error} (parameter save.folder).',
            )

    def _restart(self) -> None:
        if self._settings().save.on_shutdown and self._counts['fused']:
            self._save()
        with self._surface_lock:
            self._surface.restart()

    def _publish_if_due(self) -> None:
        cloud = self._settings().cloud
        now_s = time.monotonic()
        listeners = self._listeners()
        self._heard_by = min(self._heard_by, listeners)
        if not listeners or now_s - self._published_s < 1.0 / cloud.rate_hz:
            return
        with self._surface_lock:
            points = self._surface.changed_cloud() if cloud.mode == 'changed' else None
            # Whoever came late has heard of no earlier change.
            if points is None or listeners > self._heard_by:
                points = self._surface.window_cloud()
        self._heard_by = listeners
        if len(points[0]):
            self._publish(points, self._world, self._fused_ns)
            self._published_s = now_s
