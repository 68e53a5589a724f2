# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage (JPEG, PNG) to arrays.

The size that a header claims is checked before OpenCV allocates for it. May import OpenCV, the
sibling `layout` and `errors`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.layout import Message, flat_bytes
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE_PX

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
# Deflate shrinks at most 1032 times, and a PNG pixel has at least one bit; JPEG cannot do more.
_MAX_PIXELS_PER_BYTE = 8 * 1032


def decode_compressed_color(msg: Message) -> NDArray[np.uint8]:
    """Return the picture of a CompressedImage message.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/CompressedImage. The data decides what it is;
        `format` is informative only.

    Returns
    -------
    NDArray[np.uint8]
        (H, W, 3) RGB.

    Raises
    ------
    InputError
        Not a JPEG or PNG, a size that cannot be in that much data, or damaged data.
    """
    data = flat_bytes(msg.data)
    width, height = picture_size(data, msg.format)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None or picture.shape[:2] != (height, width):
        raise InputError(
            'compressed_data',
            f'compressed image of {data.size} bytes ({width}x{height}) cannot be decoded: it is '
            'damaged or truncated.',
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture), np.uint8)


def picture_size(data: NDArray[np.uint8], named: str = '') -> tuple[int, int]:
    """Return (width, height) that the header of a JPEG or PNG claims, if they can be.

    Parameters
    ----------
    data
        (N,) the bytes of the picture.
    named
        What its sender calls the format, for the refusal.

    Raises
    ------
    InputError
        Neither JPEG nor PNG, or a size that cannot be in that much data.
    """
    head = data[:64].tobytes()
    if head.startswith(_PNG):
        size = _png_size(head)
    elif head.startswith(_JPEG):
        size = _jpeg_size(data)
    else:
        of_format = f' of format {named!r}' if named else ''
        raise InputError(
            'compressed_format',
            f'compressed image{of_format} is neither JPEG nor PNG (it begins with '
            f'{head[:4].hex(" ") or "nothing"}): set the format of the compressed image transport '
            'to jpeg or png.',
        )
    return _checked_size(size, data.size)


def _checked_size(size: tuple[int, int] | None, byte_count: int) -> tuple[int, int]:
    if size is None:
        raise InputError(
            'compressed_data',
            f'compressed image of {byte_count} bytes has no readable size: it is damaged or '
            'truncated.',
        )
    width, height = size
    if not (
        1 <= width <= MAX_IMAGE_SIDE_PX and 1 <= height <= MAX_IMAGE_SIDE_PX
    ) or width * height > min(byte_count * _MAX_PIXELS_PER_BYTE, MAX_IMAGE_PIXELS):
        raise InputError(
            'image_size',
            f'compressed image claims {width}x{height} pixels in {byte_count} bytes, which cannot '
            f'be: expected 1 to {MAX_IMAGE_SIDE_PX} pixels a side and at most '
            f'{MAX_IMAGE_PIXELS} in all.',
        )
    return width, height


def _png_size(head: bytes) -> tuple[int, int] | None:
    if len(head) < 24 or head[12:16] != b'IHDR':
        return None
    return int.from_bytes(head[16:20], 'big'), int.from_bytes(head[20:24], 'big')


def _jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return (width, height) of the frame header, walking over the segments before it."""
    position = 2
    while position + 9 <= data.size:
        marker = int(data[position + 1])
        if data[position] != 0xFF:
            return None
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame:
            height, width = data[position + 5 : position + 9].view('>u2')
            return int(width), int(height)
        position += 2 + max(int.from_bytes(data[position + 2 : position + 4].tobytes(), 'big'), 2)
    return None
