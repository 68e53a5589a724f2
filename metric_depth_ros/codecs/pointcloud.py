# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/PointCloud2 to arrays and back.

May import OpenCV, the sibling `layout` and `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.layout import Message, flat_bytes
from metric_depth_ros.errors import InputError

# sensor_msgs/PointField datatypes.
_KIND_OF_DATATYPE = {
    1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8',
}  # fmt: skip
_DATATYPE_OF_KIND = {kind: datatype for datatype, kind in _KIND_OF_DATATYPE.items()}
FLOAT32 = 7

# Layout of the clouds that are written: x, y, z at 0/4/8, rgb at 16, padded for aligned access
# as PCL's PointXYZRGB is, so that pcl::fromROSMsg is one copy.
ORGANIZED_POINT_STEP = 32
_RGB_OFFSET = 16


@dataclass(frozen=True)
class PointFieldFields:
    """Fields of a sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int = 1


@dataclass(frozen=True, eq=False)
class PointCloudFields:
    """Fields of a sensor_msgs/PointCloud2 without its header; `data` is flat uint8."""

    height: int
    width: int
    fields: tuple[PointFieldFields, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: NDArray[np.uint8]
    is_dense: bool


_ROWS_AND_COLUMNS = 2  # axes of a field that has one value a point
ORGANIZED_FIELDS = (
    PointFieldFields('x', 0, FLOAT32),
    PointFieldFields('y', 4, FLOAT32),
    PointFieldFields('z', 8, FLOAT32),
    PointFieldFields('rgb', _RGB_OFFSET, FLOAT32),
)


def decode_xyz(msg: Message) -> NDArray[np.float32]:
    """Return the positions of all points, row by row.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/PointCloud2.

    Returns
    -------
    NDArray[np.float32]
        (N, 3) meters in the cloud's frame, values as they came (NaN and Inf included). A view
        where x, y, z are adjacent float32 of the machine's byte order.

    Raises
    ------
    InputError
        Fields missing or of another type than FLOAT32 or FLOAT64, or sizes that do not fit.
    """
    columns = [_column(msg, name) for name in 'xyz']
    for name, column in zip('xyz', columns, strict=True):
        if column.dtype.kind != 'f':
            raise InputError(
                'cloud_field_type',
                f'cloud field {name!r} is {column.dtype}, expected FLOAT32 or FLOAT64.',
            )
        if column.ndim != _ROWS_AND_COLUMNS:
            raise InputError(
                'cloud_field_type',
                f'cloud field {name!r} has a count of {column.shape[-1]}, expected 1.',
            )
    x, y, z = columns
    adjacent = _address(y) - _address(x) == 4 and _address(z) - _address(y) == 4
    if adjacent and all(c.dtype == np.float32 and c.dtype.isnative for c in columns):
        view = np.lib.stride_tricks.as_strided(x, (*x.shape, 3), (*x.strides, 4))
        return view.reshape(-1, 3)
    return np.stack([c.astype(np.float32) for c in columns], axis=-1).reshape(-1, 3)


def decode_field(msg: Message, name: str) -> NDArray[Any]:
    """Return one field of all points, (N,) or (N, count), in its own type and byte order.

    A view unless the rows are padded.

    Raises
    ------
    InputError
        No such field, an unknown type, or sizes that do not fit.
    """
    column = _column(msg, name)
    return column.reshape(-1, *column.shape[2:])


def field_names(msg: Message) -> list[str]:
    """Return the names of the fields that a cloud has."""
    return [field.name for field in msg.fields]


def encode_cloud(columns: Mapping[str, NDArray[Any]]) -> PointCloudFields:
    """Return an unorganized cloud with one field a column, in the order given.

    Parameters
    ----------
    columns
        (N,) arrays of one length by field name. Types that PointField lacks (64-bit integers)
        are refused.
    """
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    lengths = {len(a) for a in arrays.values()}
    if len(lengths) != 1:
        raise InputError('cloud_size', f'columns of a cloud need one length, got {lengths}.')
    fields: list[PointFieldFields] = []
    dtype: list[tuple[str, str]] = []
    for name, array in arrays.items():
        kind = f'{array.dtype.kind}{array.dtype.itemsize}'
        if kind not in _DATATYPE_OF_KIND:
            raise InputError(
                'cloud_field_type', f'column {name!r} is {array.dtype}, which PointField lacks.'
            )
        offset = sum(np.dtype(k).itemsize for _, k in dtype)
        fields.append(PointFieldFields(name, offset, _DATATYPE_OF_KIND[kind]))
        dtype.append((name, '<' + kind))
    points = np.empty(lengths.pop(), dtype)
    for name, array in arrays.items():
        points[name] = array
    dense = all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == 'f')
    step = points.dtype.itemsize
    return PointCloudFields(
        1, len(points), tuple(fields), False, step, step * len(points),
        points.view(np.uint8).reshape(-1), bool(dense),
    )  # fmt: skip


def organized_xyz(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """View the positions inside the data of an organized cloud, to write them in place.

    Parameters
    ----------
    buffer
        Flat uint8, ``height * width * ORGANIZED_POINT_STEP`` bytes.

    Returns
    -------
    NDArray[np.float32]
        (height, width, 3), strided.
    """
    return buffer.view(np.float32).reshape(height, width, -1)[..., :3]


def encode_organized(
    points: NDArray[np.float32], rgb: NDArray[np.uint8], *, out: NDArray[np.uint8] | None = None
) -> PointCloudFields:
    """Return an organized XYZRGB cloud: one point a pixel, holes NaN.

    Parameters
    ----------
    points
        (H, W, 3) float32 meters; NaN where there is no point. Not copied when it already is
        `organized_xyz` of `out`.
    rgb
        (H, W, 3) uint8 colors of the same pixels.
    out
        Flat uint8 buffer of exactly the data's size to write to, or None for a new one. Its
        padding bytes are left as they are.
    """
    height, width = points.shape[:2]
    if out is None:
        out = np.zeros(height * width * ORGANIZED_POINT_STEP, np.uint8)
    xyz = organized_xyz(out, height, width)
    if _address(xyz) != _address(points):
        xyz[...] = points
    packed = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]
    packed &= 0x00FFFFFF  # an alpha of 255 would make the float that holds the color a NaN
    out.view(np.uint32).reshape(height, width, -1)[..., _RGB_OFFSET // 4] = packed
    return PointCloudFields(
        height, width, ORGANIZED_FIELDS, False, ORGANIZED_POINT_STEP,
        ORGANIZED_POINT_STEP * width, out, bool(np.isfinite(xyz[..., 2]).all()),
    )  # fmt: skip


def check_size(msg: Message) -> int:
    """Return the number of points, after holding the claimed sizes against the data.

    Raises
    ------
    InputError
        Sizes that do not fit together or the data.
    """
    height, width = int(msg.height), int(msg.width)
    point_step, row_step = int(msg.point_step), int(msg.row_step)
    if height * width == 0:
        return 0
    if point_step < 1:
        raise InputError('cloud_step', 'cloud has point_step 0: the driver fills it wrongly.')
    if height > 1 and row_step < width * point_step:
        raise InputError(
            'cloud_step',
            f'cloud row_step is {row_step} bytes, but {width} points of {point_step} bytes need '
            f'{width * point_step}.',
        )
    needed = (height - 1) * row_step + width * point_step
    if len(msg.data) < needed:
        raise InputError(
            'cloud_data',
            f'cloud has {len(msg.data)} bytes of data, but {width}x{height} points need {needed}: '
            'the message is truncated or its size is wrong.',
        )
    return height * width


def _column(msg: Message, name: str) -> NDArray[Any]:
    """View one field as (height, width) or (height, width, count)."""
    field = next((f for f in msg.fields if f.name == name), None)
    if field is None:
        raise InputError(
            'cloud_fields',
            f'cloud has no field {name!r}, only {", ".join(field_names(msg)) or "none at all"}: '
            'expected at least x, y and z.',
        )
    kind = _KIND_OF_DATATYPE.get(int(field.datatype))
    if kind is None:
        raise InputError(
            'cloud_field_type', f'cloud field {name!r} has unknown datatype {field.datatype}.'
        )
    dtype = np.dtype(('>' if msg.is_bigendian else '<') + kind)
    count = max(int(field.count), 1)  # 0 is what some drivers send for one
    offset, point_step = int(field.offset), int(msg.point_step)
    shape: tuple[int, ...] = (int(msg.height), int(msg.width))
    if check_size(msg) == 0:
        return np.empty(shape if count == 1 else (*shape, count), dtype)
    if offset + dtype.itemsize * count > point_step:
        raise InputError(
            'cloud_fields',
            f'cloud field {name!r} ends at byte {offset + dtype.itemsize * count} of a point of '
            f'{point_step} bytes: offset or point_step is wrong.',
        )
    strides: tuple[int, ...] = (int(msg.row_step), point_step)
    if count > 1:
        shape, strides = (*shape, count), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, flat_bytes(msg.data), offset, strides)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__['data'][0])
