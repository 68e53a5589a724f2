# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage (JPEG, PNG) to arrays.

The size that a header claims is checked before OpenCV allocates for it. May import OpenCV, the
sibling `layout`, `geometry.camera` (limits of size) and `errors`.
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
# Deflate shrinks at most 1032 times. JPEG spends a bit at least on each block of 8x8 pixels.
_DEFLATE_RATIO = 1032
_JPEG_PIXELS_PER_BYTE = 8 * 64
_PNG_CHUNK_BYTES = 12  # of length, name and checksum
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type


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
        claim, is_whole = _png_size(head), _png_is_whole(data)
        most = data.size * _DEFLATE_RATIO * 8 // _png_bits(head)
    elif head.startswith(_JPEG):
        claim, is_whole = _jpeg_size(data), True
        most = data.size * _JPEG_PIXELS_PER_BYTE
    else:
        of_format = f' of format {named!r}' if named else ''
        raise InputError(
            'compressed_format',
            f'compressed image{of_format} is neither JPEG nor PNG (it begins with '
            f'{head[:4].hex(" ") or "nothing"}): if it comes from a topic, set the format '
            'of its transport to jpeg or png.',
        )
    if claim is not None:
        _check_size(*claim, data.size, min(most, MAX_IMAGE_PIXELS))
    if claim is None or not is_whole:
        raise InputError(
            'compressed_data',
            f'compressed image of {data.size} bytes has no readable size or no end: it is damaged '
            'or truncated.',
        )
    return claim


def _check_size(width: int, height: int, byte_count: int, most_pixels: int) -> None:
    if (
        not (1 <= width <= MAX_IMAGE_SIDE_PX and 1 <= height <= MAX_IMAGE_SIDE_PX)
        or width * height > most_pixels
    ):
        raise InputError(
            'image_size',
            f'compressed image claims {width}x{height} pixels in {byte_count} bytes, which cannot '
            f'be: expected 1 to {MAX_IMAGE_SIDE_PX} pixels a side and at most {most_pixels} in '
            'all.',
        )


def _png_is_whole(data: NDArray[np.uint8]) -> bool:
    """Whether all chunks up to the last one are there.

    OpenCV takes memory for what a chunk claims before it reads it: 2 GB for a picture of 90 bytes.
    """
    position = len(_PNG)
    while position + _PNG_CHUNK_BYTES <= data.size:
        head = data[position : position + 8].tobytes()
        if head[4:] == b'IEND':
            return True
        position += _PNG_CHUNK_BYTES + int.from_bytes(head[:4], 'big')
    return False


def _png_size(head: bytes) -> tuple[int, int] | None:
    if len(head) < 26 or head[12:16] != b'IHDR':
        return None
    return int.from_bytes(head[16:20], 'big'), int.from_bytes(head[20:24], 'big')


def _png_bits(head: bytes) -> int:
    """Return the bits of a pixel that the header claims, 1 where it claims what cannot be."""
    if len(head) < 26:
        return 1
    return max(1, head[24] * _PNG_CHANNELS.get(head[25], 0))


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
