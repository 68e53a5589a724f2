# SPDX-License-Identifier: Apache-2.0
"""Messages that cannot be used: each is reported under its topic and the name of its fault."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np

from metric_depth_ros.codecs.stamps import NS_PER_S, stamp_ns
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.good_stream import Messages, frame, set_stamp
from metric_depth_ros.torture.rig import Rig

Spoil = Callable[[Messages], object]


def _fill(value: float) -> Spoil:
    def spoil(messages: Messages) -> None:
        count = 3 * messages['points'].width
        messages['points'].data = array('B', np.full(count, value, '<f4').tobytes())

    return spoil


def _set(topic: str, **fields: object) -> Spoil:
    def spoil(messages: Messages) -> None:
        for name, value in fields.items():
            setattr(messages[topic], name, value)

    return spoil


def _cut(topic: str, count: int) -> Spoil:
    def spoil(messages: Messages) -> None:
        messages[topic].data = messages[topic].data[:-count]

    return spoil


def _stamp(offset_s: float) -> Spoil:
    def spoil(messages: Messages) -> None:
        now_ns = stamp_ns(messages['image'].header.stamp)
        set_stamp(messages['image'], int(now_ns + offset_s * NS_PER_S))

    return spoil


def _other_frame(messages: Messages) -> None:
    messages['points'].header.frame_id = 'nowhere'


def _two_fields(messages: Messages) -> None:
    messages['points'].fields = messages['points'].fields[:2]


def _strange_field(messages: Messages) -> None:
    messages['points'].fields[0].datatype = 99


_EMPTY = array('B')
_SPOILED: tuple[tuple[str, str, str, Spoil], ...] = (
    ('image of an unknown encoding', '/image', 'image_encoding',
     _set('image', encoding='jpeg2000')),
    ('image with less data than its size', '/image', 'image_data', _cut('image', 1)),
    ('image without data', '/image', 'image_data', _set('image', data=_EMPTY)),
    ('image of no size', '/image', 'image_size',
     _set('image', width=0, height=0, step=0, data=_EMPTY)),
    ('image that claims 2^31 pixels a row', '/image', 'image_size',
     _set('image', width=2**31, step=2**32 - 1)),
    ('image with too small a step', '/image', 'image_step', _set('image', step=10)),
    ('CameraInfo with K of zeros', '/camera_info', 'camera_uncalibrated',
     _set('camera_info', k=[0.0] * 9)),
    ('CameraInfo with K of NaN', '/camera_info', '', _set('camera_info', k=[float('nan')] * 9)),
    ('CameraInfo of another size', '/camera_info', 'camera_size',
     _set('camera_info', width=640)),
    ('CameraInfo of an unknown lens', '/camera_info', '',
     _set('camera_info', distortion_model='crystal ball', d=[0.1])),
    ('cloud without z', '/points', 'cloud_fields', _two_fields),
    ('cloud with a field of no type', '/points', 'cloud_field_type', _strange_field),
    ('cloud with less data than its size', '/points', 'cloud_data', _cut('points', 5)),
    ('cloud of NaN', '/points', 'cloud_not_in_view', _fill(float('nan'))),
    ('cloud of infinity', '/points', 'cloud_not_in_view', _fill(float('inf'))),
    ('cloud of the largest floats', '/points', 'cloud_not_in_view', _fill(3.4e38)),
    ('cloud without points', '/points', 'cloud_empty',
     _set('points', width=0, row_step=0, data=_EMPTY)),
    ('cloud that claims 2^62 points', '/points', 'cloud_step',
     _set('points', width=2**31, height=2**31)),
    ('cloud in an unknown frame', '/points', 'transform_missing', _other_frame),
    ('image with stamp 0', '/image', 'stamp_zero', lambda m: set_stamp(m['image'], 0)),
    ('image with a negative stamp', '/image', 'stamp_zero',
     lambda m: set_stamp(m['image'], -5 * NS_PER_S)),
    ('image of a minute ago', '/image', 'stamp_old', _stamp(-60.0)),
    ('image of a minute ahead', '/image', 'stamp_future', _stamp(60.0)),
    ('image with a stamp that jumped back', '/image', 'stamp_backward', _stamp(-0.5)),
    ('image that was overtaken', '/image', 'stamp_overtaken', _stamp(-0.15)),
)  # fmt: skip


def _inject(topic: str, slug: str, spoil: Spoil) -> Callable[[Rig], str]:
    report = f'{topic} [{slug}' if slug else f'{topic} ['

    def inject(rig: Rig) -> str:
        since = rig.log_position()
        for _ in range(3):  # one may be lost or replaced: inputs are best effort
            bad = frame(rig.now_ns())
            spoil(bad)
            rig.send(bad)
        line = rig.sees_log(report, since)
        return line.partition(']: ')[2][:160]

    return inject


def _duplicate(rig: Rig) -> str:
    since = rig.log_position()
    for _ in range(3):
        stamp = rig.now_ns()
        for _ in range(2):
            rig.send(frame(stamp))
    return rig.sees_log('/image [stamp_duplicate]', since).partition(']: ')[2]


FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            'messages',
            name,
            f'reported once as {topic} [{slug or "..."}]',
            _inject(topic, slug, spoil),
        )
        for name, topic, slug, spoil in _SPOILED
    ),
    Fault('messages', 'the same stamp twice', 'reported, both answered', _duplicate),
)
