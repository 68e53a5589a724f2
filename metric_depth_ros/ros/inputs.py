# SPDX-License-Identifier: Apache-2.0
"""Subscriptions of the node: callbacks check the stamp, store the message, and return.

Nothing is decoded here, so that a burst of messages costs the executor nothing but their receipt.
Images and clouds are read in place (`in_place`); message_filters, which wants messages of rclpy,
gets those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from metric_depth_ros.codecs.stamps import NS_PER_S, stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.diagnostics import Counters, Problem
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.framing import info_values
from metric_depth_ros.ros.in_place import subscribe_in_place
from metric_depth_ros.ros.pairing import Pairing
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.qos import sensor_qos, subscribe
from metric_depth_ros.ros.silence import Silence
from metric_depth_ros.ros.stamps import StampGate, StampVerdict, age_on_arrival_s

# Images wait in the assembly, not in the middleware; one in flight beside the one being taken.
_IMAGE_DEPTH = 2
_MEASUREMENT_DEPTH = 5
_COMPRESSED = 'image/compressed'
_COMPRESSED_DEPTH = 'sensor_depth/image/compressedDepth'
# Streams of the robot, not of one camera.
_SHARED = ('points', 'radar')


def input_topics(settings: DepthNodeSettings, camera: str = '') -> dict[str, tuple[str, type]]:
    """Return topic and message type of each stream that the settings ask for.

    Parameters
    ----------
    settings
        Of the node.
    camera
        Name of the camera, which its topics begin with where a node has several; they share
        clouds.
    """
    prefix = f'{camera}/' if camera else ''
    return {
        stream: (topic if stream in _SHARED else prefix + topic, kind)
        for stream, (topic, kind) in _streams(settings).items()
    }


def resolved_topics(
    node: Node, settings: DepthNodeSettings, camera: str, feed: CameraFeed | None
) -> dict[str, str]:
    """Return the topic of each stream as remapped; what a camera of this process offers is its."""
    offered = {} if feed is None else feed.topics
    return {
        stream: offered.get(stream) or node.resolve_topic_name(topic)
        for stream, (topic, _) in input_topics(settings, camera).items()
    }


def _streams(settings: DepthNodeSettings) -> dict[str, tuple[str, type]]:
    compressed = settings.image_transport == 'compressed'
    streams: dict[str, tuple[str, type]] = {
        'image': (_COMPRESSED, CompressedImage) if compressed else ('image', Image),
        'camera_info': ('camera_info', CameraInfo),
    }
    for source in ('points', 'radar'):
        if source in settings.prompt.sources:
            streams[source] = (source, PointCloud2)
    if 'sensor_depth' in settings.prompt.sources:
        raw = settings.prompt.depth_transport == 'raw'
        streams['sensor_depth'] = (
            ('sensor_depth/image', Image) if raw else (_COMPRESSED_DEPTH, CompressedImage)
        )
        if settings.prompt.depth_alignment in ('auto', 'unregistered'):
            streams['sensor_depth/camera_info'] = ('sensor_depth/camera_info', CameraInfo)
    return streams


def create_assembly(settings: DepthNodeSettings) -> Assembly:
    """Return the assembly for the streams that the settings ask for."""
    streams = input_topics(settings)
    infos = [stream for stream in streams if stream.endswith('camera_info')]
    return Assembly(
        settings.prompt.sources,
        infos,
        settings.prompt.max_age_s,
        settings.prompt.max_wait_s,
        settings.max_frame_age_s,
        info_values,
    )


class SharedStreams:
    """One subscription for all cameras that share a cloud."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callable[[Any], None]]] = {}

    def join(self, topic: str, callback: Callable[[Any], None]) -> Callable[[Any], None] | None:
        """Return what the first one to join is to subscribe with, None for all others."""
        callbacks = self._callbacks.setdefault(topic, [])
        callbacks.append(callback)
        if len(callbacks) > 1:
            return None

        def pass_on(message: Any) -> None:
            for receive in callbacks:
                receive(message)

        return pass_on


class Inputs:
    """Subscriptions that feed an assembly.

    Parameters
    ----------
    node
        Node to subscribe with.
    settings
        Which topics, and the limits of stamps.
    assembly
        Where messages are stored.
    counters, faults
        Where what arrives, and what is wrong with it, is counted.
    camera
        Name of the camera where the node has several.
    shared
        Clouds that it shares with the others.
    feed
        The camera itself, where its node runs in this process: what it offers is not subscribed.
    """

    def __init__(
        self,
        node: Node,
        settings: DepthNodeSettings,
        assembly: Assembly,
        counters: Counters,
        faults: FaultLog,
        camera: str = '',
        shared: SharedStreams | None = None,
        feed: CameraFeed | None = None,
    ) -> None:
        self.max_frame_age_s = settings.max_frame_age_s
        self.camera_frame = ''  # of the newest image
        self._node = node
        self._assembly = assembly
        self._counters = counters
        self._faults = faults
        self._gate = StampGate()
        self._subscriptions: list[Subscription] = []
        self._shared = SharedStreams() if shared is None else shared
        self._feed = CameraFeed({}) if feed is None else feed
        self._streams = input_topics(settings, camera)
        self.topics = resolved_topics(node, settings, camera, feed)
        named = {
            stream: (self._feed.topics.get(stream, topic), kind)
            for stream, (topic, kind) in self._streams.items()
        }
        self._silence = Silence(node, named, faults)
        self._pairing: Pairing | None = None

    def open(self, settings: DepthNodeSettings) -> None:
        """Subscribe.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be, or ``sync.policy`` without
            message_filters.
        """
        callbacks: dict[str, Callable[[Any], None]] = {
            stream: self._measurement_callback(stream) for stream in self.topics
        }
        callbacks['image'] = self.on_image
        if settings.sync.policy == 'nearest':
            for stream, (topic, kind) in self._streams.items():
                self._subscribe(stream, topic, kind, callbacks[stream])
        else:
            self._pair(settings, callbacks)

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._feed.disconnect()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def silent_problem(self, stream: str, silent_s: float | None) -> Problem:
        """Return the problem of a stream that is silent, None: that has never sent."""
        return self._silence.problem(stream, self.topics[stream], silent_s)

    @property
    def unpaired(self) -> str:
        """What is wrong while images find no partners; empty: nothing."""
        problem = '' if self._pairing is None else self._pairing.problem
        return f'{self.topics["image"]}: {problem}' if problem else ''

    def on_image(self, message: Any) -> None:
        """Count an image, check its stamp and store it."""
        self._counters.count('frames_in')
        self._admit(message)

    def _admit(self, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        now_ns = self._node.get_clock().now().nanoseconds
        try:
            verdict = self._gate.admit(stamp, now_ns, self.max_frame_age_s)
        except InputError as error:
            self._assembly.heard('image')
            late = error.fault in ('stamp_old', 'stamp_overtaken')
            self._counters.count('stale' if late else 'bad_input')
            self._faults.report(self.topics['image'], error.fault, str(error))
            return
        self.camera_frame = message.header.frame_id
        if verdict is not StampVerdict.GOOD:
            self._report_stamp(verdict, abs(now_ns - stamp) / NS_PER_S)
        self._assembly.offer_image(
            message,
            stamp,
            age_s=age_on_arrival_s(stamp, now_ns),
            jumped_back=verdict is StampVerdict.JUMPED_BACK,
        )

    def _report_stamp(self, verdict: StampVerdict, away_s: float) -> None:
        """Report what an accepted stamp says about the clocks."""
        fault, sentence = {
            StampVerdict.JUMPED_BACK: (
                'stamp_backward',
                'the stamps jumped back (a bag or a simulation began anew): pairing begins anew.',
            ),
            StampVerdict.DUPLICATE: (
                'stamp_duplicate',
                'two images have the same stamp: two publishers share the topic, or the driver '
                'does not advance header.stamp.',
            ),
            StampVerdict.OTHER_CLOCK: (
                'stamp_other_clock',
                f'the stamps are {away_s:.0f} s away from the clock of this node, so the age of '
                'frames is not known: play recordings with /clock (ros2 bag play --clock) and '
                'set use_sim_time true, or set max_frame_age_s to 0.',
            ),
        }[verdict]
        self._faults.report(self.topics['image'], fault, sentence)

    def _measurement_callback(self, stream: str) -> Callable[[Any], None]:
        def store(message: Any) -> None:
            self._assembly.offer(stream, message, stamp_ns(message.header.stamp))

        return store

    def _subscribe(
        self,
        stream: str,
        topic: str,
        kind: type,
        callback: Callable[[Any], None],
        *,
        in_place: bool = True,
    ) -> None:
        if stream in self._feed.topics:
            self._feed.connect(stream, callback)
            return
        resolved = self.topics[stream]
        if stream in _SHARED:
            passed_on = self._shared.join(resolved, callback)
            if passed_on is None:
                return
            callback = passed_on
        profile = sensor_qos(_IMAGE_DEPTH if stream == 'image' else _MEASUREMENT_DEPTH)
        asked = self._node, kind, topic, callback, profile, self._faults.report
        self._subscriptions.append(
            subscribe_in_place(*asked, damaged=lambda: self._note_damaged(stream))
            if in_place
            else subscribe(*asked)
        )

    def _note_damaged(self, stream: str) -> None:
        self._assembly.heard(stream)
        if stream == 'image':  # any other costs no frame
            self._counters.count('bad_input')

    def _pair(
        self, settings: DepthNodeSettings, callbacks: dict[str, Callable[[Any], None]]
    ) -> None:
        """Let message_filters pair image, CameraInfo and sensor depth; the rest as ever."""
        paired = [s for s in self.topics if s in ('image', 'camera_info', 'sensor_depth')]

        def offer_set(messages: dict[str, Any]) -> None:
            for stream in paired[1:]:
                callbacks[stream](messages[stream])
            self._admit(messages['image'])

        pairing = self._pairing = Pairing(
            settings.sync,
            paired,
            offer_set,
            lambda sentence: self._faults.report(self.topics['image'], 'unpaired', sentence),
        )

        def to_pairing(stream: str) -> Callable[[Any], None]:
            def add(message: Any) -> None:
                self._assembly.heard(stream)
                if stamp_ns(message.header.stamp) <= 0:
                    # No ROS time: message_filters would raise, the gate of images says why.
                    callbacks[stream](message)
                    return
                if stream == 'image':
                    self._counters.count('frames_in')
                pairing.add(stream, message)

            return add

        for stream, (topic, kind) in self._streams.items():
            callback = to_pairing(stream) if stream in paired else callbacks[stream]
            self._subscribe(stream, topic, kind, callback, in_place=False)
