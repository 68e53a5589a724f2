# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to arrays and back (REP-118 depth, cv_bridge's encoding names).

May import OpenCV, the sibling `layout`, `geometry.camera` (limits of size) and `errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.layout import Message, flat_bytes
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE_PX

# Encoding: (bits a channel, channels, OpenCV conversion to RGB or None where the pixels are RGB).
# 8UC3 and 8UC4 name no order; they are BGR(A) because OpenCV, which writes them, is.
# OpenCV names a Bayer pattern by its second row, ROS by its first: rggb is BayerBG.
_COLOR: dict[str, tuple[int, int, int | None]] = {
    'rgb8': (8, 3, None),
    'bgr8': (8, 3, cv2.COLOR_BGR2RGB),
    '8UC3': (8, 3, cv2.COLOR_BGR2RGB),
    'rgba8': (8, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': (8, 4, cv2.COLOR_BGRA2RGB),
    '8UC4': (8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': (8, 1, cv2.COLOR_GRAY2RGB),
    '8UC1': (8, 1, cv2.COLOR_GRAY2RGB),
    'mono16': (16, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': (16, 3, None),
    'bgr16': (16, 3, cv2.COLOR_BGR2RGB),
    'yuv422': (8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (8, 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (8, 2, cv2.COLOR_YUV2RGB_YUY2),
}
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_COLOR.update({f'bayer_{p}{b}': (b, 1, code) for p, code in _BAYER.items() for b in (8, 16)})
COLOR_ENCODINGS: tuple[str, ...] = tuple(_COLOR)

# Encoding: (sample type, meters a unit). Zero is "no measurement" in the integer ones.
_DEPTH: dict[str, tuple[str, float]] = {
    '32FC1': ('f4', 1.0),
    '16UC1': ('u2', 1e-3),
    'mono16': ('u2', 1e-3),
}


@dataclass(frozen=True, eq=False)
class ImageFields:
    """Fields of a sensor_msgs/Image without its header; `data` is flat uint8."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


def decode_color(msg: Message) -> NDArray[np.uint8]:
    """Return the picture of an Image message.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/Image, in one of `COLOR_ENCODINGS`.

    Returns
    -------
    NDArray[np.uint8]
        (H, W, 3) RGB. A view for rgb8. 16-bit samples are scaled to 8 bits.

    Raises
    ------
    InputError
        Unknown encoding, or sizes that do not fit together or the data.
    """
    layout = _COLOR.get(msg.encoding)
    if layout is None:
        raise InputError(
            'image_encoding',
            f'image encoding {msg.encoding!r} is not supported: expected one of '
            f"{', '.join(COLOR_ENCODINGS)}. Change the driver's pixel format.",
        )
    bits, channels, conversion = layout
    _check_conversion_size(msg)
    samples = _samples(msg, 'u1' if bits == 8 else 'u2', channels)
    if samples.dtype.itemsize == 2:
        native = np.ascontiguousarray(samples, np.uint16)
        samples = cv2.convertScaleAbs(native, alpha=255.0 / 65535.0)
    if conversion is None:
        return samples
    return np.asarray(cv2.cvtColor(samples, conversion), np.uint8)


def decode_depth(msg: Message) -> NDArray[np.float32]:
    """Return the depth of an Image message in meters (REP-118).

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/Image: 32FC1 in meters, 16UC1 or mono16 in
        millimeters.

    Returns
    -------
    NDArray[np.float32]
        (H, W) meters, NaN where unknown (0 in the integer encodings). A view for 32FC1 of the
        machine's byte order, unless its rows begin between the machine's words.

    Raises
    ------
    InputError
        Another encoding, or sizes that do not fit together or the data.
    """
    layout = _DEPTH.get(msg.encoding)
    if layout is None:
        raise InputError(
            'depth_encoding',
            f'depth encoding {msg.encoding!r} is not supported: expected 32FC1 (meters), 16UC1 or '
            'mono16 (millimeters). depth_image_proc convert_metric makes 32FC1.',
        )
    kind, unit_m = layout
    samples = _samples(msg, kind, 1)
    if kind == 'f4':
        return np.require(samples, np.float32, ['ALIGNED'])  # OpenCV refuses other steps
    depth = samples.astype(np.float32)
    depth *= np.float32(unit_m)
    depth[samples == 0] = np.nan
    return depth


def encode_depth(
    depth: NDArray[np.float32], encoding: str = '32FC1', *, out: NDArray[np.uint8] | None = None
) -> ImageFields:
    """Return depth as Image fields.

    Parameters
    ----------
    depth
        (H, W) float32 meters; NaN = unknown, +Inf = beyond range.
    encoding
        ``'32FC1'`` meters as they are, or ``'16UC1'`` millimeters where NaN, Inf, negative values
        and everything beyond 65.535 m become 0, "no measurement".
    out
        Flat uint8 buffer of exactly the data's size to write to, or None for a new one (a view
        of `depth` where it already is what is sent).
    """
    height, width = depth.shape
    if encoding == '32FC1':
        packed = np.ascontiguousarray(depth, '<f4')
        return ImageFields(height, width, encoding, 0, 4 * width, _delivered(packed, out))
    if encoding != '16UC1':
        raise InputError(
            'depth_encoding', f'depth encoding {encoding!r} cannot be written: 32FC1 or 16UC1.'
        )
    millimeters = depth * np.float32(1e3)
    np.rint(millimeters, out=millimeters)
    with np.errstate(invalid='ignore'):
        millimeters[~((millimeters > 0.0) & (millimeters <= 65535.0))] = 0.0
    packed = millimeters.astype('<u2')
    return ImageFields(height, width, encoding, 0, 2 * width, _delivered(packed, out))


def encode_color(
    rgb: NDArray[np.uint8], encoding: str = 'bgr8', *, out: NDArray[np.uint8] | None = None
) -> ImageFields:
    """Return an (H, W, 3) RGB picture as Image fields, ``'bgr8'`` or ``'rgb8'``."""
    height, width = rgb.shape[:2]
    if encoding not in ('bgr8', 'rgb8'):
        raise InputError(
            'image_encoding', f'color encoding {encoding!r} cannot be written: bgr8 or rgb8.'
        )
    if encoding == 'bgr8':
        rgb = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    packed = np.ascontiguousarray(rgb, np.uint8)
    return ImageFields(height, width, encoding, 0, 3 * width, _delivered(packed, out))


def encode_mono(
    values: NDArray[np.float32], *, out: NDArray[np.uint8] | None = None
) -> ImageFields:
    """Return an (H, W) float map (confidence, prompt depth) as 32FC1 Image fields."""
    return encode_depth(values, '32FC1', out=out)


def _delivered(packed: NDArray[Any], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Return the bytes of a contiguous array: in `out` if given, else as a view."""
    flat = packed.reshape(-1).view(np.uint8)
    if out is None:
        return flat
    out[...] = flat
    return out


def _samples(msg: Message, kind: str, channels: int) -> NDArray[Any]:
    """View the data as (H, W) or (H, W, C) samples in the message's byte order."""
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if not (1 <= height <= MAX_IMAGE_SIDE_PX and 1 <= width <= MAX_IMAGE_SIDE_PX):
        raise InputError(
            'image_size',
            f'image is {width}x{height}, expected 1 to {MAX_IMAGE_SIDE_PX} pixels a side.',
        )
    dtype = np.dtype(('>' if msg.is_bigendian else '<') + kind)
    pixel_bytes = dtype.itemsize * channels
    if step < width * pixel_bytes:
        raise InputError(
            'image_step',
            f'image step is {step} bytes, but {width} pixels of {msg.encoding} need at least '
            f'{width * pixel_bytes}: the driver fills step wrongly.',
        )
    data = flat_bytes(msg.data)
    if data.size < step * height:
        raise InputError(
            'image_data',
            f'image has {data.size} bytes of data, but step {step} x height {height} need '
            f'{step * height}: the message is truncated or its size is wrong.',
        )
    if height * width > MAX_IMAGE_PIXELS:
        raise InputError(
            'image_size',
            f'image is {width}x{height}, expected at most {MAX_IMAGE_PIXELS} pixels: publish it '
            'smaller (image_proc resize).',
        )
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, pixel_bytes)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, data, strides=strides)


def _check_conversion_size(msg: Message) -> None:
    if msg.encoding.startswith(('yuv422', 'uyvy', 'yuyv')) and int(msg.width) % 2:
        raise InputError(
            'image_size', f'{msg.encoding} stores pixels in pairs, but the width is {msg.width}.'
        )
    if msg.encoding.startswith('bayer') and 0 < min(int(msg.width), int(msg.height)) < 3:
        raise InputError(
            'image_size',
            f'a Bayer image needs at least 3x3 pixels, got {msg.width}x{msg.height}.',
        )
