# SPDX-License-Identifier: Apache-2.0
"""Small good messages of every kind, with the fields that the codecs read."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_depth
from metric_depth_ros.codecs.stamps import NS_PER_S, sec_nanosec
from metric_depth_ros.geometry.camera import CameraModel

WIDTH, HEIGHT = 8, 6
STAMP_NS = NS_PER_S
_POINTS = 12
_FLOAT32 = 7

PICTURES = {
    suffix: cv2.imencode(suffix, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
    for suffix in ('.png', '.jpg')
}
# A number without meaning, and the two floats by which 32FC1 is quantized.
DEPTH_HEADER = struct.pack('<iff', 0, 100.0, -1.0)


def rvl_of(width: int, height: int, numbers: Sequence[int]) -> bytes:
    """Return an RVL picture of these numbers: groups of 3 bits, the lowest first."""
    nibbles: list[int] = []
    for number in numbers:
        while number > 7:
            nibbles.append(8 | (number & 7))
            number >>= 3
        nibbles.append(number)
    nibbles += [0] * (-len(nibbles) % 8)
    words = (nibbles[at : at + 8] for at in range(0, len(nibbles), 8))
    values = (int(''.join(f'{nibble:x}' for nibble in word), 16) for word in words)
    return struct.pack('<II', width, height) + b''.join(struct.pack('<I', v) for v in values)


_PIXELS = WIDTH * HEIGHT
_MILLIMETERS = 2000
DEPTH_PICTURES = {
    'png': cv2.imencode('.png', np.full((HEIGHT, WIDTH), _MILLIMETERS, np.uint16))[1].tobytes(),
    # No zeros, then all pixels: the first one as its zigzag, the others as the one before.
    'rvl': rvl_of(WIDTH, HEIGHT, [0, _PIXELS, 2 * _MILLIMETERS, *[0] * (_PIXELS - 1)]),
}


def good_messages() -> dict[str, Any]:
    """Return a good message of each kind by name, and of ``sensor_depth/camera_info``."""
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 10.0, 10.0, 3.5, 2.5)
    fields = camera_to_fields(camera)
    info = _message(
        'camera',
        **{name: getattr(fields, name) for name in fields.__dataclass_fields__},
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    depth = encode_depth(np.full((HEIGHT, WIDTH), 2.0, np.float32))
    return {
        'image': _message(
            'camera', height=HEIGHT, width=WIDTH, encoding='rgb8', is_bigendian=0,
            step=3 * WIDTH, data=bytes(3 * WIDTH * HEIGHT),
        ),
        'compressed': _message('camera', format='png', data=PICTURES['.png']),
        'camera_info': info,
        'sensor_depth/camera_info': info,
        'points': _cloud('xyzt'),
        'radar': _cloud(('x', 'y', 'rcs', 'velocity')),
        'sensor_depth': _message(
            'camera', height=HEIGHT, width=WIDTH, encoding='32FC1', is_bigendian=0,
            step=depth.step, data=depth.data.tobytes(),
        ),
        'compressed_depth': _message(
            'camera', format='16UC1; compressedDepth png',
            data=DEPTH_HEADER + DEPTH_PICTURES['png'],
        ),
    }  # fmt: skip


def serialized(message: Any, kind: type) -> bytes:
    """Return what the middleware delivers of a message.

    Parameters
    ----------
    message
        With the fields of `kind`.
    kind
        Message class of rclpy.
    """
    out = kind()
    for name in out.get_fields_and_field_types():
        value = getattr(message, name)
        if name == 'header':
            stamp = Time(sec=value.stamp.sec, nanosec=value.stamp.nanosec)
            value = Header(stamp=stamp, frame_id=value.frame_id)
        elif name == 'fields':
            value = [PointField(**vars(field)) for field in value]
        elif name == 'data':
            value = array('B', value)
        setattr(out, name, value)
    return bytes(serialize_message(out))


def field_of(name: str, offset: int, datatype: int = _FLOAT32, count: int = 1) -> SimpleNamespace:
    """Return a PointField."""
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)


def header_of(frame_id: str, seconds: int, nanoseconds: int) -> SimpleNamespace:
    """Return a Header."""
    return SimpleNamespace(
        frame_id=frame_id, stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    )


def _cloud(names: tuple[str, ...] | str) -> SimpleNamespace:
    """Return points before the camera; the frame of the LiDAR is turned as those of robots are."""
    across = np.linspace(-1.0, 1.0, _POINTS)
    columns = [np.full(_POINTS, 4.0), across, np.zeros(_POINTS), np.linspace(0.0, 0.1, _POINTS)]
    step = 4 * len(names)
    return _message(
        'lidar', height=1, width=_POINTS, point_step=step, row_step=step * _POINTS,
        is_bigendian=False, is_dense=True,
        data=np.column_stack(columns[: len(names)]).astype('<f4').tobytes(),
        fields=[field_of(name, 4 * i) for i, name in enumerate(names)],
    )  # fmt: skip


def _message(frame_id: str, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(header=header_of(frame_id, *sec_nanosec(STAMP_NS)), **fields)
