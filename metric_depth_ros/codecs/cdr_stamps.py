# SPDX-License-Identifier: Apache-2.0
"""Header stamps of serialized messages, read and moved without decoding them.

A message that begins with std_msgs/Header has its stamp in bytes 4 to 12: after the four bytes of
the encapsulation come int32 seconds and uint32 nanoseconds, in the byte order that the
encapsulation names (OMG DDS-XTypes 1.3, 7.4.3.4). Standard library only.
"""

from __future__ import annotations

import struct

from metric_depth_ros.codecs.stamps import NS_PER_S, sec_nanosec

_STAMP_AT = 4


def read_stamp_ns(data: bytes | bytearray | memoryview) -> int:
    """Return the header stamp of a serialized message in nanoseconds."""
    seconds, nanoseconds = struct.unpack_from(f'{_order(data)}iI', data, _STAMP_AT)
    return int(seconds) * NS_PER_S + int(nanoseconds)


def write_stamp(data: bytearray, stamp_ns: int) -> None:
    """Give a serialized message another header stamp; nothing else changes."""
    struct.pack_into(f'{_order(data)}iI', data, _STAMP_AT, *sec_nanosec(stamp_ns))


def with_shifted_stamp(data: bytes, shift_ns: int) -> bytes:
    """Return a serialized message with its header stamp moved; nothing else changes."""
    if shift_ns == 0:
        return data
    moved = bytearray(data)
    write_stamp(moved, read_stamp_ns(data) + shift_ns)
    return bytes(moved)


def _order(data: bytes | bytearray | memoryview) -> str:
    return '<' if data[1] & 1 else '>'
