# SPDX-License-Identifier: Apache-2.0
"""Score recorded depth against the ground truth of the bag it came from; needs no rclpy.

The ground truth is a depth image, or a cloud that the node was not given (held-back LiDAR), which
is projected and cleaned like a prompt. "Unprompted" pixels are those where the bag's own sensors
have no value: the prompt is made again here, so that scoring costs the running node nothing. Truth
and prompt are those of the view that the node answers, which camera.rectify makes another.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from metric_depth_ros.ros.parameters import CameraSettings
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
) -> ReplayScore:
    """Score the depth of a recording against the bag that was played.

    Parameters
    ----------
    bag, streams
        What was played.
    recording, depth_topic
        Bag with the node's answers, and the topic of its depth.
    camera
        The node's parameters ``camera.*``.
    """
    scores = [
        replayed.score()
        for replayed in replayed_frames(
            bag, streams, recording, depth_topic, with_image=False, camera=camera
        )
        if replayed.ground_truth is not None
    ]
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
    """
    tree = _Places(bag)
    topics = [streams.topics[name] for name in streams.topics]
    with BagReader(recording) as answers, BagReader(bag) as source:
        if depth_topic not in answers.topics:
            return
        window = _Window(source, topics)
        recorded_ns = {read_stamp_ns(m.data): m.log_ns for m in source.raw([streams.image])}
        optional = [topic for topic in (confidence_topic,) if topic in answers.topics]
        for stamp_ns, found in recorded_sets(answers, [depth_topic], optional):
            window.advance(stamp_ns, recorded_ns.get(stamp_ns, stamp_ns))
            confidence = found.get(confidence_topic)
            yield _replayed(
                streams, window, tree, stamp_ns, found[depth_topic], with_image, confidence, camera
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
    places = _Places(bag)
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
                view = _view(info, _AS_RECORDED)
                camera = view.camera
                prompt = _prompt(streams, window, places, stamp_ns, view)
                truth = _ground_truth(streams, window, places, stamp_ns, view)
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


class _Places:
    """Static transforms of a bag, looked up by the frames of two messages."""

    def __init__(self, bag: Path) -> None:
        self._bag = bag
        self._tree: StaticTree | None = None

    def between(self, target: Message, source: Message) -> Transform:
        """Return the transform from the frame of `source` to that of `target`."""
        frames = target.header.frame_id, source.header.frame_id
        if frames[0] == frames[1]:
            return np.eye(4)
        if self._tree is None:
            transforms = read_static_transforms(self._bag)
            origin = f'/tf_static of {self._bag}'
            self._tree = StaticTree(transforms, origin, 'check header.frame_id of both topics')
        return self._tree.lookup(frames[0], 0, frames[1], 0)


@dataclass(frozen=True, eq=False)
class _View:
    """What the node answers: the pixels of the image, or of what it rectifies the image to.

    Parameters
    ----------
    info
        CameraInfo of the image.
    camera
        Camera of the answer.
    rectification
        The way from image to answer, None where they have the same pixels.
    """

    info: Message
    camera: CameraModel
    rectification: Rectification | None

    def of_pixels(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return depth (H, W) of the pixels of the image as it is seen here."""
        if self.rectification is None or not _is_of(self.camera, depth):
            return depth
        return self.rectification.depth(depth)


def _view(info: Message, settings: CameraSettings) -> _View:
    camera = camera_from_info(info, rectified=settings.rectified)
    if not settings.rectify:
        return _View(info, camera, None)
    rectification = _rectification(camera, settings.rectified_fov_deg)
    return _View(info, rectification.pinhole, rectification)


@lru_cache(maxsize=1)  # all frames of a bag have the same
def _rectification(camera: CameraModel, fov_x_deg: float) -> Rectification:
    return Rectification(camera, fov_x_deg)


def _replayed(
    streams: Streams,
    window: _Window,
    places: _Places,
    stamp_ns: int,
    depth_message: Message,
    with_image: bool,
    confidence_message: Message | None,
    settings: CameraSettings,
) -> ReplayedFrame:
    depth = decode_depth(depth_message)
    image_message = window.nearest(streams.image, stamp_ns, 0)
    info = window.nearest(streams.topics['camera_info'], stamp_ns, 2**62)
    view = None if info is None else _view(info, settings)
    image = np.zeros((*depth.shape, 3), np.uint8)
    if with_image and image_message is not None:
        decode = decode_compressed_color if streams.is_compressed else decode_color
        image = decode(image_message)
        if view is not None and view.rectification is not None:
            image = view.rectification.image(image)
    camera = prompt = truth = None
    if view is not None:
        camera = view.camera
        prompt = _prompt(streams, window, places, stamp_ns, view)
        truth = _ground_truth(streams, window, places, stamp_ns, view)
    frame_id = depth_message.header.frame_id
    confidence = None if confidence_message is None else decode_depth(confidence_message)
    frame = Frame(stamp_ns, frame_id, image, camera, prompt)
    return ReplayedFrame(frame, depth, truth, confidence)


def _prompt(
    streams: Streams,
    window: _Window,
    places: _Places,
    stamp_ns: int,
    view: _View,
) -> SparsePrompt | None:
    def near(name: str, within_ns: int = _PROMPT_AGE_NS) -> Message | None:
        topic = streams.topics.get(name)
        return window.nearest(topic, stamp_ns, within_ns) if topic else None

    parts = []
    camera, info = view.camera, view.info
    if (cloud := near('points')) is not None:
        parts.append(prompt_from_cloud(camera, decode_xyz(cloud), places.between(info, cloud)))
    if (radar := near('radar')) is not None:
        parts.append(_radar_prompt(radar, places.between(info, radar), stamp_ns, camera))
    if (depth := near('sensor_depth/image')) is not None:
        depth_info = near('sensor_depth/camera_info', 2**62)
        parts += _depth_prompts(depth, depth_info, places, view)
    return SparsePrompt.merge(parts) if parts else None


def _radar_prompt(
    message: Message, T_camera_sensor: Transform, stamp_ns: int, camera: CameraModel
) -> SparsePrompt:
    returns = decode_radar(message)
    return prompt_from_radar(
        camera,
        returns.xyz,
        T_camera_sensor,
        rcs_db=returns.rcs_db,
        velocity_mps=returns.velocity_mps,
        stamp_distance_s=1e-9 * abs(stamp_of(message) - stamp_ns),
    )


def _depth_prompts(
    message: Message,
    depth_info: Message | None,
    places: _Places,
    view: _View,
) -> list[SparsePrompt]:
    """Return one prompt; none for a depth camera of which it is not known where it looks."""
    depth = decode_depth(message)
    if message.header.frame_id == view.info.header.frame_id and _is_of(view.camera, depth):
        return [prompt_from_registered_depth(view.of_pixels(depth))]
    if depth_info is None:
        return []
    T_camera_sensor = places.between(view.info, message)
    depth_camera = camera_from_info(depth_info)
    return [prompt_from_depth_image(view.camera, depth, depth_camera, T_camera_sensor)]


def _ground_truth(
    streams: Streams,
    window: _Window,
    places: _Places,
    stamp_ns: int,
    view: _View,
) -> NDArray[np.float32] | None:
    topic = streams.topics.get(GROUND_TRUTH)
    message = topic and window.nearest(topic, stamp_ns, _SAME_INSTANT_NS)
    if not message:
        return None
    assert topic is not None
    if streams.types[topic] == IMAGE_TYPE:
        return view.of_pixels(decode_depth(message))
    points = prompt_from_cloud(
        view.camera, decode_xyz(message), places.between(view.info, message)
    )
    return points.to_map(*view.camera.size)


def _is_of(camera: CameraModel, image: NDArray[np.float32]) -> bool:
    return image.shape == (camera.height, camera.width)


def _size(image: NDArray[np.float32]) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
