# SPDX-License-Identifier: Apache-2.0
"""Score recorded depth against the ground truth of the bag it came from; needs no rclpy.

The ground truth is a depth image, or a cloud that the node was not given (held-back LiDAR), which
is projected and cleaned like a prompt. "Unprompted" pixels are those where the sensors that the
node takes have no value: the prompt is made again here, so that scoring costs the running node
nothing. Truth and prompt are those of the view that the node answers, which camera.rectify makes
another, and sensors are where the node had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.extrinsics import read_static_transforms
from metric_depth_ros.bags.layout import IMAGE_TYPE
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.compressed import decode_compressed_color
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.codecs.radar import decode_radar
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.metrics import Aggregation, aggregate
from metric_depth_ros.evaluation.scoring import FrameScore, score_frame
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.prompting.depth_image import (
    prompt_from_depth_image,
    prompt_from_registered_depth,
)
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.prompting.radar import prompt_from_radar
from metric_depth_ros.replay.cdr import read_stamp_ns
from metric_depth_ros.replay.recorded_sets import recorded_sets
from metric_depth_ros.replay.streams import GROUND_TRUTH, Streams
from metric_depth_ros.ros.extrinsics import Extrinsics, read_extrinsics
from metric_depth_ros.ros.parameters import CameraSettings, ExtrinsicsSettings
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

_SAME_INSTANT_NS = 10_000_000
_PROMPT_AGE_NS = 150_000_000  # the node's default prompt.max_age_s
_AS_RECORDED = CameraSettings()


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
    bag: Path,
    streams: Streams,
    recording: Path,
    depth_topic: str,
    *,
    camera: CameraSettings = _AS_RECORDED,
    extrinsics: ExtrinsicsSettings | None = None,
    sources: Sequence[str] | None = None,
) -> ReplayScore:
    """Score the depth of a recording against the bag that was played.

    Parameters
    ----------
    bag, streams
        What was played.
    recording, depth_topic
        Bag with the node's answers, and the topic of its depth.
    camera, extrinsics, sources
        As of `replayed_frames`.
    """
    frames = replayed_frames(
        bag,
        streams,
        recording,
        depth_topic,
        with_image=False,
        camera=camera,
        extrinsics=extrinsics,
        sources=sources,
    )
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
    *,
    with_image: bool = True,
    confidence_topic: str = '',
    camera: CameraSettings = _AS_RECORDED,
    extrinsics: ExtrinsicsSettings | None = None,
    sources: Sequence[str] | None = None,
) -> Iterator[ReplayedFrame]:
    """Yield each recorded depth with the frame that it answers, one at a time.

    Parameters
    ----------
    bag, streams
        What was played.
    recording, depth_topic
        Bag with the node's answers, and the topic of its depth.
    with_image
        Whether to decode the image; without, it is black.
    confidence_topic
        Topic of its confidence; empty, or not recorded: None.
    camera
        The node's parameters ``camera.*``, which say of what view its answers are.
    extrinsics
        Its parameters ``extrinsics.*``. None, and what it heard from tf2: /tf_static of the bag.
    sources
        Its parameter ``prompt.sources``; None: all that the bag has.
    """
    recorded = _Recorded(bag, streams, extrinsics, sources)
    with BagReader(recording) as answers, BagReader(bag) as source:
        if depth_topic not in answers.topics:
            return
        window = _Window(source, list(streams.topics.values()))
        recorded_ns = {read_stamp_ns(m.data): m.log_ns for m in source.raw([streams.image])}
        optional = [topic for topic in (confidence_topic,) if topic in answers.topics]
        for stamp_ns, found in recorded_sets(answers, [depth_topic], optional):
            window.advance(stamp_ns, recorded_ns.get(stamp_ns, stamp_ns))
            confidence = found.get(confidence_topic)
            yield _replayed(
                recorded, window, stamp_ns, found[depth_topic], with_image, confidence, camera
            )


def recorded_frames(
    bag: Path, streams: Streams
) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    """Yield each image of a bag with its prompt as a frame, and its ground truth or None.

    Parameters
    ----------
    bag, streams
        What was recorded. Images before the first CameraInfo have no camera and no prompt.
    """
    recorded = _Recorded(bag, streams)
    topics = [topic for name, topic in streams.topics.items() if name != 'image']
    decode = decode_compressed_color if streams.is_compressed else decode_color
    with BagReader(bag) as images, BagReader(bag) as source:
        window = _Window(source, topics)
        for raw, message in images.messages([streams.image]):
            stamp_ns = stamp_of(message)
            window.advance(stamp_ns, raw.log_ns)
            info = window.nearest(streams.topics['camera_info'], stamp_ns, 2**62)
            camera = prompt = truth = None
            if info is not None:
                view = _view(info, stamp_ns, _AS_RECORDED)
                camera = view.camera
                prompt = _prompt(recorded, window, view)
                truth = _ground_truth(recorded, window, view)
            frame_id = message.header.frame_id
            yield Frame(stamp_ns, frame_id, decode(message), camera, prompt), truth


class _Window:
    """The messages of a bag around one time, read in one pass: a few of each topic at most."""

    def __init__(self, reader: BagReader, topics: list[str]) -> None:
        self._messages = reader.messages(topics)
        self._recent: dict[str, list[tuple[int, Message]]] = {topic: [] for topic in topics}
        self._read_until_ns = -1

    def advance(self, stamp_ns: int, log_ns: int) -> None:
        """Read on until a little after the image at hand and drop what is long before it.

        A bag is in the order of recording, by a clock that may be another than that of the stamps.

        Parameters
        ----------
        stamp_ns, log_ns
            Stamp of the image, and when it was recorded.
        """
        while self._read_until_ns <= log_ns + _PROMPT_AGE_NS:
            raw, message = next(self._messages, (None, None))
            if raw is None:
                break
            self._read_until_ns = raw.log_ns
            self._recent[raw.topic].append((stamp_of(message), message))
        for recent in self._recent.values():
            while len(recent) > 1 and recent[1][0] <= stamp_ns - _PROMPT_AGE_NS:
                recent.pop(0)

    def nearest(self, topic: str, stamp_ns: int, within_ns: int) -> Message | None:
        """Return the message of a topic whose stamp is nearest, None if none is near enough."""
        found = min(self._recent[topic], key=lambda m: abs(m[0] - stamp_ns), default=None)
        if found is None or abs(found[0] - stamp_ns) > within_ns:
            return None
        return found[1]


class _Recorded:
    """A bag with the sensors that make the prompt, and where they are.

    Parameters
    ----------
    bag, streams
        What was recorded.
    extrinsics, sources
        As of `replayed_frames`.
    """

    def __init__(
        self,
        bag: Path,
        streams: Streams,
        extrinsics: ExtrinsicsSettings | None = None,
        sources: Sequence[str] | None = None,
    ) -> None:
        self.streams = streams
        self.sources = streams.prompt_sources if sources is None else sources
        self._bag = bag
        self._settings = extrinsics
        self._places: Extrinsics | None = None

    def place(self, message: Message, view: _View) -> Transform:
        """Return the transform from what measured a message to the camera of a view."""
        camera, sensor = view.info.header.frame_id, message.header.frame_id
        if camera == sensor:
            return np.eye(4)
        if self._places is None:  # a bag that needs no places may have none
            self._places = self._read_places()
        return self._places.lookup(camera, view.stamp_ns, sensor, stamp_of(message))

    def _read_places(self) -> Extrinsics:
        if self._settings is not None and self._settings.source != 'tf2':
            return read_extrinsics(self._settings)
        transforms = read_static_transforms(self._bag)
        origin = f'/tf_static of {self._bag}'
        return StaticTree(transforms, origin, 'check header.frame_id of both topics')


@dataclass(frozen=True, eq=False)
class _View:
    """What the node answers: the pixels of the image, or of what it rectifies the image to.

    Parameters
    ----------
    info, stamp_ns
        CameraInfo and stamp of the image.
    camera
        Camera of the answer.
    rectification
        The way from image to answer, None where they have the same pixels.
    """

    info: Message
    stamp_ns: int
    camera: CameraModel
    rectification: Rectification | None

    def of_pixels(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return depth (H, W) of the pixels of the image as it is seen here."""
        if self.rectification is None or not _is_of(self.camera, depth):
            return depth
        return self.rectification.depth(depth)


def _view(info: Message, stamp_ns: int, settings: CameraSettings) -> _View:
    camera = camera_from_info(info, rectified=settings.rectified)
    if not settings.rectify:
        return _View(info, stamp_ns, camera, None)
    rectification = _rectification(camera, settings.rectified_fov_deg)
    return _View(info, stamp_ns, rectification.pinhole, rectification)


@lru_cache(maxsize=1)  # all frames of a bag have the same
def _rectification(camera: CameraModel, fov_x_deg: float) -> Rectification:
    return Rectification(camera, fov_x_deg)


def _replayed(
    recorded: _Recorded,
    window: _Window,
    stamp_ns: int,
    depth_message: Message,
    with_image: bool,
    confidence_message: Message | None,
    settings: CameraSettings,
) -> ReplayedFrame:
    streams = recorded.streams
    depth = decode_depth(depth_message)
    image_message = window.nearest(streams.image, stamp_ns, 0)
    info = window.nearest(streams.topics['camera_info'], stamp_ns, 2**62)
    view = None if info is None else _view(info, stamp_ns, settings)
    image = np.zeros((*depth.shape, 3), np.uint8)
    if with_image and image_message is not None:
        decode = decode_compressed_color if streams.is_compressed else decode_color
        image = decode(image_message)
        if view is not None and view.rectification is not None:
            image = view.rectification.image(image)
    camera = prompt = truth = None
    if view is not None:
        camera = view.camera
        prompt = _prompt(recorded, window, view)
        truth = _ground_truth(recorded, window, view)
    frame_id = depth_message.header.frame_id
    confidence = None if confidence_message is None else decode_depth(confidence_message)
    frame = Frame(stamp_ns, frame_id, image, camera, prompt)
    return ReplayedFrame(frame, depth, truth, confidence)


def _prompt(recorded: _Recorded, window: _Window, view: _View) -> SparsePrompt | None:
    def near(source: str, name: str, within_ns: int = _PROMPT_AGE_NS) -> Message | None:
        topic = recorded.streams.topics.get(name) if source in recorded.sources else None
        return window.nearest(topic, view.stamp_ns, within_ns) if topic else None

    parts = []
    if (cloud := near('points', 'points')) is not None:
        place = recorded.place(cloud, view)
        parts.append(prompt_from_cloud(view.camera, decode_xyz(cloud), place))
    if (radar := near('radar', 'radar')) is not None:
        parts.append(_radar_prompt(radar, recorded, view))
    if (depth := near('sensor_depth', 'sensor_depth/image')) is not None:
        depth_info = near('sensor_depth', 'sensor_depth/camera_info', 2**62)
        parts += _depth_prompts(depth, depth_info, recorded, view)
    return SparsePrompt.merge(parts) if parts else None


def _radar_prompt(message: Message, recorded: _Recorded, view: _View) -> SparsePrompt:
    returns = decode_radar(message)
    return prompt_from_radar(
        view.camera,
        returns.xyz,
        recorded.place(message, view),
        rcs_db=returns.rcs_db,
        velocity_mps=returns.velocity_mps,
        stamp_distance_s=1e-9 * abs(stamp_of(message) - view.stamp_ns),
    )


def _depth_prompts(
    message: Message,
    depth_info: Message | None,
    recorded: _Recorded,
    view: _View,
) -> list[SparsePrompt]:
    """Return one prompt; none for a depth camera of which it is not known where it looks."""
    depth = decode_depth(message)
    if message.header.frame_id == view.info.header.frame_id and _is_of(view.camera, depth):
        return [prompt_from_registered_depth(view.of_pixels(depth))]
    if depth_info is None:
        return []
    T_camera_sensor = recorded.place(message, view)
    depth_camera = camera_from_info(depth_info)
    return [prompt_from_depth_image(view.camera, depth, depth_camera, T_camera_sensor)]


def _ground_truth(recorded: _Recorded, window: _Window, view: _View) -> NDArray[np.float32] | None:
    topic = recorded.streams.topics.get(GROUND_TRUTH)
    message = topic and window.nearest(topic, view.stamp_ns, _SAME_INSTANT_NS)
    if not message:
        return None
    assert topic is not None
    if recorded.streams.types[topic] == IMAGE_TYPE:
        return view.of_pixels(decode_depth(message))
    place = recorded.place(message, view)
    points = prompt_from_cloud(view.camera, decode_xyz(message), place)
    return points.to_map(*view.camera.size)


def _is_of(camera: CameraModel, image: NDArray[np.float32]) -> bool:
    return image.shape == (camera.height, camera.width)


def _size(image: NDArray[np.float32]) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
