# SPDX-License-Identifier: Apache-2.0
"""Where the sensors are: one interface, three sources (tf2, a calibration file, a bag).

The source is chosen by the parameter extrinsics.source and imported only then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from metric_depth_ros.ros.static_tree import FixedTransform, StaticTree
from metric_depth_ros.ros.tf2_tree import Tf2Tree, matrix_of
from metric_depth_ros.ros.watched_calibration import WatchedCalibration

if TYPE_CHECKING:
    from rclpy.node import Node

_Edge = TypeVar('_Edge')


# Within 10 s of its newest transform tf2 takes older ones; frames out of order are no jump.
_JUMP_NS = 5_000_000_000
_MAX_CAMERAS = 64
_WAIT_STEP_S = 0.004
_MOST_SKIPPED = 64  # lookups that do not wait after motion has been waited for in vain


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

    def lookup_moved(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the same through the fixed frame, None where the motion is not known."""
        ...

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return (4, 4) from one frame to another, both at one stamp; never that of another.

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

    def clear(self) -> None:
        """Forget what moves: the clock went back."""

    def close(self) -> None:
        """Release subscriptions."""
        ...


class Tf2Extrinsics:
    """The transform tree of the running system.

    Parameters
    ----------
    node
        Node whose executor feeds the listener.
    fixed_frame
        Frame that both stamps are related through; empty or unknown: rigidly mounted.
    max_wait_s
        Longest time that a lookup waits for motion: odometry arrives a little after the images
        that it belongs to.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    problem = ''

    def __init__(self, node: Node, fixed_frame: str, max_wait_s: float) -> None:
        instead = 'extrinsics.source to file or bag and extrinsics.path'
        self._tree = Tf2Tree(node, 'extrinsics', 'extrinsics.source', instead)
        self._fixed_frame = fixed_frame
        self._max_wait_s = max_wait_s
        self._newest_ns: dict[str, int] = {}  # by camera: those of several may differ in clock
        self._judging = threading.RLock()
        self._skipped = self._to_skip = 0  # lookups since one waited in vain

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform, moved through the fixed frame where the tree knows it."""
        from rclpy.time import Time

        stamps = camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns
        moved = self.lookup_moved(*stamps)
        if moved is not None:
            return moved
        try:
            found = self._tree.buffer.lookup_transform(camera_frame, sensor_frame, Time())
        except self._tree.unknown as error:
            raise InputError(
                'transform_missing',
                f'no transform from {sensor_frame!r} to {camera_frame!r} on /tf and /tf_static: '
                f'{error}. Publish it (static_transform_publisher), or set extrinsics.source to '
                'file or bag.',
            ) from error
        return matrix_of(found)

    def lookup_moved(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the transform through the fixed frame, None where the tree does not know it.

        A transform that is about to arrive is waited for; where that was in vain time and again,
        ever fewer lookups wait.
        """
        from rclpy.time import Time

        self._forget_if_jumped_back(camera_frame, camera_stamp_ns)
        if not self._fixed_frame or not self._tree.buffer.can_transform(
            self._fixed_frame, camera_frame, Time()
        ):
            return None
        camera_time = Time(nanoseconds=camera_stamp_ns)
        sensor_time = Time(nanoseconds=sensor_stamp_ns)
        asked = (camera_frame, camera_time, sensor_frame, sensor_time, self._fixed_frame)
        try:
            self._wait_for(asked)
            return matrix_of(self._tree.buffer.lookup_transform_full(*asked))
        except self._tree.unknown:
            return None

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return the transform at a stamp.

        Stamps come in any order: an older one is no clock that went back.
        """
        from rclpy.time import Time

        asked = target_frame, source_frame, Time(nanoseconds=stamp_ns)
        if wait:
            self._arrives(lambda: self._tree.buffer.can_transform(*asked))
        try:
            return matrix_of(self._tree.buffer.lookup_transform(*asked))
        except self._tree.unknown as error:
            raise InputError(
                'transform_missing',
                f'no transform from {source_frame!r} to {target_frame!r} on /tf and /tf_static at '
                f'{stamp_ns * 1e-9:.3f} s: {error}. Publish it; tf2 keeps ten seconds.',
            ) from error

    def _wait_for(self, asked: tuple[object, ...]) -> None:
        """Wait, after one time in vain at every second lookup, then at every third, fifth ..."""
        known = partial(self._tree.buffer.can_transform_full, *asked)
        if not known() and self._skipped < self._to_skip:
            self._skipped += 1
        elif self._arrives(known):
            self._to_skip = 0
        else:
            self._skipped, self._to_skip = 0, min(max(1, 2 * self._to_skip), _MOST_SKIPPED)

    def _arrives(self, known: Callable[[], bool]) -> bool:
        """Wait until something is known; False if that takes longer than it may."""
        ends_s = time.monotonic() + self._max_wait_s
        while not known():
            if time.monotonic() >= ends_s:
                return False
            time.sleep(_WAIT_STEP_S)
        return True

    def clear(self) -> None:
        """Forget what moves: the clock went back; what is static stays."""
        with self._judging:
            self._tree.clear()
            self._newest_ns.clear()  # the other cameras of that clock have jumped with it

    def close(self) -> None:
        """Stop listening."""
        self._tree.close()

    def _forget_if_jumped_back(self, camera_frame: str, stamp_ns: int) -> None:
        """Let the tree take transforms that are older than those it has: a bag began anew."""
        with self._judging:
            newest_ns = self._newest_ns.pop(camera_frame, stamp_ns)
            if newest_ns - stamp_ns > _JUMP_NS:
                self.clear()
                newest_ns = stamp_ns
            self._newest_ns[camera_frame] = max(newest_ns, stamp_ns)
            if len(self._newest_ns) > _MAX_CAMERAS:  # names that are made up push each other out
                del self._newest_ns[next(iter(self._newest_ns))]


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
    if settings.source == 'file':
        return WatchedCalibration(
            user_path(settings.path),
            lambda p: _from_file(p, settings),
            lambda sentence: node.get_logger().warning(sentence),
        )
    return read_extrinsics(settings)


def create_mount(settings: MountSettings, node: Node) -> Extrinsics:
    """Return the same for a node that asks for frames by name.

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
    return create_extrinsics(rigid, node)


def read_extrinsics(settings: ExtrinsicsSettings) -> Extrinsics:
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
