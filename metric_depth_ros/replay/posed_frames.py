# SPDX-License-Identifier: Apache-2.0
"""Frames with the place of their camera, from frame sets and from bags. Loads no rclpy.

Frames come one at a time, so that a recording of any length can be gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.extrinsics import read_poses, read_static_transforms
from metric_depth_ros.bags.layout import IMAGE_TOPIC, TF_STATIC_TOPIC
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.codecs.poses import matrix_from_pose
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import INDEX_NAME, RecordedFrame, load_frame_set
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import Transform, checked_rigid
from metric_depth_ros.reconstruction.posed_frame import PosedFrame
from metric_depth_ros.replay.published import CAMERA_INFO_TOPIC, CONFIDENCE_TOPIC, DEPTH_TOPIC
from metric_depth_ros.replay.recorded_sets import recorded_sets
from metric_depth_ros.replay.scoring import recorded_frames
from metric_depth_ros.replay.streams import find_streams
from metric_depth_ros.ros.dense_depth import (
    CAMERA_INFO,
    COLOR,
    CONFIDENCE,
    DEPTH,
    DenseDepth,
    decode_dense,
)
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.types import DepthEstimate, Frame

ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'
# Output of the depth node: its topic where nobody has remapped it.
PUBLISHED_TOPICS = {
    DEPTH: DEPTH_TOPIC,
    CAMERA_INFO: CAMERA_INFO_TOPIC,
    CONFIDENCE: CONFIDENCE_TOPIC,
    COLOR: IMAGE_TOPIC,
}


def posed_frames(
    source: Path,
    *,
    prompt: str | None = None,
    world_frame: str = 'odom',
    odometry_topic: str = '',
    topics: Mapping[str, str] | None = None,
    published: bool = False,
) -> Iterator[PosedFrame]:
    """Yield the frames of a frame set or a bag whose place is known.

    Parameters
    ----------
    source
        Frame set folder, or bag folder or file.
    prompt
        Name of the prompt of a frame set; default: the first of each frame.
    world_frame
        Frame of a bag's transforms in which the surface is built.
    odometry_topic
        nav_msgs/Odometry topic of a bag to take the poses from; empty: its /tf.
    topics
        Topics of a bag by input, where they are not this package's.
    published
        Take the depth that a node has published into the bag; inputs are then
        `PUBLISHED_TOPICS`, and an image is not needed.

    Raises
    ------
    InputError
        Neither, or no pose is known at all.
    """
    if not (source / INDEX_NAME).is_file():
        read = _published if published else _measured
        yield from _of_bag(source, read(source, topics or {}), world_frame, odometry_topic)
    elif published:
        raise InputError(
            'published_depth', f'{source} is a frame set: only a bag holds published depth.'
        )
    else:
        yield from _of_frame_set(source, prompt)


def _of_frame_set(folder: Path, prompt: str | None) -> Iterator[PosedFrame]:
    frame_set = load_frame_set(folder)
    posed = [frame for frame in frame_set.frames if frame.details.get('pose') is not None]
    if not posed:
        raise InputError(
            'pose_missing',
            f'{folder}: no frame has a pose: fusion needs the key "pose" (T_world_camera, 4x4).',
        )
    for frame in posed:
        pose = checked_rigid(frame.details['pose'], f'pose of frame {frame.id} in {folder}')
        truth = None if frame.ground_truth is None else frame.load_ground_truth()
        yield PosedFrame(frame.load_frame(_prompt_of(frame, prompt)), pose, truth)


def _prompt_of(frame: RecordedFrame, wanted: str | None) -> str | None:
    if wanted is not None:
        return wanted
    return next(iter(frame.prompt_names(scored_only=False)), None)


_Recorded = tuple[Frame, NDArray[np.float32] | None, DepthEstimate | None]


def _of_bag(
    bag: Path, recorded: Iterator[_Recorded], world_frame: str, odometry_topic: str
) -> Iterator[PosedFrame]:
    places = _Places(bag, world_frame, odometry_topic)
    found = False
    for frame, truth, published in recorded:
        pose = places.of(frame.frame_id, frame.stamp_ns)
        if pose is None or frame.camera is None:
            continue
        found = True
        yield PosedFrame(frame, pose, truth, published)
    if not found:
        raise InputError(
            'pose_missing',
            f'{bag}: its poses cover the time of no image that has a CameraInfo.',
        )


def _measured(bag: Path, topics: Mapping[str, str]) -> Iterator[_Recorded]:
    """Yield what the sensors recorded."""
    for frame, truth in recorded_frames(bag, find_streams(bag, topics)):
        yield frame, truth, None


def _published(bag: Path, topics: Mapping[str, str]) -> Iterator[_Recorded]:
    """Yield what a depth node published, in sets of one stamp."""
    for dense in _dense_depths(bag, _published_topics(bag, topics)):
        yield dense.frame, None, dense.estimate


def _dense_depths(bag: Path, topics: Mapping[str, str]) -> Iterator[DenseDepth]:
    streams = {topic: stream for stream, topic in topics.items()}
    required = [topics[DEPTH], topics[CAMERA_INFO]]
    optional = [topic for topic in streams if topic not in required]
    with BagReader(bag) as reader:
        for stamp_ns, found in recorded_sets(reader, required, optional):
            yield decode_dense(stamp_ns, {streams[topic]: m for topic, m in found.items()})


def _published_topics(bag: Path, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the topics of published depth by stream, of those that the bag has."""
    for name in chosen:
        if name not in PUBLISHED_TOPICS:
            raise InputError(
                'published_depth',
                f'--topic {name}:=… names no published topic: expected one of '
                f'{", ".join(PUBLISHED_TOPICS)}.',
            )
    with BagReader(bag) as reader:
        recorded = reader.topics
        topics = {stream: chosen.get(stream, topic) for stream, topic in PUBLISHED_TOPICS.items()}
        for stream, topic in topics.items():
            if topic not in recorded and (stream in chosen or stream in (DEPTH, CAMERA_INFO)):
                raise InputError(
                    'published_depth',
                    f'{bag} {reader.absence(topic)} for {stream}: choose one with --topic '
                    f'{stream}:=TOPIC; it has {", ".join(sorted(recorded)) or "none"}.',
                )
    return {stream: topic for stream, topic in topics.items() if topic in recorded}


class _Places:
    """Where the frames of a bag are at any time."""

    def __init__(self, bag: Path, world_frame: str, odometry_topic: str) -> None:
        self._world = world_frame.lstrip('/')
        remedy = 'name one that is connected with --world-frame'
        if odometry_topic:
            remedy = 'name the odometry of what carries the camera with --odometry'
            self._world, tracks = _odometry(bag, odometry_topic)
        else:
            tracks = read_poses(bag)
        with BagReader(bag) as reader:
            has_static = TF_STATIC_TOPIC in reader.topics
            odometry = [t for t, kind in reader.topics.items() if kind == ODOMETRY_TYPE]
        if not tracks:
            hint = f' (it has odometry on {", ".join(odometry)})' if odometry else ''
            raise InputError(
                'pose_missing',
                f'{bag} has no /tf, so nobody knows where its camera was: name an odometry topic '
                f'with --odometry{hint}, or record the transforms too.',
            )
        static = read_static_transforms(bag) if has_static else {}
        self._tree = MovingTree(static, tracks, self._world, f'the transforms of {bag}', remedy)

    def of(self, camera_frame: str, stamp_ns: int) -> Transform | None:
        """Return T_world_camera at a time, None where the poses do not cover it."""
        asked = self._world, stamp_ns, camera_frame, stamp_ns
        pose = self._tree.lookup_through_fixed_frame(*asked)
        if pose is None:  # refused where no time connects the frames
            self._tree.lookup(*asked)
        return pose


def _odometry(bag: Path, topic: str) -> tuple[str, dict[tuple[str, str], PoseTrack]]:
    """Return the frame that an odometry topic is given in, and the path of the robot."""
    poses: dict[int, Transform] = {}
    frames = ('', '')
    unusable = 'there is none'
    with BagReader(bag) as reader:
        reader.require_type(topic, ODOMETRY_TYPE, 'choose another with --odometry.')
        for _, message in reader.messages([topic]):
            frames = message.header.frame_id.lstrip('/'), message.child_frame_id.lstrip('/')
            try:
                poses[stamp_of(message)] = matrix_from_pose(message.pose.pose)
            except InputError as error:  # a filter that has not started yet sends zeros
                unusable = str(error)
    if not poses:
        raise InputError('pose_missing', f'{bag}: no pose of {topic} can be used: {unusable}')
    stamps = sorted(poses)
    track = PoseTrack(np.array(stamps, np.int64), np.stack([poses[s] for s in stamps]))
    return frames[0], {frames: track}
