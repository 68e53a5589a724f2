# SPDX-License-Identifier: Apache-2.0
"""Bound what a compressed chunk of a bag may become: a few kilobytes unpack to gigabytes.

rosbags unpacks a chunk whole before it compares its size with the one that the chunk claims. Here
unpacking ends at that size, and no chunk may claim more than `MAX_CHUNK_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.rosbag2 import storage_mcap

MAX_CHUNK_BYTES = 1024 * 1024 * 1024

_Decompress = Callable[[bytes, int], bytes]


def _bounded(make: Callable[[], object]) -> _Decompress:
    def decompress(data: bytes, claimed: int) -> bytes:
        if not 0 <= claimed <= MAX_CHUNK_BYTES:
            raise ValueError(
                f'a chunk claims to unpack to {claimed} bytes, at most {MAX_CHUNK_BYTES} are taken'
            )
        # One byte more than claimed, so that a chunk that holds more is told by its size.
        unpacked: bytes = make().decompress(data, max_length=claimed + 1)  # type: ignore[attr-defined]
        return unpacked

    return decompress


def limit_chunks() -> None:
    """Make rosbags unpack no more than a chunk claims; safe to call again."""
    storage_mcap.DECOMPRESSORS['lz4'] = _bounded(LZ4FrameDecompressor)
    storage_mcap.DECOMPRESSORS['zstd'] = _bounded(storage_mcap.zstd.ZstdDecompressor)
