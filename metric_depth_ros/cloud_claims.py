# SPDX-License-Identifier: Apache-2.0
"""Clouds from strangers: the points that a PLY or PCD claims are held against its bytes.

open3d allocates what a header claims, and points that a file cut short does not have are whatever
was in that memory. So a header is read here as open3d reads it, word by word (PLY) or line by
line (PCD), and one that it might read otherwise is refused.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from metric_depth_ros.errors import InputError

_HEADER_BYTES = 64 * 1024
_MOST_DIGITS = 18  # Python reads no number of thousands of digits
_BYTES = {
    **dict.fromkeys((b'char', b'uchar', b'int8', b'uint8'), 1),
    **dict.fromkeys((b'short', b'ushort', b'int16', b'uint16'), 2),
    **dict.fromkeys((b'int', b'uint', b'float', b'int32', b'uint32', b'float32'), 4),
    **dict.fromkeys((b'double', b'float64'), 8),
}
_PARTS = {
    b'BLANK': rb'[ \t\r\n]',
    b'WORD': rb'[^ \t\r\n\0]+',
    b'TYPE': b'(?:%s)' % b'|'.join(_BYTES),
}
# A remark ends with its line; all else is words, wherever the lines end.
_PLY_ENTRY = re.compile(
    rb"""%(BLANK)s*(?:
        (?:comment|obj_info)%(BLANK)s[^\n\0]*\n
        | (?:
            format%(BLANK)s+(?P<form>ascii|binary_(?:little|big)_endian)%(BLANK)s+1\.0
            | element%(BLANK)s+%(WORD)s%(BLANK)s+(?P<count>\d{1,18})
            | property%(BLANK)s+(?:list%(BLANK)s+(?P<length>%(TYPE)s)%(BLANK)s+%(TYPE)s
                | (?P<type>%(TYPE)s))%(BLANK)s+%(WORD)s
            | (?P<end>end_header)
        )(?=%(BLANK)s)
    )"""
    % _PARTS,
    re.VERBOSE,
)
_PCD_ENTRIES = frozenset(
    b'VERSION FIELDS COLUMNS SIZE TYPE COUNT WIDTH HEIGHT VIEWPOINT POINTS DATA'.split()
)
_LONGEST_PCD_LINE = 1000  # open3d takes what is longer for several lines
_MOST_UNPACKED = 88  # of LZF: three bytes stand for 264 at most


@dataclass(frozen=True)
class _Claim:
    form: bytes  # as the header names it
    amount: int  # numbers written as text, otherwise bytes
    begins: int  # the place of the first of them in the file


def check_cloud_claims(path: Path, fault: str = 'prompt_file') -> None:
    """Hold the points that a PLY or PCD claims against what the file has.

    Raises
    ------
    InputError
        No such header, or one that claims more.
    """
    try:
        with path.open('rb') as stream:
            header = stream.read(_HEADER_BYTES)
            claim = _pcd_claim(header) if path.suffix == '.pcd' else _ply_claim(header)
            stream.seek(claim.begins)
            amount = _amount(claim, path.stat().st_size - claim.begins, stream)
    except OSError as error:
        raise InputError(fault, f'{path} cannot be read: {error.strerror or error}.') from error
    except ValueError as error:
        raise InputError(fault, f'{path} cannot be read as a cloud: {error}.') from error
    if claim.amount > amount:
        unit = 'numbers' if claim.form == b'ascii' else 'bytes'
        raise InputError(
            fault,
            f'{path} claims points of {claim.amount} {unit} and has {amount}: it is damaged or '
            'was cut short. Copy or write it once more.',
        )


def _amount(claim: _Claim, size: int, stream: IO[bytes]) -> int:
    """Return how much of what is claimed there is."""
    if claim.form == b'ascii':
        return _word_count(stream)
    if claim.form != b'binary_compressed':
        return size
    sizes = stream.read(8)
    if len(sizes) < 8:
        return 0
    packed, unpacked = struct.unpack('<II', sizes)
    return unpacked if packed <= size - 8 and unpacked <= _MOST_UNPACKED * packed else 0


def _word_count(stream: IO[bytes]) -> int:
    """Return how many words are left, in portions: a file may be one line."""
    count, within = 0, False
    while part := stream.read(_HEADER_BYTES):
        count += len(part.split()) - (within and not part[:1].isspace())
        within = not part[-1:].isspace()
    return count


def _ply_claim(header: bytes) -> _Claim:
    form, at = b'', 3
    elements: list[tuple[int, list[int]]] = []  # how many, and of what each of them consists
    while header.startswith(b'ply') and (entry := _PLY_ENTRY.match(header, at)):
        at = entry.end()
        if entry['form']:
            form = entry['form']
        elif entry['count']:
            elements.append((int(entry['count']), []))
        elif kind := entry['type'] or entry['length']:  # a list may be empty
            if not elements:
                break
            elements[-1][1].append(1 if form == b'ascii' else _BYTES[kind])
        elif entry['end'] and form:
            at += 2 if header.startswith(b'ply\r\n') else 1
            return _Claim(form, sum(n * max(sum(row), 1) for n, row in elements), at)
    raise _misplaced(header[at:], 'PLY', 'end_header')


def _pcd_claim(header: bytes) -> _Claim:
    entries, begins = _pcd_entries(header)
    form = b' '.join(entries[b'DATA'])
    if form not in (b'ascii', b'binary', b'binary_compressed'):
        raise ValueError(f'its DATA is {form[:60]!r}, expected ascii, binary or binary_compressed')
    fields = entries.get(b'FIELDS', entries.get(b'COLUMNS', []))
    columns = [_number(word) for word in entries.get(b'COUNT', [b'1'] * len(fields))]
    sizes = [_number(word) for word in entries.get(b'SIZE', [b'4'] * len(fields))]
    if not fields or not len(fields) == len(columns) == len(sizes):
        raise ValueError('its FIELDS, SIZE and COUNT are not of one length')
    # open3d multiplies width and height where they come last.
    points = [entry for entry in entries if entry in (b'WIDTH', b'HEIGHT', b'POINTS')][-1:]
    if points != [b'POINTS'] or len(entries[b'POINTS']) != 1:
        raise ValueError('it has no number of POINTS behind WIDTH and HEIGHT')
    if form == b'ascii':
        sizes = [1] * len(fields)
    row = sum(n * size for n, size in zip(columns, sizes, strict=True))
    return _Claim(form, _number(entries[b'POINTS'][0]) * row, begins)


def _pcd_entries(header: bytes) -> tuple[dict[bytes, list[bytes]], int]:
    """Return the words behind each keyword, and where the header ends."""
    entries: dict[bytes, list[bytes]] = {}
    at = 0
    while b'DATA' not in entries:
        end = header.find(b'\n', at)
        words = header[at:end].split()
        is_remark = not words or words[0].startswith(b'#')
        is_known = not is_remark and words[0] in _PCD_ENTRIES and words[0] not in entries
        if not (at <= end <= at + _LONGEST_PCD_LINE and (is_remark or is_known)):
            raise _misplaced(header[at:], 'PCD', 'DATA')
        if is_known:
            entries[words[0]] = words[1:]
        at = end + 1
    return entries, at


def _misplaced(rest: bytes, kind: str, last: str) -> ValueError:
    return ValueError(
        f'{rest.lstrip()[:40]!r} has no place in the header of a {kind}, which ends with {last} '
        f'within {_HEADER_BYTES} bytes'
    )


def _number(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= _MOST_DIGITS and int(word) > 0):
        raise ValueError(f'{word[:40]!r} stands in its header, expected a positive number')
    return int(word)
