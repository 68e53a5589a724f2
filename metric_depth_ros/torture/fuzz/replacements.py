# SPDX-License-Identifier: Apache-2.0
"""What hypothesis replaces: (field, value) pairs by kind. Loads hypothesis."""

from __future__ import annotations

import copy
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from metric_depth_ros.codecs.image import COLOR_ENCODINGS
from metric_depth_ros.codecs.radar import STRENGTH_FIELDS, VELOCITY_FIELDS
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.torture.fuzz.good_messages import (
    DEPTH_HEADER,
    DEPTH_PICTURES,
    PICTURES,
    field_of,
    header_of,
    rvl_of,
)
from metric_depth_ros.torture.fuzz.kinds import KINDS

Replacement = tuple[str, Any]
CUT = 'cut'
Strategy = st.SearchStrategy[Any]

_LARGE = [2**15, 2**16, 2**31, 2**32 - 1]
_COUNT = st.one_of(st.integers(0, 40), st.sampled_from(_LARGE))
_BYTES = st.one_of(st.integers(0, 600).map(bytes), st.binary(max_size=64))
_FLOAT = st.floats(width=64)
_MATRIX_9 = st.lists(_FLOAT, min_size=9, max_size=9)
_MATRIX_12 = st.lists(_FLOAT, min_size=12, max_size=12)
_WORD = st.text(max_size=6)
_HEADER = st.builds(
    header_of,
    st.one_of(st.sampled_from(['camera', 'lidar', 'odom', '/camera', '']), _WORD),
    st.one_of(st.integers(0, 3), st.integers(-(2**31), 2**31 - 1)),
    st.one_of(st.integers(0, NS_PER_S - 1), st.integers(0, 2**32 - 1)),
)


def _fields_named(names: tuple[str, ...]) -> Strategy:
    one = st.builds(
        field_of,
        st.sampled_from(names),
        st.one_of(st.integers(0, 20), st.just(2**32 - 1)),
        st.integers(0, 9),
        st.sampled_from([0, 1, 2, 2**32 - 1]),
    )
    return st.lists(one, max_size=5)


def _cloud(names: tuple[str, ...]) -> dict[str, Strategy]:
    return {
        'header': _HEADER,
        'height': _COUNT,
        'width': _COUNT,
        'point_step': _COUNT,
        'row_step': _COUNT,
        'data': st.one_of(
            _BYTES,
            st.lists(st.floats(width=32), max_size=48).map(
                lambda values: np.array(values, '<f4').tobytes()
            ),
        ),
        'is_bigendian': st.booleans(),
        'is_dense': st.booleans(),
        'fields': _fields_named(names),
    }


def _image(encodings: list[str]) -> dict[str, Strategy]:
    return {
        'header': _HEADER,
        'height': _COUNT,
        'width': _COUNT,
        'step': _COUNT,
        'data': _BYTES,
        'is_bigendian': st.integers(0, 255),
        'encoding': st.one_of(st.sampled_from(encodings), _WORD),
    }


def _garbled(whole: Strategy) -> Strategy:
    """Return bytes of which some are overwritten."""

    def overwrite(data: bytes, at: int, garbage: bytes) -> bytes:
        at = min(at, len(data))
        return data[:at] + garbage + data[at + len(garbage) :]

    return st.builds(overwrite, whole, st.integers(0, 400), st.binary(max_size=8))


_ROI = st.builds(
    lambda x, y, w, h: SimpleNamespace(x_offset=x, y_offset=y, width=w, height=h),
    _COUNT, _COUNT, _COUNT, _COUNT,
)  # fmt: skip
_QUANTIZATION = st.builds(
    lambda number, a, b: struct.pack('<iff', number, a, b),
    st.integers(-(2**31), 2**31 - 1), st.floats(width=32), st.floats(width=32),
)  # fmt: skip
# A claim of 2^15 pixels a side is good and slow: the sides are drawn from less, or from too much.
_SIDE = st.one_of(st.integers(0, 40), st.sampled_from([2**16, 2**31, 2**32 - 1]))
_RVL = st.builds(
    rvl_of, _SIDE, _SIDE, st.lists(st.one_of(st.integers(0, 60), st.sampled_from(_LARGE)))
)
_DEPTH_PICTURE = st.one_of(
    _garbled(st.sampled_from(list(DEPTH_PICTURES.values()))), _RVL, st.binary(max_size=64)
)
_FIELDS: dict[str, dict[str, Strategy]] = {
    'image': _image([*COLOR_ENCODINGS, '32FC1', '']),
    'compressed': {
        'header': _HEADER,
        'format': _WORD,
        'data': st.one_of(_BYTES, _garbled(st.sampled_from(list(PICTURES.values())))),
    },
    'camera_info': {
        'header': _HEADER,
        'height': _COUNT,
        'width': _COUNT,
        'k': _MATRIX_9,
        'r': _MATRIX_9,
        'p': _MATRIX_12,
        'd': st.lists(_FLOAT, max_size=15),
        'binning_x': _COUNT,
        'binning_y': _COUNT,
        'roi': _ROI,
        'distortion_model': st.one_of(
            st.sampled_from(['plumb_bob', 'rational_polynomial', 'equidistant', '']), _WORD
        ),
    },
    'points': _cloud(('x', 'y', 'z', 'intensity', 't', 'time', 'timestamp', '')),
    'radar': _cloud(
        ('x', 'y', 'z', 'X', 'range', 'azimuth', 'elevation', *STRENGTH_FIELDS, *VELOCITY_FIELDS)
    ),
    'sensor_depth': _image(['32FC1', '16UC1', 'mono16', 'rgb8']),
    'compressed_depth': {
        'header': _HEADER,
        'format': st.one_of(
            st.sampled_from(
                [f'{kind}; compressedDepth {how}' for kind in ('16UC1', '32FC1')
                 for how in ('png', 'rvl', '')]
            ),
            _WORD,
        ),
        'data': st.one_of(
            st.builds(bytes.__add__, st.one_of(st.just(DEPTH_HEADER), _QUANTIZATION),
                      _DEPTH_PICTURE),
            st.binary(max_size=64),
        ),
    },
}  # fmt: skip

# Bytes of a serialized message by their position; what they are cut to.
_OVERWRITTEN = st.tuples(
    st.integers(0, 400).map(str),
    st.one_of(st.binary(min_size=1, max_size=8), _COUNT.map(struct.Struct('<I').pack)),
)
_CUT = st.tuples(st.just(CUT), st.integers(0, 400))

REPLACEMENTS: dict[str, st.SearchStrategy[Replacement]] = {
    kind: st.one_of([st.tuples(st.just(name), values) for name, values in fields.items()])
    for kind, fields in _FIELDS.items()
}
REPLACEMENTS |= {
    kind.name: st.one_of(_OVERWRITTEN, _OVERWRITTEN, _OVERWRITTEN, _CUT)
    for kind in KINDS
    if kind.as_bytes
}


def replaced(message: Any, replacements: tuple[Replacement, ...]) -> Any:
    """Return a copy of a message with some fields replaced."""
    changed = copy.copy(message)
    for name, value in replacements:
        setattr(changed, name, value)
    return changed


def overwritten(serialized: bytes, replacements: tuple[Replacement, ...]) -> bytes:
    """Return serialized bytes with some of them replaced, and perhaps the end cut off."""
    data = bytearray(serialized)
    for name, value in replacements:
        if name == CUT:
            del data[value:]
        elif int(name) < len(data):
            at = int(name)
            data[at : at + len(value)] = value
    return bytes(data)
