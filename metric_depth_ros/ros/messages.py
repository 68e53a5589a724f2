# SPDX-License-Identifier: Apache-2.0
"""Codec records to rclpy messages, fast.

rclpy copies anything but an ``array('B')`` element by element into a message: 350 ms instead of
0.4 ms for one image. Output data is therefore encoded straight into such arrays, which are kept
from frame to frame where the size is the same: publishing serializes before it returns.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from metric_depth_ros.codecs.camera_info import CameraInfoFields
from metric_depth_ros.codecs.image import ImageFields
from metric_depth_ros.codecs.pointcloud import PointCloudFields


class MessageBuffer:
    """The data of one output topic, kept from frame to frame; or of one message."""

    def __init__(self) -> None:
        self.array = array('B')
        self._view = np.empty(0, np.uint8)

    @classmethod
    def holding(cls, data: NDArray[np.uint8]) -> MessageBuffer:
        """Return a buffer with a copy of `data`, for a message whose size is its own."""
        buffer = cls()
        buffer.array.frombytes(np.ascontiguousarray(data).data)
        return buffer

    def sized(self, byte_count: int) -> NDArray[np.uint8]:
        """Return the buffer as flat uint8 of this size, zeroed only when the size has changed."""
        if len(self.array) != byte_count:
            self.array = array('B', bytes(byte_count))
            self._view = np.frombuffer(self.array, np.uint8)
        return self._view


def header_message(header: Any) -> Header:
    """Return the std_msgs/Header of rclpy with the content of any header."""
    stamp = Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec)
    return Header(stamp=stamp, frame_id=header.frame_id)


def image_message(header: object, fields: ImageFields, buffer: MessageBuffer) -> Image:
    """Return an Image whose data lies in `buffer`, where the codec has written it."""
    message = Image()
    message.header = header
    message.height, message.width = fields.height, fields.width
    message.encoding, message.is_bigendian = fields.encoding, fields.is_bigendian
    message.step = fields.step
    message.data = buffer.array
    return message


def cloud_message(header: object, fields: PointCloudFields, buffer: MessageBuffer) -> PointCloud2:
    """Return a PointCloud2 whose data lies in `buffer`, where the codec has written it."""
    message = PointCloud2()
    message.header = header
    message.height, message.width = fields.height, fields.width
    message.fields = [
        PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
        for f in fields.fields
    ]
    message.is_bigendian, message.is_dense = fields.is_bigendian, fields.is_dense
    message.point_step, message.row_step = fields.point_step, fields.row_step
    message.data = buffer.array
    return message


def camera_info_message(header: object, fields: CameraInfoFields) -> CameraInfo:
    """Return a CameraInfo."""
    message = CameraInfo()
    message.header = header
    message.height, message.width = fields.height, fields.width
    message.distortion_model = fields.distortion_model
    message.d = list(fields.d)
    message.k, message.r, message.p = list(fields.k), list(fields.r), list(fields.p)
    return message
