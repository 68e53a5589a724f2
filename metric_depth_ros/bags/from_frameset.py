# SPDX-License-Identifier: Apache-2.0
"""A frame set as a rosbag2, as if its sensors had been recorded. May import framesets, codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.messages import (
    camera_info_message,
    cloud_message,
    color_message,
    depth_message,
    stamp_of,
    transforms_message,
)
from metric_depth_ros.bags.writer import BagWriter, new_bag
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import FrameSet, PromptEntry, RecordedFrame
from metric_depth_ros.geometry.rigid import rigid_transform

DEFAULT_RATE_HZ = 10.0
# Invented stamps start here (2020-01-01 UTC): a stamp of 0 means "not set" to ROS.
_INVENTED_START_NS = 1_577_836_800_000_000_000
_END_NS = 2**31 * NS_PER_S  # builtin_interfaces/Time has signed 32-bit seconds
_MILLIMETER = 0.001
# base_link sits in the camera where a set knows no vehicle: x forward, y left, z up (REP-103).
T_BASE_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True)
class BagSummary:
    """What was written.

    Attributes
    ----------
    frames, left_out
        How many were written, and how many were not: they lack the prompt.
    prompt
        Its name.
    node_parameters
        With which the node takes the prompt as `RecordedFrame.load_prompt` does, by name.
    camera
        None: the only one.
    rate_hz
        Frames per second.
    """

    frames: int
    left_out: int
    prompt: str
    node_parameters: Mapping[str, str]
    camera: str | None
    rate_hz: float


def write_frame_set(
    frame_set: FrameSet,
    path: Path,
    *,
    prompt: str | None = None,
    camera: str | None = None,
    rate_hz: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BagSummary:
    """Write images, CameraInfo, one prompt, ground truth and static transforms as a bag.

    A set that states its rate keeps its stamps; frames of any other set are unrelated in time, so
    they get stamps at `rate_hz` one after another, and their sensors share them. Where a frame
    cannot be read there is no bag.

    Parameters
    ----------
    frame_set
        Set to convert.
    path
        Bag folder to create.
    prompt
        Name of the prompt to write as a sensor; default: the first that can be scored.
    camera
        Camera of a set of several; default: the first that a frame names.
    rate_hz
        Frames per second; default: the set's, or 10. Given, it replaces the set's stamps.
    progress
        Called with (frames done, frames in all).

    Raises
    ------
    InputError
        Unknown prompt or camera, a frame without camera matrix, a stamp that some frames lack or
        share, or a camera or sensor that moves, or a prompt of another kind, within the set.
    """
    name = _camera_name(frame_set, camera)
    frames = [f for f in frame_set.frames if name is None or _camera_of(f) == name]
    prompt = _prompt_name(frame_set, frames, prompt)
    with_prompt = [f for f in frames if prompt in f.prompts]
    left_out, frames = len(frames) - len(with_prompt), with_prompt
    for frame in frames:
        if frame.camera is None:
            raise InputError(
                'frame_set_camera',
                f'frame {frame.id} of {frame_set.name} has no camera matrix K, so no CameraInfo '
                'can be written: add K to its frames.json.',
            )
    recorded = _recorded_stamps(frame_set, frames, rate_hz)
    stamps = _written(recorded or _invented_stamps(frame_set, len(frames), rate_hz))
    sensor_stamps = _written(_sensor_stamps(frames, prompt, stamps) if recorded else stamps)
    _refuse_two_kinds(frames, prompt)
    transforms = _transforms(frames, prompt)
    with new_bag(path) as bag:
        bag.write(layout.TF_STATIC_TOPIC, transforms_message(transforms, stamps[0]), stamps[0])
        for i, frame in enumerate(frames):
            _write_frame(bag, frame, prompt, stamps[i], sensor_stamps[i])
            progress(i + 1, len(frames))
    rate = rate_hz or frame_set.rate_hz or DEFAULT_RATE_HZ
    parameters = _node_parameters(frames[0].prompts[prompt])
    return BagSummary(len(frames), left_out, prompt, parameters, name, rate)


def _node_parameters(entry: PromptEntry) -> dict[str, str]:
    """Return what differs from the node's defaults, which are those of a LiDAR's cloud."""
    parameters = {}
    if entry.is_projected_cloud:
        parameters['prompt.depth_alignment'] = 'projected'
        if entry.kind != 'lidar':
            parameters['prompt.remove_occluded'] = 'false'
    is_cloud = entry.is_projected_cloud or (entry.format == 'points' and entry.kind != 'radar')
    if is_cloud and entry.kind != 'lidar':
        sigma_m, sigma_rel = entry.sigma
        parameters |= {'prompt.sigma_m': str(sigma_m), 'prompt.sigma_rel': str(sigma_rel)}
    return parameters


def _write_frame(
    bag: BagWriter, frame: RecordedFrame, prompt: str, stamp_ns: int, sensor_ns: int
) -> None:
    """Write one frame; the image goes last, since a node starts to work when it arrives."""

    def write(topic: str, message: Message) -> None:
        bag.write(topic, message, stamp_of(message))

    assert frame.camera is not None
    here, there = (stamp_ns, layout.CAMERA_FRAME), (sensor_ns, layout.CAMERA_FRAME)
    if frame.ground_truth is not None:
        write(layout.GROUND_TRUTH_TOPIC, depth_message(frame.load_ground_truth(), *here))
    entry = frame.prompts[prompt]
    if entry.format == 'points':
        columns = _cloud_columns(frame.load_points(prompt))
        topic, frame_id = _place_of(entry)
        write(topic, cloud_message(columns, sensor_ns, frame_id))
    else:
        # 16UC1 counts millimeters; a map in any other unit would be rounded by it.
        encoding = '16UC1' if entry.scale == _MILLIMETER else '32FC1'
        depth = frame.load_depth_map(prompt)
        write(layout.SENSOR_DEPTH_INFO_TOPIC, camera_info_message(frame.camera, *there))
        write(layout.SENSOR_DEPTH_TOPIC, depth_message(depth, *there, encoding=encoding))
    write(layout.CAMERA_INFO_TOPIC, camera_info_message(frame.camera, *here))
    write(layout.IMAGE_TOPIC, color_message(frame.load_image(), *here))


def _cloud_columns(points: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return one array a PointCloud2 field, of types that every reader of clouds knows."""
    columns: dict[str, NDArray[Any]] = {
        axis: np.ascontiguousarray(points['xyz'][:, i], np.float32) for i, axis in enumerate('xyz')
    }
    if 'intensity' in points:
        columns['intensity'] = points['intensity'].astype(np.float32, copy=False)
    if 'ring' in points:
        columns['ring'] = points['ring'].astype(np.uint16, copy=False)
    for name in ('rcs', 'velocity'):
        if name in points:
            columns[name] = points[name].astype(np.float32, copy=False)
    return columns


def _place_of(entry: PromptEntry) -> tuple[str, str]:
    """Return topic and frame of a sensor that gives points."""
    if entry.kind == 'radar':
        return layout.RADAR_TOPIC, layout.RADAR_FRAME
    return layout.POINTS_TOPIC, layout.LIDAR_FRAME


def _camera_name(frame_set: FrameSet, wanted: str | None) -> str | None:
    names = list(dict.fromkeys(filter(None, map(_camera_of, frame_set.frames))))
    if wanted is None:
        return names[0] if len(names) > 1 else None
    if wanted not in names:
        raise InputError(
            'frame_set_camera',
            f'{frame_set.name} has no camera {wanted!r}; it has '
            f'{", ".join(names) or "one without a name, so leave --camera out"}.',
        )
    return wanted


def _camera_of(frame: RecordedFrame) -> str | None:
    name = frame.details.get('camera')
    if name is None or isinstance(name, str):
        return name
    raise InputError(
        'frame_set_camera',
        f'frame {frame.id}: camera is {name!r}, expected the name of a camera: correct its '
        'frames.json.',
    )


def _prompt_name(frame_set: FrameSet, frames: Sequence[RecordedFrame], wanted: str | None) -> str:
    names = list(dict.fromkeys(name for frame in frames for name in frame.prompts))
    scored = [n for frame in frames for n in frame.prompt_names(scored_only=True)]
    if not names:
        raise InputError(
            'frame_set_prompt', f'{frame_set.name} has no prompt to write as a sensor.'
        )
    if wanted is None:
        return (scored or names)[0]
    if wanted not in names:
        raise InputError(
            'frame_set_prompt',
            f'{frame_set.name} has no prompt {wanted!r}; it has {", ".join(names)}.',
        )
    return wanted


def _refuse_two_kinds(frames: Sequence[RecordedFrame], prompt: str) -> None:
    """Refuse a prompt that is not of one sensor: a bag has one topic for it."""
    first = frames[0].prompts[prompt]
    for frame in frames:
        entry = frame.prompts[prompt]
        if (entry.format, entry.kind) != (first.format, first.kind):
            raise InputError(
                'frame_set_prompt',
                f'prompt {prompt!r} of frame {frame.id} is {entry.format} of kind {entry.kind!r}, '
                f'expected {first.format} of kind {first.kind!r} as in frame {frames[0].id}: give '
                'it another name.',
            )


def _recorded_stamps(
    frame_set: FrameSet, frames: Sequence[RecordedFrame], rate_hz: float | None
) -> list[int]:
    """Return the stamps of the set; none where it does not keep them. One image, one stamp."""
    if rate_hz is not None or frame_set.rate_hz is None:
        return []
    owners: dict[int, str] = {}
    for frame in frames:
        if frame.stamp_ns is None:
            continue
        if frame.stamp_ns in owners:
            raise InputError(
                'frame_set_stamp',
                f'frames {owners[frame.stamp_ns]} and {frame.id} of {frame_set.name} have the '
                f'same stamp_ns {frame.stamp_ns}, expected one of its own for each: correct '
                'frames.json, or give a --rate to replace the stamps.',
            )
        owners[frame.stamp_ns] = frame.id
    if owners and len(owners) < len(frames):
        raise InputError(
            'frame_set_stamp',
            f'{len(frames) - len(owners)} of {len(frames)} frames of {frame_set.name} have no '
            'stamp_ns, expected all or none: add them to frames.json, or give a --rate to replace '
            'the stamps.',
        )
    return list(owners)


def _invented_stamps(frame_set: FrameSet, count: int, rate_hz: float | None) -> list[int]:
    period_ns = NS_PER_S / (rate_hz or frame_set.rate_hz or DEFAULT_RATE_HZ)
    return [_INVENTED_START_NS + round(i * period_ns) for i in range(count)]


def _sensor_stamps(
    frames: Sequence[RecordedFrame], prompt: str, stamps: Sequence[int]
) -> list[int]:
    """Return the stamps of the sensor, those of the images where it has none of its own."""
    own = [frame.prompts[prompt].stamp_ns for frame in frames]
    return [image if sensor is None else sensor for sensor, image in zip(own, stamps, strict=True)]


def _written(stamps: list[int]) -> list[int]:
    """Return stamps that a ROS message can hold, or refuse them."""
    for stamp_ns in stamps:
        if not 0 <= stamp_ns < _END_NS:
            raise InputError(
                'frame_set_stamp',
                f'the stamp {stamp_ns} ns cannot be written, expected 0 to 2^31 seconds: correct '
                'stamp_ns in frames.json, or give a --rate to replace the stamps.',
            )
    return stamps


def _transforms(
    frames: Sequence[RecordedFrame], prompt: str
) -> dict[tuple[str, str], NDArray[np.float64]]:
    T_base_camera = _one_for_all(frames, 'T_ego_camera', _T_base_camera)
    transforms = {(layout.BASE_FRAME, layout.CAMERA_FRAME): T_base_camera}
    entry = frames[0].prompts[prompt]
    if entry.format == 'points':
        T_camera_sensor = _one_for_all(
            frames, f'T_camera_sensor of prompt {prompt!r}', lambda f: f.T_camera_sensor(prompt)
        )
        _, frame_id = _place_of(entry)
        transforms[(layout.BASE_FRAME, frame_id)] = T_base_camera @ T_camera_sensor
    return transforms


def _T_base_camera(frame: RecordedFrame) -> NDArray[np.float64]:
    ego = frame.details.get('T_ego_camera')
    if ego is None:
        return T_BASE_OPTICAL
    return rigid_transform(ego, f'frame {frame.id}: T_ego_camera')


def _one_for_all(
    frames: Sequence[RecordedFrame],
    name: str,
    transform_of: Callable[[RecordedFrame], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the transform that all frames have, or refuse one that moves."""
    first = transform_of(frames[0])
    for frame in frames:
        if not np.allclose(transform_of(frame), first, atol=1e-4):
            raise InputError(
                'frame_set_transform',
                f'frame {frame.id} has another {name} than frame {frames[0].id}: a bag holds one '
                'static transform, so convert them apart.',
            )
    return first
