# SPDX-License-Identifier: Apache-2.0
"""Messages that hypothesis makes, through everything between the topic and the depth image.

A message is a good one with some of its fields replaced. Whatever comes, the code either refuses
it with `InputError` (which the node counts and reports) or makes depth of the image's size.
Loads hypothesis; knows no rclpy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import COLOR_ENCODINGS, encode_depth
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.extrinsics import StaticTree
from metric_depth_ros.ros.framing import FrameBuilder, limited_depth
from metric_depth_ros.ros.parameters import settings_from

WIDTH, HEIGHT = 8, 6
_POINTS = 12
_STAMP_NS = 1_000_000_000
_BATCH = 10  # messages of one example: what an example costs is shared by them

_COUNT = st.one_of(st.integers(0, 40), st.sampled_from([2**15, 2**16, 2**31, 2**32 - 1]))
_BYTES = st.one_of(st.integers(0, 600).map(bytes), st.binary(max_size=64))
_FLOAT = st.floats(width=64)
_MATRIX_9 = st.lists(_FLOAT, min_size=9, max_size=9)
_MATRIX_12 = st.lists(_FLOAT, min_size=12, max_size=12)
_WORD = st.text(max_size=6)


def _mutations(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    one = st.one_of([st.tuples(st.just(name), values) for name, values in fields.items()])
    return st.lists(one, min_size=1, max_size=4)


def _field(name: str, offset: int, datatype: int = 7, count: int = 1) -> SimpleNamespace:
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)


_FIELDS = st.lists(
    st.builds(
        _field,
        st.sampled_from(['x', 'y', 'z', 'intensity', 't', '']),
        st.one_of(st.integers(0, 20), st.just(2**32 - 1)),
        st.integers(0, 9),
        st.sampled_from([0, 1, 2, 2**32 - 1]),
    ),
    max_size=5,
)
_ROI = st.builds(
    lambda x, y, w, h: SimpleNamespace(x_offset=x, y_offset=y, width=w, height=h),
    _COUNT, _COUNT, _COUNT, _COUNT,
)  # fmt: skip

MUTATIONS: dict[str, st.SearchStrategy[Any]] = {
    'image': _mutations({
        'height': _COUNT, 'width': _COUNT, 'step': _COUNT, 'data': _BYTES,
        'is_bigendian': st.integers(0, 255),
        'encoding': st.one_of(st.sampled_from([*COLOR_ENCODINGS, '32FC1', '']), _WORD),
    }),
    'compressed': _mutations({
        'format': _WORD,
        'data': st.one_of(
            _BYTES,
            st.builds(
                lambda suffix, at, garbage: _garbled_picture(suffix, at, garbage),
                st.sampled_from(['.png', '.jpg']), st.integers(0, 400), st.binary(max_size=8),
            ),
        ),
    }),
    'camera_info': _mutations({
        'height': _COUNT, 'width': _COUNT, 'k': _MATRIX_9, 'r': _MATRIX_9, 'p': _MATRIX_12,
        'd': st.lists(_FLOAT, max_size=15), 'binning_x': _COUNT, 'binning_y': _COUNT,
        'roi': _ROI,
        'distortion_model': st.one_of(
            st.sampled_from(['plumb_bob', 'rational_polynomial', 'equidistant', '']), _WORD
        ),
    }),
    'points': _mutations({
        'height': _COUNT, 'width': _COUNT, 'point_step': _COUNT, 'row_step': _COUNT,
        'data': _BYTES, 'is_bigendian': st.booleans(), 'is_dense': st.booleans(),
        'fields': _FIELDS,
        'data_floats': st.lists(st.floats(width=32), max_size=36),
    }),
    'sensor_depth': _mutations({
        'height': _COUNT, 'width': _COUNT, 'step': _COUNT, 'data': _BYTES,
        'is_bigendian': st.integers(0, 255),
        'encoding': st.one_of(st.sampled_from(['32FC1', '16UC1', 'mono16', 'rgb8']), _WORD),
    }),
}  # fmt: skip
KINDS = tuple(MUTATIONS)


def fuzz(kind: str, examples: int, progress: Callable[[int], None] = lambda done: None) -> int:
    """Try this many messages of a kind; return how many were answered with depth.

    Raises
    ------
    Exception
        The first message (made as small as may be) that neither is refused nor makes depth of
        the image's size.
    """
    answered = tried = 0
    subject = _Subject(kind)

    @settings(
        max_examples=-(-examples // _BATCH),
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.lists(MUTATIONS[kind], min_size=_BATCH, max_size=_BATCH))
    def attempt(batch: list[list[tuple[str, Any]]]) -> None:
        nonlocal answered, tried
        for mutations in batch:
            tried += 1
            answered += subject.answers(mutations)
        if tried % 1000 < _BATCH:
            progress(tried)

    while tried < examples:  # an engine that finds nothing new ends early
        attempt()
    return answered


def mutated(message: Any, mutations: list[tuple[str, Any]]) -> Any:
    """Return a copy of a message with some fields replaced."""
    changed = copy.copy(message)
    for name, value in mutations:
        if name == 'data_floats':
            name, value = 'data', np.array(value, '<f4').tobytes()
        setattr(changed, name, value)
    return changed


class _Subject:
    """Everything from messages to depth, with one of the messages fuzzed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._good = good_messages()
        source = 'sensor_depth' if kind == 'sensor_depth' else 'points'
        self._settings = settings_from(
            {
                'extrinsics.source': 'file',
                'extrinsics.path': '-',
                'prompt.sources': [source],
                'image_transport': 'compressed' if kind == 'compressed' else 'raw',
            }
        )
        tree = StaticTree({('camera', 'lidar'): np.eye(4)}, 'a test')
        self._builder = FrameBuilder(tree, lambda stream, error: None)
        self._estimator = NearestFill()

    def answers(self, mutations: list[tuple[str, Any]]) -> bool:
        messages = dict(self._good)
        stream = 'image' if self._kind == 'compressed' else self._kind
        if self._kind == 'compressed':
            messages['image'] = messages['compressed']
        message = messages[stream] = mutated(messages[stream], mutations)
        image = Arrival(messages['image'], _STAMP_NS, 0.0)
        measured = ('camera_info', 'points', 'sensor_depth', 'sensor_depth/camera_info')
        arrivals = {name: Arrival(messages[name], _STAMP_NS, 0.0) for name in measured}
        frame = self._builder.build(Bundle(image, arrivals, 0.0), self._settings)
        if frame is None:
            return False
        if stream == 'image' and self._kind == 'image':
            assert frame.image.shape == (message.height, message.width, 3)
        estimate = self._estimator.estimate(frame)
        limited = limited_depth(estimate, 250.0, 0.0)
        fields = encode_depth(limited.depth)
        assert (fields.height, fields.width) == frame.image.shape[:2]
        assert len(fields.data) == 4 * fields.height * fields.width
        return True


def good_messages() -> dict[str, Any]:
    """Return good messages by stream, small ones."""
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 10.0, 10.0, 3.5, 2.5)
    fields = camera_to_fields(camera)
    info = _with_header(
        'camera',
        **{name: getattr(fields, name) for name in fields.__dataclass_fields__},
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    xyz = np.column_stack([np.linspace(-1, 1, _POINTS), np.zeros(_POINTS), np.full(_POINTS, 4.0)])
    depth = encode_depth(np.full((HEIGHT, WIDTH), 2.0, np.float32))
    return {
        'image': _with_header(
            'camera', height=HEIGHT, width=WIDTH, encoding='rgb8', is_bigendian=0,
            step=3 * WIDTH, data=bytes(3 * WIDTH * HEIGHT),
        ),
        'compressed': _with_header('camera', format='png', data=_garbled_picture('.png', 0, b'')),
        'camera_info': info,
        'sensor_depth/camera_info': info,
        'points': _with_header(
            'lidar', height=1, width=_POINTS, point_step=12, row_step=12 * _POINTS,
            is_bigendian=False, is_dense=True, data=xyz.astype('<f4').tobytes(),
            fields=[_field(name, 4 * i) for i, name in enumerate('xyz')],
        ),
        'sensor_depth': _with_header(
            'camera', height=HEIGHT, width=WIDTH, encoding='32FC1', is_bigendian=0,
            step=depth.step, data=depth.data.tobytes(),
        ),
    }  # fmt: skip


def _with_header(frame_id: str, **fields: Any) -> SimpleNamespace:
    stamp = SimpleNamespace(sec=_STAMP_NS // 10**9, nanosec=0)
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame_id, stamp=stamp), **fields)


_PICTURES = {
    suffix: cv2.imencode(suffix, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
    for suffix in ('.png', '.jpg')
}


def _garbled_picture(suffix: str, at: int, garbage: bytes) -> bytes:
    """Return a picture with some of its bytes overwritten."""
    whole = bytearray(_PICTURES[suffix])
    at = min(at, len(whole))
    whole[at : at + len(garbage)] = garbage
    return bytes(whole)
