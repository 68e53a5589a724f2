# SPDX-License-Identifier: Apache-2.0
"""Bound what a bag makes rosbags take memory and disk for. Imports rosbags.

rosbags believes what a bag claims: it reads a record of any length at once, and unpacks chunks,
messages and whole files to the end, though a few kilobytes unpack to gigabytes. Here nothing is
read that the file does not hold, and unpacking ends at what was claimed, or at a limit. YAML, in
metadata.yaml and in the quality of service of every topic, is short and has no aliases: each line
that merges the one before it twice doubles what reading takes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any, BinaryIO, Literal

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.rosbag2 import metadata, reader, storage_mcap
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

MAX_UNPACKED_BYTES = 1024 * 1024 * 1024  # of a chunk or a message
MAX_YAML_BYTES = 1024 * 1024  # reading a megabyte takes seconds and hundreds of megabytes
# A file of one color unpacks to thousands of times its size, a recording does not.
MAX_FILE_RATIO = 100
_SMALL_FILE_BYTES = 1024 * 1024 * 1024
# Below this, what a record claims is not worth a look at the end of the file.
_SMALL_READ_BYTES = 1024 * 1024

_zstd = storage_mcap.zstd
_Decompress = Callable[[bytes, int], bytes]


def bound_rosbags() -> None:
    """Make rosbags keep to these bounds; safe to call again."""
    storage_mcap.read_exact = read_exact
    storage_mcap.DECOMPRESSORS['lz4'] = _bounded(LZ4FrameDecompressor)
    storage_mcap.DECOMPRESSORS['zstd'] = _bounded(_zstd.ZstdDecompressor)
    reader.zstd = SimpleNamespace(  # type: ignore[assignment]
        open=_BoundedFile, decompress=unpack_message
    )
    reader.YAML = metadata.YAML = _PlainYAML  # type: ignore[misc, assignment]


def read_exact(bio: BinaryIO, size: int) -> bytes:
    """Return the next bytes of a stream.

    Raises
    ------
    ValueError
        There are fewer.
    """
    position = bio.tell()
    if size > _SMALL_READ_BYTES:
        end = bio.seek(0, 2)
        bio.seek(position)
        if size > end - position:
            raise ValueError(
                f'a record at byte {position} claims {size} bytes, {end - position} are left'
            )
    data = bio.read(size)
    if len(data) != size:
        raise ValueError(f'a record at byte {position} claims {size} bytes, {len(data)} are left')
    return data


def unpack_message(data: bytes) -> bytes:
    """Return a message that was compressed by itself.

    Raises
    ------
    ValueError
        It is cut short, or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    decompressor = _zstd.ZstdDecompressor()
    unpacked = bytes(decompressor.decompress(data, max_length=MAX_UNPACKED_BYTES))
    if not decompressor.eof:
        raise ValueError(
            f'a message of {len(data)} bytes is cut short, or unpacks to more than '
            f'{MAX_UNPACKED_BYTES} bytes'
        )
    return unpacked


def _bounded(make: Callable[[], object]) -> _Decompress:
    def decompress(data: bytes, claimed: int) -> bytes:
        if not 0 <= claimed <= MAX_UNPACKED_BYTES:
            raise ValueError(
                f'a chunk claims to unpack to {claimed} bytes, at most {MAX_UNPACKED_BYTES} are '
                'taken'
            )
        # One byte more than claimed, so that a chunk that holds more is told by its size.
        unpacked: bytes = make().decompress(data, max_length=claimed + 1)  # type: ignore[attr-defined]
        return unpacked

    return decompress


class _PlainComposer(Composer):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            event = self.parser.peek_event()
            raise YAMLError(f'the alias *{event.anchor} is not taken: write the value out')
        return super().compose_node(parent, index)


class _PlainYAML(YAML):
    """YAML as rosbags makes it, of bounded length and without aliases."""

    def __init__(self, typ: str) -> None:
        super().__init__(typ=typ, pure=True)  # the one in C composes by itself
        self.Composer = _PlainComposer

    def load(self, stream: Any) -> Any:
        if len(stream) > MAX_YAML_BYTES:
            raise ValueError(f'{len(stream)} characters of YAML, at most {MAX_YAML_BYTES} taken')
        return super().load(stream)


class _BoundedFile:
    """A file that was compressed as a whole, as rosbags reads it: unpacked to a temporary one."""

    def __init__(self, packed: BinaryIO, mode: Literal['rb']) -> None:
        packed_bytes = packed.seek(0, 2)
        packed.seek(0)
        free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
        self._left = min(max(_SMALL_FILE_BYTES, MAX_FILE_RATIO * packed_bytes), free_bytes // 2)
        self._limit = self._left
        self._stream = _zstd.open(packed, mode)

    def __enter__(self) -> _BoundedFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        data = bytes(self._stream.read(size))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(
                f'the compressed file unpacks to more than {self._limit} bytes, the most that is '
                'taken for its size and the free space of the temporary folder; unpack it '
                'yourself (zstd -d) if you trust it'
            )
        return data
