# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage of compressed_depth_image_transport (PNG, RVL) to meters.

``format`` says what was compressed and how: ``16UC1; compressedDepth rvl``. The data begins with
12 bytes: a number without meaning and two floats A and B, by which 32FC1 was quantized as inverse
depth, ``depth = A / (value - B)``. May import OpenCV, the sibling `layout`,
`geometry.camera` (the limit of size) and `errors`.
"""

from __future__ import annotations

import struct
from array import array

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.compressed import picture_size
from metric_depth_ros.codecs.layout import Message, flat_bytes
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import MAX_IMAGE_SIDE_PX

_HEADER = struct.Struct('<iff')
_MAX_PIXELS = 32 * 1024 * 1024  # no depth camera has more; an empty RVL image needs no bytes
# A difference of 17 bits takes 6 nibbles. The lengths of its run take two more, where it is alone.
_RVL_BYTES_PER_PIXEL = 4
_MOST_NIBBLES = 10  # of a number, so that it fits into an int32; 9 hold the largest image
_PORTION = 1 << 20  # nibbles


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
    differences, zigzag.
    """
    if data.size < 8:
        raise _damaged(data.size)
    columns, rows = (int(v) for v in data[:8].view('<u4'))
    _checked_size(columns, rows, data.size)
    pixel_count = rows * columns
    try:
        numbers = _numbers(data[8 : 8 + _RVL_BYTES_PER_PIXEL * (pixel_count + 1)])
        starts, end = _runs(numbers, pixel_count)
    except (IndexError, ValueError) as error:
        raise _damaged(data.size) from error
    numbers = numbers[:end]
    is_length = np.zeros(end, bool)
    is_length[starts] = is_length[starts + 1] = True
    differences = numbers[~is_length]
    values = np.cumsum((differences >> 1) ^ -(differences & 1), dtype=np.int64)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise _damaged(data.size)
    has_value = np.repeat(np.tile([False, True], len(starts)), numbers[is_length])
    pixels = np.zeros(pixel_count, np.uint16)
    pixels[has_value] = values
    return pixels.reshape(rows, columns)


def _runs(numbers: NDArray[np.int32], pixel_count: int) -> tuple[NDArray[np.int32], int]:
    """Return where the two lengths of each run stand, and where the last run ends.

    Each run tells where the next one begins, so that they are walked one by one: the only loop.

    Raises
    ------
    IndexError, ValueError
        They end before the image does, or beyond it.
    """
    number = numbers.data  # of a single item, several times as fast as the array
    starts = array('i')
    at = pixel = 0
    while pixel < pixel_count:
        count = number[at + 1]
        covered = number[at] + count
        if not covered:  # nobody writes that; megabytes of it would keep us busy
            raise ValueError('a run of nothing')
        starts.append(at)
        pixel += covered
        at += 2 + count
    if pixel > pixel_count or at > len(numbers):
        raise ValueError('a run that is too long')
    return np.frombuffer(starts, np.int32), at


def _numbers(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return all numbers of an RVL stream; in portions, for the indices are several times larger.

    Raises
    ------
    ValueError
        One that no image needs.
    """
    octets = data[: data.size // 4 * 4].reshape(-1, 4)[:, ::-1]  # the first nibble is the highest
    nibbles = np.stack((octets >> 4, octets & 0xF), axis=-1).reshape(-1)
    numbers = np.empty(len(nibbles), np.int32)
    at = filled = 0
    while at < len(nibbles):
        some = nibbles[at : at + _PORTION]
        lasts = np.flatnonzero(some < 8)
        firsts = np.concatenate(([0], lasts + 1))
        lengths = np.diff(firsts, append=len(some))
        if lengths.max() > _MOST_NIBBLES:
            raise ValueError('a number of too many nibbles')
        if not len(lasts):  # the last number is cut off
            break
        numbers[filled : filled + len(lasts)] = _joined(
            some & np.uint8(7), firsts[:-1], lengths[:-1]
        )
        filled += len(lasts)
        at += int(firsts[-1])
    return numbers[:filled]


def _joined(
    digits: NDArray[np.uint8], firsts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return the numbers of octal digits, lowest first."""
    numbers = digits[firsts].astype(np.int32)
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] |= digits[firsts[longer] + place].astype(np.int32) << (3 * place)
    return numbers


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
