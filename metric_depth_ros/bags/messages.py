# SPDX-License-Identifier: Apache-2.0
"""Build the rosbags messages of a bag from the nouns, through `codecs`. Imports rosbags.

Arrays go in with their units and shapes as everywhere else: RGB (H, W, 3) uint8, depth (H, W)
float32 meters, clouds as one array a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.codecs import stamps
from metric_depth_ros.codecs.camera_info import CameraInfoFields, camera_to_fields
from metric_depth_ros.codecs.image import ImageFields, encode_color, encode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import PointCloudFields, encode_cloud
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import quaternion_from_matrix


def header(stamp_ns: int, frame_id: str) -> Message:
    """Return a std_msgs/Header."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](*stamps.sec_nanosec(stamp_ns))
    return types['std_msgs/msg/Header'](stamp, frame_id)


def stamp_of(message: Message) -> int:
    """Return the header stamp of a message in nanoseconds."""
    return stamps.stamp_ns(message.header.stamp)


def color_message(rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Message:
    """Return an rgb8 Image."""
    return _image(encode_color(rgb, 'rgb8'), stamp_ns, frame_id)


def depth_message(
    depth: NDArray[np.float32], stamp_ns: int, frame_id: str, encoding: str = '32FC1'
) -> Message:
    """Return a depth Image, 32FC1 in meters or 16UC1 in millimeters (REP-118)."""
    return _image(encode_depth(depth, encoding), stamp_ns, frame_id)


def camera_info_message(camera: CameraModel, stamp_ns: int, frame_id: str) -> Message:
    """Return the CameraInfo of a camera."""
    types = typestore().types
    values = _values(camera_to_fields(camera))
    for name in ('d', 'k', 'r', 'p'):
        values[name] = np.asarray(values[name], np.float64)
    return types['sensor_msgs/msg/CameraInfo'](
        header=header(stamp_ns, frame_id),
        binning_x=0,
        binning_y=0,
        roi=types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
        **values,
    )


def cloud_message(columns: Mapping[str, NDArray[Any]], stamp_ns: int, frame_id: str) -> Message:
    """Return an unorganized PointCloud2 with one field a column, in the order given."""
    types = typestore().types
    values = _values(encode_cloud(dict(columns)))
    point_field = types['sensor_msgs/msg/PointField']
    values['fields'] = [
        point_field(f.name, f.offset, f.datatype, f.count) for f in values['fields']
    ]
    return types['sensor_msgs/msg/PointCloud2'](header=header(stamp_ns, frame_id), **values)


def transforms_message(
    transforms: Mapping[tuple[str, str], NDArray[np.float64]], stamp_ns: int
) -> Message:
    """Return the TFMessage of transforms keyed (parent, child); p_parent = T p_child."""
    types = typestore().types
    stamped = types['geometry_msgs/msg/TransformStamped']
    transform = types['geometry_msgs/msg/Transform']
    vector = types['geometry_msgs/msg/Vector3']
    quaternion = types['geometry_msgs/msg/Quaternion']
    return types['tf2_msgs/msg/TFMessage'](
        [
            stamped(
                header(stamp_ns, parent),
                child,
                transform(
                    vector(*map(float, T[:3, 3])),
                    quaternion(*map(float, quaternion_from_matrix(T))),
                ),
            )
            for (parent, child), T in transforms.items()
        ]
    )


def _image(image_fields: ImageFields, stamp_ns: int, frame_id: str) -> Message:
    image = typestore().types['sensor_msgs/msg/Image']
    return image(header=header(stamp_ns, frame_id), **_values(image_fields))


def _values(record: ImageFields | CameraInfoFields | PointCloudFields) -> dict[str, Any]:
    """Return the fields of a dataclass without copying what they hold."""
    return {f.name: getattr(record, f.name) for f in fields(record)}
