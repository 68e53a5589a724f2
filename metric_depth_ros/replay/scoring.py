# SPDX-License-Identifier: Apache-2.0
"""Score recorded depth against the ground truth of the bag it came from; needs no rclpy.

The ground truth is a depth image, or a cloud that the node was not given (held-back LiDAR), which
is projected and cleaned like a prompt. "Unprompted" pixels are those where the sensors that the
node takes have no value: its frames are built again here, by its code and with its settings, so
that scoring costs the running node nothing. An image finds what was recorded before it, and as
long after it as prompt.max_wait_s, as it does in the node. Truth is that of the view that the
node answers, which camera.rectify makes another.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.layout import IMAGE_TYPE, TF_STATIC_TOPIC
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.cdr_stamps import read_stamp_ns
from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.metrics import Aggregation, aggregate
from metric_depth_ros.evaluation.scoring import FrameScore, score_frame
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.replay.recorded_sets import recorded_sets
from metric_depth_ros.replay.streams import GROUND_TRUTH, Streams
from metric_depth_ros.ros.assembly import (
    FIRST_WAIT_S,
    FIRST_WAITS,
    MOST_KEPT,
    Arrival,
    Bundle,
    nearest_arrival,
)
from metric_depth_ros.ros.extrinsics import Extrinsics, read_extrinsics
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.parameters import (
    DepthNodeSettings,
    ExtrinsicsSettings,
    PromptSettings,
)
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

_SAME_INSTANT_NS = 10_000_000
_LATE_NS = 150_000_000  # a message may be recorded this long after the image of its stamp
_FIRST_WAIT_NS = round(FIRST_WAIT_S * NS_PER_S)
# Faults by which an image lacks a measurement, or its points the motion; the bag is as good.
_LACKS = (
    'silent', 'cloud_empty', 'cloud_not_in_view', 'cloud_times', 'camera_info_missing',
    'camera_unknown',
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ReplayedFrame:
    """One frame of a bag with what the node made of it.

    Parameters
    ----------
    frame
        Image, camera and prompt, as the node should have understood them.
    depth
        (H, W) float32 meters as received.
    ground_truth
        (H, W) float32 meters, NaN where unknown; None for a bag without ground truth.
    confidence
        (H, W) float32 in [0, 1] as received, or None where it was not recorded.
    """

    frame: Frame
    depth: NDArray[np.float32]
    ground_truth: NDArray[np.float32] | None
    confidence: NDArray[np.float32] | None = None

    def score(self) -> FrameScore:
        """Score the depth; there must be ground truth."""
        assert self.ground_truth is not None
        if self.ground_truth.shape != self.depth.shape:
            raise InputError(
                'ground_truth_size',
                f'ground truth is {_size(self.ground_truth)} but the depth of the node is '
                f'{_size(self.depth)}: they must be of one size to be compared.',
            )
        height, width = self.depth.shape
        prompt = self.frame.prompt or SparsePrompt.empty()
        prompted = np.isfinite(prompt.to_map(width, height))
        return score_frame(self.depth, self.ground_truth, prompted)


@dataclass(frozen=True)
class ReplayScore:
    """Mean over images of the figures over all pixels, and over those without a prompt."""

    frames: int
    metrics: dict[str, float]
    metrics_unprompted: dict[str, float]


def score_recording(
    bag: Path, streams: Streams, recording: Path, depth_topic: str, settings: DepthNodeSettings
) -> ReplayScore:
    """Score the depth of a recording against the bag that was played.

    Parameters
    ----------
    bag, streams, recording, depth_topic, settings
        As of `replayed_frames`.
    """
    frames = replayed_frames(bag, streams, recording, depth_topic, settings)
    scores = [replayed.score() for replayed in frames if replayed.ground_truth is not None]
    return ReplayScore(
        len(scores),
        aggregate([s.overall for s in scores], Aggregation.PER_IMAGE),
        aggregate([s.unprompted for s in scores], Aggregation.PER_IMAGE),
    )


def replayed_frames(
    bag: Path,
    streams: Streams,
    recording: Path,
    depth_topic: str,
    settings: DepthNodeSettings,
    *,
    confidence_topic: str = '',
) -> Iterator[ReplayedFrame]:
    """Yield each recorded depth with the frame that it answers, one at a time.

    What the node could not use is no part of the frame here either.

    Parameters
    ----------
    bag, streams
        What was played.
    recording, depth_topic
        Bag with the node's answers, and the topic of its depth.
    settings
        The node's parameters.
    confidence_topic
        Topic of its confidence; empty, or not recorded: None.
    """
    with (
        BagReader(recording) as answers,
        BagReader(bag) as images,
        BagReader(bag) as measured,
        BagReader(bag) as truths,
    ):
        if depth_topic not in answers.topics:
            return
        recorded = _Recorded(bag, streams, measured, truths, settings)
        recorded_ns = {read_stamp_ns(m.data): m.log_ns for m in images.raw([streams.image])}
        window = _Window(images, [streams.image], _LATE_NS)
        optional = [topic for topic in (confidence_topic,) if topic in answers.topics]
        for stamp_ns, found in recorded_sets(answers, [depth_topic], optional):
            frame, truth = None, None
            log_ns = recorded_ns.get(stamp_ns)
            if log_ns is not None:
                window.advance(stamp_ns, log_ns)
                image = window.nearest(streams.image, stamp_ns, 0)
                if image is not None:
                    frame, truth = recorded.frame(image.message, log_ns)
            yield _replayed(
                stamp_ns, found[depth_topic], found.get(confidence_topic), frame, truth
            )


def recorded_frames(
    bag: Path, streams: Streams
) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    """Yield each image of a bag with its prompt as a frame, and its ground truth or None.

    Parameters
    ----------
    bag, streams
        What was recorded. Images before the first CameraInfo have no camera.

    Raises
    ------
    InputError
        A message that cannot be used.
    """
    with BagReader(bag) as images, BagReader(bag) as measured, BagReader(bag) as truths:
        recorded = _Recorded(bag, streams, measured, truths, _all_of(streams), strict=True)
        for raw, message in images.messages([streams.image]):
            frame, truth = recorded.frame(message, raw.log_ns)
            assert frame is not None
            yield frame, truth


def _all_of(streams: Streams) -> DepthNodeSettings:
    """Return the node's defaults for all that a bag has, as it was measured.

    No camera waits for a large cloud, or for what is recorded late.
    """
    prompt = PromptSettings(
        sources=tuple(streams.prompt_sources),
        max_wait_s=_LATE_NS / NS_PER_S,
        max_points=sys.maxsize,
        remove_flying_pixels=False,
    )
    transport = 'compressed' if streams.is_compressed else 'raw'
    return DepthNodeSettings(image_transport=transport, prompt=prompt)


class _Window:
    """The messages that the node would hold at one moment, read from a bag in one pass.

    Of each topic the last, as many as the node keeps of a source.

    Parameters
    ----------
    reader, topics
        Of the bag, and what is read of it.
    wait_ns
        How long after the image at hand a message may be recorded.
    """

    def __init__(self, reader: BagReader, topics: list[str], wait_ns: int) -> None:
        self._messages = reader.messages(topics) if topics else iter(())
        self._next = next(self._messages, None)
        self._arrived: dict[str, deque[Arrival]] = {t: deque(maxlen=MOST_KEPT) for t in topics}
        self._wait_ns = wait_ns
        self._images = 0

    def advance(self, stamp_ns: int, log_ns: int) -> None:
        """Read what has arrived for the image at hand, and drop what is long before it.

        A bag is in the order of recording, by a clock that may be another than that of the stamps.

        Parameters
        ----------
        stamp_ns, log_ns
            Stamp of the image, and when it was recorded.
        """
        while self._next is not None:
            raw, message = self._next
            if raw.log_ns > log_ns + self._patience_ns():
                break
            self._arrived[raw.topic].append(Arrival(message, stamp_of(message), 0.0))
            self._next = next(self._messages, None)
        self._images += 1
        # A later image may be a little older; whatever is before that, the last one is nearest.
        for arrived in self._arrived.values():
            while len(arrived) > 1 and arrived[1].stamp_ns <= stamp_ns - _LATE_NS:
                arrived.popleft()

    def nearest(self, topic: str, stamp_ns: int, within_ns: int) -> Arrival | None:
        """Return the message of a topic whose stamp is nearest, None if none is near enough."""
        found = nearest_arrival(self._arrived[topic], stamp_ns, latched=False)
        if found is None or abs(found.stamp_ns - stamp_ns) > within_ns:
            return None
        return found

    def latched(self, topic: str, stamp_ns: int) -> Arrival | None:
        """Return the message of a topic of this very stamp, else the last."""
        return nearest_arrival(self._arrived[topic], stamp_ns, latched=True)

    def _patience_ns(self) -> int:
        """Return how long the image waits: one of the first, as in the node, for all topics."""
        is_first = self._images < FIRST_WAITS and not all(self._arrived.values())
        return max(self._wait_ns, _FIRST_WAIT_NS) if is_first and self._wait_ns else self._wait_ns


class _Recorded:
    """The images of a bag with what belongs to them, as the node has it; in the order of time.

    Parameters
    ----------
    bag, streams
        What was recorded.
    measured, truths
        Two readers of it.
    settings
        Of the node.
    strict
        Whether messages that the node would report and pass over are refused.
    """

    def __init__(
        self,
        bag: Path,
        streams: Streams,
        measured: BagReader,
        truths: BagReader,
        settings: DepthNodeSettings,
        *,
        strict: bool = False,
    ) -> None:
        self._settings = settings
        self._strict = strict
        self._max_age_ns = round(settings.prompt.max_age_s * NS_PER_S)
        self._truth_topic = streams.topics.get(GROUND_TRUTH)
        self._truth_is_image = streams.types.get(self._truth_topic or '') == IMAGE_TYPE
        self._topics = _heard(streams, settings)
        self._places = _places(bag, streams, settings.extrinsics)
        self._builder = FrameBuilder(self._places, _refuse if strict else _pass_over)
        wait_ns = round(settings.prompt.max_wait_s * NS_PER_S)
        truth_topics = [] if self._truth_topic is None else [self._truth_topic]
        self._window = _Window(measured, list(self._topics.values()), wait_ns)
        self._truth = _Window(truths, truth_topics, _LATE_NS)

    def frame(
        self, image: Message, log_ns: int
    ) -> tuple[Frame | None, NDArray[np.float32] | None]:
        """Return the frame of an image, None if it cannot be used, and its ground truth or None.

        Parameters
        ----------
        image, log_ns
            The image, and when it was recorded.
        """
        stamp_ns = stamp_of(image)
        self._window.advance(stamp_ns, log_ns)
        self._truth.advance(stamp_ns, log_ns)
        measurements = {
            stream: found
            for stream, topic in self._topics.items()
            if (found := self._measurement(stream, topic, stamp_ns)) is not None
        }
        info = measurements.get('camera_info')
        self._builder.camera_needed = self._strict and info is not None
        bundle = Bundle(Arrival(image, stamp_ns, 0.0), measurements, 0.0)
        frame = self._builder.build(bundle, self._settings)
        if frame is None:
            return None, None
        return frame, self._ground_truth(frame, None if info is None else info.message)

    def _measurement(self, stream: str, topic: str, stamp_ns: int) -> Arrival | None:
        if stream.endswith('camera_info'):
            return self._window.latched(topic, stamp_ns)
        return self._window.nearest(topic, stamp_ns, self._max_age_ns)

    def _ground_truth(self, frame: Frame, info: Message | None) -> NDArray[np.float32] | None:
        if self._truth_topic is None:
            return None
        found = self._truth.nearest(self._truth_topic, frame.stamp_ns, _SAME_INSTANT_NS)
        if found is None:
            return None
        message = found.message
        if self._truth_is_image:
            return self._in_view(decode_depth(message), info)
        if frame.camera is None:
            return None
        sensor = message.header.frame_id, found.stamp_ns
        place = self._places.lookup(frame.frame_id, frame.stamp_ns, *sensor)
        points = prompt_from_cloud(frame.camera, decode_xyz(message), place)
        return points.to_map(*frame.camera.size)

    def _in_view(self, depth: NDArray[np.float32], info: Message | None) -> NDArray[np.float32]:
        """Return depth (H, W) of the pixels of the image in the view that the node answers."""
        settings = self._settings.camera
        if not settings.rectify or info is None:
            return depth
        raw = camera_from_info(info)
        if depth.shape != (raw.height, raw.width):
            return depth
        return _rectification(raw, settings.rectified_fov_deg).depth(depth)


def _heard(streams: Streams, settings: DepthNodeSettings) -> dict[str, str]:
    """Return the topics of what the node pairs with an image, by its name for the stream."""
    names = 'camera_info', *settings.prompt.sources
    topics = {n: t for n, t in streams.topics.items() if n.partition('/')[0] in names}
    depth = topics.pop('sensor_depth/image', None)
    if depth is not None and settings.prompt.depth_transport == 'raw':
        topics['sensor_depth'] = depth
    return topics


def _places(bag: Path, streams: Streams, settings: ExtrinsicsSettings) -> Extrinsics:
    """Return where the sensors were; what a node hears from tf2 lies in the bag."""
    if settings.source != 'tf2':
        return read_extrinsics(settings)
    if TF_STATIC_TOPIC not in streams.types:  # a bag that needs no places may have none
        return StaticTree({}, f'{TF_STATIC_TOPIC} of {bag}', 'record it too')
    return read_extrinsics(replace(settings, source='bag', path=str(bag), frames=''))


def _pass_over(stream: str, error: InputError) -> None:
    """Go on as the node does."""


def _refuse(stream: str, error: InputError) -> None:
    if error.fault not in _LACKS:
        raise error


@lru_cache(maxsize=1)  # all frames of a bag have the same
def _rectification(camera: CameraModel, fov_x_deg: float) -> Rectification:
    return Rectification(camera, fov_x_deg)


def _replayed(
    stamp_ns: int,
    depth_message: Message,
    confidence_message: Message | None,
    frame: Frame | None,
    ground_truth: NDArray[np.float32] | None,
) -> ReplayedFrame:
    depth = decode_depth(depth_message)
    confidence = None if confidence_message is None else decode_depth(confidence_message)
    if frame is None:  # answered all the same, so that it is shown
        black = np.zeros((*depth.shape, 3), np.uint8)
        frame = Frame(stamp_ns, depth_message.header.frame_id, black)
    return ReplayedFrame(frame, depth, ground_truth, confidence)


def _size(image: NDArray[np.float32]) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
