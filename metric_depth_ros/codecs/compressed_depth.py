# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage of compressed_depth_image_transport (PNG, RVL) to meters.

``format`` says what was compressed and how: ``16UC1; compressedDepth rvl``. The data begins with
12 bytes: a number without meaning and two floats A and B, by which 32FC1 was quantized as inverse
depth, ``depth = A / (value - B)``. May import OpenCV, the sibling `layout`,
`geometry.camera` (the limit of size) and `errors`.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.compressed import picture_size
from metric_depth_ros.codecs.layout import Message, flat_bytes
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import MAX_IMAGE_SIDE_PX

_HEADER = struct.Struct('<iff')
_MAX_PIXELS = 32 * 1024 * 1024  # no depth camera has more; an empty RVL image needs no bytes


def decode_compressed_depth(msg: Message) -> NDArray[np.float32]:
    """Return the depth of a compressedDepth message in meters (REP-118).

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/CompressedImage.

    Returns
    -------
    NDArray[np.float32]
        (H, W) meters, NaN where unknown.

    Raises
    ------
    InputError
        Another format, a size that cannot be, or damaged data.
    """
    encoding, _, compression = str(msg.format).partition(';')
    if 'compressedDepth' not in compression or encoding.strip() not in ('16UC1', '32FC1'):
        raise InputError(
            'compressed_format',
            f'compressed depth has format {msg.format!r}, expected "16UC1" or "32FC1" with '
            '"; compressedDepth png" or rvl: subscribe to the topic that ends in '
            '/compressedDepth.',
        )
    data = flat_bytes(msg.data)
    if data.size <= _HEADER.size:
        raise _damaged(data.size)
    _, a, b = _HEADER.unpack(data[: _HEADER.size].tobytes())
    packed = data[_HEADER.size :]
    values = _decode_rvl(packed) if 'rvl' in compression else _decode_png(packed)
    depth = values.astype(np.float32)
    if encoding.strip() == '16UC1':
        depth *= np.float32(1e-3)
    else:
        with np.errstate(divide='ignore', invalid='ignore'):
            depth = np.float32(a) / (depth - np.float32(b))
        depth[~((depth > 0.0) & np.isfinite(depth))] = np.nan
    depth[values == 0] = np.nan
    return depth


def _decode_png(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    _checked_size(*picture_size(data), data.size)
    picture = cv2.imdecode(np.ascontiguousarray(data), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint16:
        raise _damaged(data.size)
    return np.asarray(picture, np.uint16)


def _decode_rvl(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Undo RVL (Wilson, "Fast Lossless Depth Image Compression", 2017).

    Numbers are written in groups of 3 bits, lowest first, each in a nibble whose highest bit says
    that more follow. They are by turns: how many zeros, how many values, and these values as
    differences, zigzag. Only the runs are walked one by one.
    """
    if data.size < 8:
        raise _damaged(data.size)
    columns, rows = (int(v) for v in data[:8].view('<u4'))
    _checked_size(columns, rows, data.size)
    numbers = _numbers(data[8:])
    pixels = np.zeros(rows * columns, np.uint16)
    at, pixel, level = 0, 0, 0
    while pixel < len(pixels):
        if at + 2 > len(numbers):
            raise _damaged(data.size)
        zeros, count = (int(n) for n in numbers[at : at + 2])
        if not zeros and not count:  # nobody writes that; megabytes of it would keep us busy
            raise _damaged(data.size)
        pixel, at = pixel + zeros, at + 2
        run = numbers[at : at + count]
        if pixel + count > len(pixels) or len(run) < count:
            raise _damaged(data.size)
        if count:
            values = level + np.cumsum((run >> 1) ^ -(run & 1))
            if values.min() < 0 or values.max() > 0xFFFF:
                raise _damaged(data.size)
            pixels[pixel : pixel + count] = values
            level = int(values[-1])
        pixel, at = pixel + count, at + count
    return pixels.reshape(rows, columns)


def _numbers(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return all numbers of an RVL stream."""
    words = data[: data.size // 4 * 4].view('<u4')
    shifts = np.arange(28, -1, -4, dtype=np.uint32)  # the first nibble is the highest
    nibbles = ((words[:, None] >> shifts) & 0xF).astype(np.int64).reshape(-1)
    last = nibbles < 8
    number: NDArray[np.int64] = np.cumsum(last) - last
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    place = np.arange(len(nibbles)) - starts[number]
    if place.size and place.max() > 10:  # more than 32 bits
        raise _damaged(data.size)
    if not len(starts):
        return np.empty(0, np.int64)
    return np.add.reduceat((nibbles & 7) << (3 * place), starts)


def _checked_size(width: int, height: int, byte_count: int) -> None:
    if (
        not (1 <= width <= MAX_IMAGE_SIDE_PX and 1 <= height <= MAX_IMAGE_SIDE_PX)
        or width * height > _MAX_PIXELS
    ):
        raise InputError(
            'image_size',
            f'compressed depth claims {width}x{height} pixels in {byte_count} bytes, expected 1 '
            f'to {MAX_IMAGE_SIDE_PX} a side and {_MAX_PIXELS} at most.',
        )


def _damaged(byte_count: int) -> InputError:
    return InputError(
        'compressed_data',
        f'compressed depth of {byte_count} bytes cannot be decoded: it is damaged or truncated.',
    )
