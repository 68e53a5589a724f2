# SPDX-License-Identifier: Apache-2.0
"""`PosedFrame`: frames with the place of their camera, from frame sets and from bags.

Frames come one at a time, so that a recording of any length can be gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.extrinsics import read_poses, read_static_transforms
from metric_depth_ros.bags.layout import TF_STATIC_TOPIC
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import INDEX_NAME, RecordedFrame, load_frame_set
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import (
    Transform,
    checked_rigid,
    transform_from_quaternion,
)
from metric_depth_ros.replay.scoring import recorded_frames
from metric_depth_ros.replay.streams import find_streams
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.types import Frame

ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A frame and where it was taken.

    Parameters
    ----------
    frame
        Image, camera and what the sensors measured.
    T_world_camera
        (4, 4) place of the camera's optical frame.
    truth
        (H, W) float32 meters, ground truth of the same view, NaN where unknown; or None.
    """

    frame: Frame
    T_world_camera: Transform
    truth: NDArray[np.float32] | None = None


def posed_frames(
    source: Path,
    *,
    prompt: str | None = None,
    world_frame: str = 'odom',
    odometry_topic: str = '',
    topics: Mapping[str, str] | None = None,
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

    Raises
    ------
    InputError
        Neither, or no pose is known at all.
    """
    if (source / INDEX_NAME).is_file():
        yield from _of_frame_set(source, prompt)
    else:
        yield from _of_bag(source, world_frame, odometry_topic, topics or {})


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


def _of_bag(
    bag: Path, world_frame: str, odometry_topic: str, topics: Mapping[str, str]
) -> Iterator[PosedFrame]:
    streams = find_streams(bag, topics)
    places = _Places(bag, world_frame, odometry_topic)
    found = False
    for frame, truth in recorded_frames(bag, streams):
        pose = places.of(frame.frame_id, frame.stamp_ns)
        if pose is None or frame.camera is None:
            continue
        found = True
        yield PosedFrame(frame, pose, truth)
    if not found:
        raise InputError(
            'pose_missing',
            f'{bag}: its poses cover the time of no image that has a CameraInfo.',
        )


class _Places:
    """Where the frames of a bag are at any time."""

    def __init__(self, bag: Path, world_frame: str, odometry_topic: str) -> None:
        self._bag = bag
        self._world = world_frame.lstrip('/')
        if odometry_topic:
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
        self._tracks = tracks
        self._static = read_static_transforms(bag) if has_static else {}

    def of(self, camera_frame: str, stamp_ns: int) -> Transform | None:
        """Return T_world_camera at a time, None where the poses do not cover it."""
        covering = {k: t.at(stamp_ns) for k, t in self._tracks.items() if t.covers(stamp_ns)}
        if not covering:
            return None
        tree = StaticTree({**self._static, **covering}, f'the transforms of {self._bag}')
        return tree.lookup(self._world, stamp_ns, camera_frame, stamp_ns)


def _odometry(bag: Path, topic: str) -> tuple[str, dict[tuple[str, str], PoseTrack]]:
    """Return the frame that an odometry topic is given in, and the path of the robot."""
    poses: dict[int, Transform] = {}
    frames = ('', '')
    with BagReader(bag) as reader:
        kind = reader.topics.get(topic, '')
        if kind != ODOMETRY_TYPE:
            raise InputError(
                'odometry_topic',
                f'{bag}: topic {topic} is {kind or "not there"}, expected {ODOMETRY_TYPE}: choose '
                'another with --odometry.',
            )
        for _, message in reader.messages([topic]):
            place, turn = message.pose.pose.position, message.pose.pose.orientation
            frames = message.header.frame_id.lstrip('/'), message.child_frame_id.lstrip('/')
            poses[stamp_of(message)] = transform_from_quaternion(
                (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w)
            )
    stamps = sorted(poses)
    track = PoseTrack(np.array(stamps, np.int64), np.stack([poses[s] for s in stamps]))
    return frames[0], {frames: track}
