# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs out of CDR, the bytes that go over the wire, with their data where it lies.

On its way into an rclpy message the data of an image is copied three times: into a C message,
into ``bytes``, and into an ``array``. The records here have the same field names, so that every
decoder takes them, and their data is a view of the bytes that the middleware delivered.

Plain CDR (OMG DDS-XTypes 1.3, 7.4.3.4 and 7.6.3.1.2): a number is aligned to its size, counted
from the end of a four-byte encapsulation that names the byte order; strings and sequences begin
with their length. May import NumPy and `errors`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError

_ENCAPSULATION = 4
_MAX_FIELDS = 1024  # more than any driver has
_BIG_ENDIAN, _LITTLE_ENDIAN = b'\0\0', b'\0\1'


@dataclass(frozen=True)
class WireStamp:
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


@dataclass(frozen=True)
class WireHeader:
    """std_msgs/Header."""

    stamp: WireStamp
    frame_id: str


@dataclass(frozen=True)
class WireField:
    """sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True, eq=False)
class WireImage:
    """sensor_msgs/Image; `data` is a read-only view of `serialized`."""

    message_type: ClassVar[str] = 'sensor_msgs/msg/Image'
    serialized: bytes
    header: WireHeader
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class WireCompressedImage:
    """sensor_msgs/CompressedImage; `data` is a read-only view of `serialized`."""

    message_type: ClassVar[str] = 'sensor_msgs/msg/CompressedImage'
    serialized: bytes
    header: WireHeader
    format: str
    data: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class WireCloud:
    """sensor_msgs/PointCloud2; `data` is a read-only view of `serialized`."""

    message_type: ClassVar[str] = 'sensor_msgs/msg/PointCloud2'
    serialized: bytes
    header: WireHeader
    height: int
    width: int
    fields: tuple[WireField, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: NDArray[np.uint8]
    is_dense: bool


WireMessage = WireImage | WireCompressedImage | WireCloud


def read_image(serialized: bytes) -> WireImage:
    """Return a sensor_msgs/Image without copying its data.

    Raises
    ------
    InputError
        ``'serialized'``: not plain CDR, or truncated.
    """
    cdr = _Reader(serialized)
    return WireImage(
        serialized, cdr.header(), cdr.uint32(), cdr.uint32(), cdr.text(), cdr.uint8(),
        cdr.uint32(), cdr.octets(),
    )  # fmt: skip


def read_compressed_image(serialized: bytes) -> WireCompressedImage:
    """Return a sensor_msgs/CompressedImage without copying its data.

    Raises
    ------
    InputError
        ``'serialized'``: not plain CDR, or truncated.
    """
    cdr = _Reader(serialized)
    return WireCompressedImage(serialized, cdr.header(), cdr.text(), cdr.octets())


def read_cloud(serialized: bytes) -> WireCloud:
    """Return a sensor_msgs/PointCloud2 without copying its data.

    Raises
    ------
    InputError
        ``'serialized'``: not plain CDR, or truncated.
    """
    cdr = _Reader(serialized)
    return WireCloud(
        serialized, cdr.header(), cdr.uint32(), cdr.uint32(), cdr.fields(), bool(cdr.uint8()),
        cdr.uint32(), cdr.uint32(), cdr.octets(), bool(cdr.uint8()),
    )  # fmt: skip


class _Reader:
    """Reads a serialized message from front to back; arguments of a call run in that order."""

    def __init__(self, serialized: bytes) -> None:
        encapsulation = bytes(serialized[:2])
        if len(serialized) < _ENCAPSULATION or encapsulation not in (
            _BIG_ENDIAN,
            _LITTLE_ENDIAN,
        ):
            raise InputError(
                'serialized',
                f'a serialized message of {len(serialized)} bytes begins with '
                f'{encapsulation.hex(" ") or "nothing"}, expected 00 00 or 00 01 (plain CDR): '
                'let the publisher use another middleware (RMW_IMPLEMENTATION).',
            )
        order = '<' if encapsulation == _LITTLE_ENDIAN else '>'
        self._bytes = serialized
        self._octets = np.frombuffer(serialized, np.uint8)
        self._uint32 = struct.Struct(f'{order}I')
        self._int32 = struct.Struct(f'{order}i')
        self._at = _ENCAPSULATION

    def header(self) -> WireHeader:
        return WireHeader(WireStamp(self._number(self._int32), self.uint32()), self.text())

    def uint8(self) -> int:
        return self._bytes[self._next(1)]

    def uint32(self) -> int:
        return self._number(self._uint32)

    def text(self) -> str:
        size = self.uint32()  # with the zero byte at its end
        begin = self._next(size)
        return self._bytes[begin : begin + max(size - 1, 0)].decode('utf-8', 'replace')

    def octets(self) -> NDArray[np.uint8]:
        size = self.uint32()
        begin = self._next(size)
        return self._octets[begin : begin + size]

    def fields(self) -> tuple[WireField, ...]:
        count = self.uint32()
        if count > _MAX_FIELDS:  # each becomes an object twenty times its size
            raise InputError(
                'serialized',
                f'a serialized cloud claims {count} fields, expected at most {_MAX_FIELDS}: it '
                'is damaged.',
            )
        return tuple(
            WireField(self.text(), self.uint32(), self.uint8(), self.uint32())
            for _ in range(count)
        )

    def _number(self, layout: struct.Struct) -> int:
        self._at += -self._at % layout.size  # the encapsulation is as long as its alignment
        value: int = layout.unpack_from(self._bytes, self._next(layout.size))[0]
        return value

    def _next(self, size: int) -> int:
        """Return where the next `size` bytes begin, and go on behind them."""
        begin, self._at = self._at, self._at + size
        if self._at > len(self._bytes):
            raise InputError(
                'serialized',
                f'a serialized message ends after {len(self._bytes)} bytes, but what it claims '
                f'to hold needs at least {self._at}: it is truncated or damaged.',
            )
        return begin
