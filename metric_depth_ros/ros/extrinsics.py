# SPDX-License-Identifier: Apache-2.0
"""Where the sensors are: three sources (tf2, a calibration file, a bag), asked in two ways.

The depth node asks where a sensor was when it measured, the others where a frame was at a stamp.
The source is chosen by the parameter extrinsics.source, and tf2 imported only then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.resources import user_path
from metric_depth_ros.ros.calibration_files import (
    is_kitti_calibration,
    read_kitti_calibration,
    read_transforms_yaml,
)
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.parameters import ExtrinsicsSettings, MountSettings, PromptSettings
from metric_depth_ros.ros.static_tree import FixedTransform, RigidExtrinsics, StaticTree
from metric_depth_ros.ros.tf2_tree import Tf2Extrinsics, extrinsics_tree
from metric_depth_ros.ros.watched_calibration import WatchedCalibration

if TYPE_CHECKING:
    from rclpy.node import Node

_Edge = TypeVar('_Edge')


class Extrinsics(Protocol):
    """Place of a sensor relative to a camera."""

    @property
    def problem(self) -> str:
        """What is wrong at this moment with what the places come from; empty: nothing."""
        ...

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return (4, 4) from the sensor at its stamp to the camera at its stamp.

        Raises
        ------
        InputError
            ``'transform_missing'``: the frames are not connected.
        """
        ...

    def lookup_through_fixed_frame(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the same through the fixed frame, None where the motion is not known."""
        ...

    def close(self) -> None:
        """Release subscriptions."""
        ...


class Transforms(Protocol):
    """Places of frames relative to each other."""

    @property
    def problem(self) -> str:
        """What is wrong at this moment with what the places come from; empty: nothing."""
        ...

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return (4, 4) from one frame to another, both at one stamp.

        Never the transform of another stamp, with one exception: a bag recorded at another time,
        which still tells how the robot is built.

        Parameters
        ----------
        target_frame, source_frame, stamp_ns
            What is asked for.
        wait
            Whether to wait for a transform that is about to arrive. A callback must not: while it
            waits, nothing arrives.

        Raises
        ------
        InputError
            ``'transform_missing'``: the frames are not connected, or not known at the stamp.
        """
        ...

    def try_lookup(self, target_frame: str, source_frame: str, stamp_ns: int) -> Transform | None:
        """Return the same without waiting, None where it is not known at the stamp (yet).

        Raises
        ------
        InputError
            ``'transform_missing'``: the frames are not connected at any time.
        """
        ...

    def clear(self) -> None:
        """Forget what moves: the clock went back."""
        ...

    def close(self) -> None:
        """Release subscriptions."""
        ...


def placed_sources(prompt: PromptSettings) -> list[str]:
    """Return the sources that have a place of their own; registered depth has the camera's."""
    own_place = prompt.depth_alignment in ('auto', 'unregistered')
    return [source for source in prompt.sources if source != 'sensor_depth' or own_place]


def check_places(
    settings: ExtrinsicsSettings, cameras: Sequence[str], sources: Sequence[str]
) -> None:
    """Refuse a file that knows one place where there are several.

    Parameters
    ----------
    settings
        Where the places come from.
    cameras
        Names of the cameras; empty: one without a name.
    sources
        Prompt sources that have a place of their own.

    Raises
    ------
    InputError
        ``'extrinsics'``: a file of KITTI, whose one transform would be that of them all.
    """
    if settings.source != 'file' or not is_kitti_calibration(Path(settings.path)):
        return
    if len(cameras) > 1 or len(sources) > 1:
        raise InputError(
            'extrinsics',
            f'calibration file {settings.path} (parameter extrinsics.path) holds one transform, '
            f'from a LiDAR to a camera, as all .txt files of KITTI do, but {", ".join(sources)} '
            f'are to be placed in {", ".join(cameras) or "the camera"}: give a YAML file with '
            'every place (docs/INPUTS.md), or set extrinsics.source to tf2 or bag. A depth image '
            'that is registered needs no place (prompt.depth_alignment).',
        )


def create_extrinsics(settings: ExtrinsicsSettings, node: Node) -> Extrinsics:
    """Return the extrinsics that the parameters ask for.

    Raises
    ------
    InputError
        tf2 is not installed, or the file or bag cannot be used.
    """
    if settings.source == 'tf2':
        return Tf2Extrinsics(node, settings.fixed_frame, settings.max_wait_s)
    return _read_or_watched(settings, node)


def create_transforms(settings: MountSettings, node: Node) -> Transforms:
    """Return the transforms that the parameters ask for, to a node that names its frames.

    Raises
    ------
    InputError
        As `create_extrinsics`; or a file of KITTI, which names no frames.
    """
    if settings.source == 'file' and is_kitti_calibration(Path(settings.path)):
        raise InputError(
            'extrinsics',
            f'calibration file {settings.path} (parameter extrinsics.path) names no frames, as no '
            '.txt file of KITTI does: give a YAML file with the place of every frame '
            '(docs/INPUTS.md), or set extrinsics.source to tf2 or bag.',
        )
    rigid = ExtrinsicsSettings(settings.source, settings.path, settings.frames, fixed_frame='')
    if settings.source == 'tf2':
        return extrinsics_tree(node, rigid.max_wait_s)
    return _read_or_watched(rigid, node)


def _read_or_watched(settings: ExtrinsicsSettings, node: Node) -> RigidExtrinsics | MovingTree:
    if settings.source != 'file':
        return read_extrinsics(settings)
    return WatchedCalibration(
        user_path(settings.path),
        lambda p: _from_file(p, settings),
        lambda sentence: node.get_logger().warning(sentence),
    )


def read_extrinsics(settings: ExtrinsicsSettings) -> RigidExtrinsics | MovingTree:
    """Return the extrinsics of a file as it is now, or of a bag; the source is one of these.

    Raises
    ------
    InputError
        The file or bag cannot be used.
    """
    path = user_path(settings.path)
    if settings.source == 'file':
        return _from_file(path, settings)
    from metric_depth_ros.bags.extrinsics import read_poses, read_static_transforms

    static = read_static_transforms(path)
    names = _frame_names(settings.frames)
    return MovingTree(
        _renamed(static, names),
        _renamed(read_poses(path), names),
        settings.fixed_frame,
        f'/tf_static of {path}',
    )


def _from_file(path: Path, settings: ExtrinsicsSettings) -> FixedTransform | StaticTree:
    if is_kitti_calibration(path):
        return FixedTransform(read_kitti_calibration(path, settings.kitti_camera))
    transforms = read_transforms_yaml(path)
    return StaticTree(_renamed(transforms, _frame_names(settings.frames)), str(path))


def _frame_names(text: str) -> dict[str, str]:
    """Return the frames of messages by those of the file, from ``message=file, ...``."""
    names = {}
    for pair in filter(None, (p.strip() for p in text.split(','))):
        message, equals, file = (p.strip() for p in pair.partition('='))
        if not (message and equals and file):
            raise InputError(
                'parameter',
                f'parameter extrinsics.frames has {pair!r}, expected frame_of_message=frame_of_'
                'file, several separated by commas.',
            )
        names[file] = message
    return names


def _renamed(
    transforms: Mapping[tuple[str, str], _Edge], names: Mapping[str, str]
) -> dict[tuple[str, str], _Edge]:
    return {(names.get(p, p), names.get(c, c)): edge for (p, c), edge in transforms.items()}
