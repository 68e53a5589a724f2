# SPDX-License-Identifier: Apache-2.0
"""All that the node does to a frame, from the stamp of its image to the bytes of its outputs.

The node's own parts in the node's own order; what is left out is DDS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sensor_msgs.msg

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_depth, encode_mono
from metric_depth_ros.codecs.pointcloud import encode_cloud, encode_organized
from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.geometry.voxels import voxel_means
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.depth_picture import depth_picture
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.in_place import READERS
from metric_depth_ros.ros.limits import LimitedDepth, limited_depth
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.stamps import StampGate
from metric_depth_ros.torture.fuzz.good_messages import STAMP_NS, good_messages, serialized
from metric_depth_ros.torture.fuzz.kinds import Kind
from metric_depth_ros.torture.fuzz.replacements import Replacement, overwritten, replaced
from metric_depth_ros.types import DepthEstimate, Frame

_MAX_RANGE_M = 250.0
_EDGE_FILTER = 0.03
_VOXEL_M = 0.05
# Most frames are answered by the method that costs least, and become a depth image only. Each so
# many-th is answered by the classical one, or becomes all outputs.
_CLASSICAL_EVERY = 61
_ALL_OUTPUTS_EVERY = 7


class Subject:
    """The node without its middleware, with messages of one kind fuzzed.

    Parameters
    ----------
    kind
        Of the messages.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._settings = DEPTH_NODE.settings(
            {'extrinsics.source': 'file', 'extrinsics.path': '-', **kind.parameters}
        )
        good = good_messages()
        self._good = {
            'camera_info': good['camera_info'],
            'sensor_depth/camera_info': good['sensor_depth/camera_info'],
            'points': good['points'],
            'radar': good['radar'],
            'sensor_depth': good['sensor_depth'],
            'image': good['image'],
            kind.stream: good[kind.name.removesuffix('_bytes')],
        }
        self._fuzzed = _fuzzed_by(kind, self._good[kind.stream])
        self._builder = FrameBuilder(_moving_robot(), lambda stream, error: None)
        self._estimators = create_estimator('nearest'), create_estimator('classical:fast')
        self._answered = 0

    def answers(self, replacements: tuple[Replacement, ...]) -> bool:
        """Tell whether a message with these fields replaced was answered; if not, it was refused.

        Raises
        ------
        Exception
            What is neither: a defect.
        """
        try:
            fuzzed = self._fuzzed(replacements)
            frame = self._frame_of({**self._good, self._kind.stream: fuzzed})
            if frame is None:
                return False
            self._answered += 1
            estimator = self._estimators[not self._answered % _CLASSICAL_EVERY]
            estimate = estimator.estimate(frame)
        except InputError:
            return False
        if self._kind.name in ('image', 'image_bytes'):
            assert frame.image.shape == (fuzzed.height, fuzzed.width, 3)
        limited = _check_depth_image(frame, estimate)
        if not self._answered % _ALL_OUTPUTS_EVERY:
            _check_other_outputs(frame, limited)
        return True

    def _frame_of(self, messages: dict[str, Any]) -> Frame | None:
        """Take messages as the callbacks and the worker of the node do."""
        image = messages.pop('image')
        stamp = stamp_ns(image.header.stamp)
        StampGate().admit(stamp, STAMP_NS, self._settings.max_frame_age_s)
        assembly = Assembly(
            self._settings.prompt.sources,
            ('camera_info', 'sensor_depth/camera_info'),
            self._settings.prompt.max_age_s,
            max_wait_s=0.0,
        )
        for stream, message in messages.items():
            if stream.endswith('camera_info') or stream in self._settings.prompt.sources:
                assembly.offer(stream, message, stamp_ns(message.header.stamp))
        assembly.offer_image(image, stamp)
        bundle = assembly.take()
        assert bundle is not None
        return self._builder.build(bundle, self._settings)


def _fuzzed_by(kind: Kind, good: Any) -> Callable[[tuple[Replacement, ...]], Any]:
    """Return what spoils a good message, and gives it as the callbacks of the node get it."""
    if not kind.as_bytes:
        return lambda replacements: replaced(good, replacements)
    message_class = getattr(sensor_msgs.msg, kind.message_type.rpartition('/')[2])
    read = READERS[message_class]
    whole = serialized(good, message_class)
    return lambda replacements: read(overwritten(whole, replacements))


def _check_depth_image(frame: Frame, estimate: DepthEstimate) -> LimitedDepth:
    height, width = frame.image.shape[:2]
    limited = limited_depth(estimate, _MAX_RANGE_M, 0.0)
    assert limited.depth.shape == (height, width)
    assert limited.depth.dtype == np.float32
    fields = encode_depth(limited.depth)
    assert (fields.height, fields.width) == (height, width)
    assert len(fields.data) == 4 * height * width
    return limited


def _check_other_outputs(frame: Frame, limited: LimitedDepth) -> None:
    """Make every other output of a frame, and hold its size against that of the image."""
    height, width = limited.depth.shape
    assert floating_pixels(limited.depth, _EDGE_FILTER).shape == (height, width)
    assert len(encode_depth(limited.depth, '16UC1').data) == 2 * height * width
    assert depth_picture(limited.depth).shape == (height, width, 3)
    if frame.prompt is not None:
        assert encode_mono(frame.prompt.to_map(width, height)).height == height
    if limited.camera is not None:
        _check_clouds(frame, limited, limited.camera)


def _check_clouds(frame: Frame, limited: LimitedDepth, camera: CameraModel) -> None:
    height, width = limited.depth.shape
    info = camera_to_fields(camera)
    assert (info.height, info.width) == (height, width)
    points = depth_to_points(camera, limited.depth)
    cloud = encode_organized(points, frame.image)
    assert (cloud.height, cloud.width) == (height, width)
    assert len(cloud.data) == cloud.row_step * height
    means = voxel_means(points, _VOXEL_M)
    assert len(means) <= height * width
    voxels = encode_cloud({axis: means[:, i] for i, axis in enumerate('xyz')})
    assert len(voxels.data) == voxels.point_step * len(means)


def _moving_robot() -> MovingTree:
    """Return a camera and sensors on a robot that drives and turns; the LiDAR looks ahead."""
    mounted = np.eye(4)
    mounted[:3, :3] = ((0, -1, 0), (0, 0, -1), (1, 0, 0))
    # A pose at the begin, middle and end of the good sweep: poses between poses cost time.
    seconds = (0.0, 1.0, 1.05, 1.1, 3.0)
    poses = np.tile(np.eye(4), (len(seconds), 1, 1))
    poses[:, 2, 3] = np.multiply(15.0, seconds)
    poses[-1, :3, :3] = ((0.8, 0, 0.6), (0, 1, 0), (-0.6, 0, 0.8))
    stamps = np.array([round(s * STAMP_NS) for s in seconds], np.int64)
    return MovingTree(
        {('camera', 'lidar'): mounted},
        {('odom', 'camera'): PoseTrack(stamps, poses)},
        'odom',
        'the fuzzed robot',
    )
