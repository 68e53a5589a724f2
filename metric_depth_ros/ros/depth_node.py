# SPDX-License-Identifier: Apache-2.0
"""The `depth` node: transitions create and release what the other modules of this room are.

configure: parameters, extrinsics, estimator, publishers. activate: subscriptions and the worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticStatus

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.batching import BatchingEstimator
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.channel import FRAMES, Channel
from metric_depth_ros.ros.diagnostics import unique_name
from metric_depth_ros.ros.estimation import apply_live, estimator_from
from metric_depth_ros.ros.extrinsics import (
    Extrinsics,
    check_places,
    create_extrinsics,
    placed_sources,
)
from metric_depth_ros.ros.fed_extrinsics import FedExtrinsics
from metric_depth_ros.ros.inputs import SharedStreams
from metric_depth_ros.ros.managed_node import STOP_S, ManagedNode
from metric_depth_ros.ros.pairing import check_installed
from metric_depth_ros.ros.parameters import DEPTH_NODE, DepthNodeSettings
from metric_depth_ros.ros.snapshot import save_snapshot
from metric_depth_ros.ros.static_tree import StaticTree


class DepthNode(ManagedNode[DepthNodeSettings]):
    """Dense metric depth of one camera, or of several."""

    def __init__(self) -> None:
        super().__init__('depth', DEPTH_NODE, FRAMES)
        self._channels: list[Channel] = []
        self._next_estimator: Estimator | None = None
        self._estimator_is_busy = False  # with a frame that was abandoned
        self._feeds: dict[str, CameraFeed] = {}

    def take_from(self, camera: str, feed: CameraFeed) -> None:
        """Take the streams of a camera from a node of this process, from the next activate on."""
        self._feeds[camera] = feed

    def _configure(self) -> None:
        settings = self._settings
        check_installed(settings.sync.policy)
        self._check_fed(settings)
        self._extrinsics = self._extrinsics_of(settings)
        self._releases.append(self._extrinsics.close)
        self._estimator: Estimator = estimator_from(settings)
        self._estimator_is_busy = False
        self._releases.append(self._forget_estimator)
        self._releases.append(self._channels.clear)
        for camera in settings.cameras or ('',):
            channel = Channel(
                self,
                camera,
                lambda: self._settings,
                self._extrinsics,
                self._faults,
                self._feeds.get(camera),
            )
            self._releases.append(channel.close)
            channel.open()
            self._channels.append(channel)
        self._offer('~/save_snapshot', self._save_snapshot)
        self.get_logger().info(
            f'configured: estimator {self._estimator.name}, prompts from '
            f'{", ".join(settings.prompt.sources) or "nothing"}'
        )

    def _forget_estimator(self) -> None:
        """Give back the memory of its network."""
        self._next_estimator = None
        del self._estimator

    def _check_fed(self, settings: DepthNodeSettings) -> None:
        for name, value in (
            ('image_transport', settings.image_transport),
            ('prompt.depth_transport', settings.prompt.depth_transport),
        ):
            if self._feeds and value != 'raw':
                raise InputError(
                    'parameter',
                    f'parameter {name} is {value}, but the camera is of this process and hands '
                    'over raw images: set it to raw.',
                )

    def _extrinsics_of(self, settings: DepthNodeSettings) -> Extrinsics:
        """Return the extrinsics; cameras of this process tell their own."""
        of_clouds = replace(settings.prompt, depth_alignment='registered')
        placed = placed_sources(of_clouds if self._feeds else settings.prompt)
        check_places(settings.extrinsics, settings.cameras, placed)
        others: Extrinsics = (
            create_extrinsics(settings.extrinsics, self)
            if placed
            else StaticTree({}, 'the cameras of this process' if self._feeds else 'nothing')
        )
        return FedExtrinsics(self._feeds.values(), others) if self._feeds else others

    def _activate(self) -> None:
        if self._estimator_is_busy:
            self._estimator, self._estimator_is_busy = estimator_from(self._settings), False
        answering, shared = self._answering(), SharedStreams()
        topics = [
            topic for channel in self._channels for topic in channel.activate(answering, shared)
        ]
        self.get_logger().info(f'active: waiting for {", ".join(dict.fromkeys(topics))}')

    def _answering(self) -> Estimator:
        """Return the estimator as the cameras call it: several of them all at once."""
        if len(self._channels) < 2:
            return self._estimator
        return BatchingEstimator(self._estimator, self._settings.batch_window_s)

    def _deactivate(self) -> None:
        ends_s = time.monotonic() + STOP_S
        for channel in self._channels:
            if not channel.deactivate(max(0.0, ends_s - time.monotonic())):
                self.get_logger().warning('a frame is still being computed; it is abandoned')
                self._estimator_is_busy = True

    def _replace_if_hanging(self) -> None:
        """Give up an estimator that does not come back: another one answers the next frames."""
        limit_s = self._settings.estimator_timeout_s
        hanging = max(self._channels, key=Channel.busy_s, default=None)
        if hanging is None or not limit_s or hanging.busy_s() <= limit_s:
            return
        self._faults.report(
            hanging.image_topic,
            'estimator_hangs',
            f'{self._estimator.name} has not answered a frame for {hanging.busy_s():.1f} s, more '
            f'than estimator_timeout_s = {limit_s:g}: it is given up and made anew.',
        )
        try:
            self._prepare_or_refuse(self._settings)
        except InputError as error:  # what hung may take its device along: tried again, then
            period_s = self._settings.diagnostics.period_s
            message = f'no other estimator, tried again in {period_s:g} s: {error}'
            self._faults.report(hanging.image_topic, error.fault, message)
            return
        self._take_next_estimator()
        answering = self._answering()
        for channel in self._channels:
            channel.replace_worker(answering)

    def _take_next_estimator(self) -> None:
        assert self._next_estimator is not None
        self._estimator, self._next_estimator = self._next_estimator, None
        self._estimator_is_busy = False

    def _prepare(self, settings: DepthNodeSettings) -> None:
        """Make the estimator that changed parameters ask for.

        Raises
        ------
        InputError
            It cannot be made.
        """
        self._next_estimator = None
        self._next_estimator = estimator_from(settings)

    def _save_snapshot(self) -> str:
        """Save inputs and outputs of the newest frame; return the folder."""
        answered = [
            (newest, channel.camera)
            for channel in self._channels
            if (newest := channel.newest) is not None
        ]
        if not answered:
            raise InputError(
                'snapshot',
                'no frame has been answered yet: there is none to save. Subscribe to an output, '
                'or set the parameter lazy to false.',
            )
        # By arrival: the stamps of a bag that began anew are earlier than those before.
        newest, camera = max(answered, key=lambda a: a[0].bundle.image.arrived_s)
        prefix = '_'.join(filter(None, (unique_name(self), camera))).replace('/', '_')
        return str(save_snapshot(newest, self._settings.snapshot.folder, prefix))

    def _apply(self) -> None:
        if self._next_estimator is not None:
            self._take_next_estimator()
            answering = self._answering()
            for channel in self._channels:
                channel.use(answering)
            self.get_logger().info(f'the estimator is now {self._estimator.name}')
        apply_live(self._estimator, self._settings)
        for channel in self._channels:
            channel.apply_limits()

    def _parts(self) -> Sequence[str]:
        return self.get_parameter('cameras').value or super()._parts()

    def _health(self) -> list[DiagnosticStatus]:
        if limit_s := self._settings.estimator_timeout_s:
            for channel in self._channels:
                channel.give_up_replaced(limit_s)
        self._replace_if_hanging()
        topics = {topic for channel in self._channels for topic in channel.topics}
        return [channel.health(topics - channel.topics) for channel in self._channels]
