# SPDX-License-Identifier: Apache-2.0
"""Per-point times of sensor_msgs/PointCloud2: names and units differ by driver.

===================  ==============  =====================================================
field                type            drivers
===================  ==============  =====================================================
``t``                UINT32          Ouster: nanoseconds since the stamp
``time``             FLOAT32         Velodyne: seconds since the stamp (or before it, < 0)
``time_stamp``       UINT32          Autoware, Nebula: nanoseconds since the stamp
``offset_time``      UINT32          Livox: nanoseconds since the stamp
``timestamp``        FLOAT64         Hesai, RoboSense: seconds since 1970
``timestamp``        FLOAT64         Livox driver 2: nanoseconds since 1970
===================  ==============  =====================================================

The unit is told by the values, since drivers change it between versions: a sweep lasts between
a millisecond and a second. May import the sibling `pointcloud`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import decode_field, field_names
from metric_depth_ros.errors import InputError

TIME_FIELDS = ('t', 'time', 'timestamp', 'time_stamp', 'offset_time')
TIME_UNITS = {'s': 1.0, 'ms': 1e-3, 'us': 1e-6, 'ns': 1e-9}

# Values from here on are times since 1970 in that unit (since 2001 at least).
_SINCE_EPOCH = (('ns', 1e18), ('us', 1e15), ('ms', 1e12), ('s', 1e9))
# Longest sweep that a span of values is read as: longer ones are in a finer unit.
_LONGEST_SPAN = (('s', 3.0), ('ms', 1e3), ('us', 3e6), ('ns', 3e9))
_SWEEP_LIMIT_S = 1.0
# A clock of the sensor this far from that of the stamps tells only differences.
_SAME_CLOCK_S = 1.0


def decode_point_times(
    msg: Message, stamp_ns: int, *, field: str = '', unit: str = ''
) -> NDArray[np.float64] | None:
    """Return when each point was measured, relative to the stamp of the cloud.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/PointCloud2.
    stamp_ns
        Stamp of its header.
    field, unit
        Name of the field and one of `TIME_UNITS`; empty: the first of `TIME_FIELDS` that the
        cloud has, and the unit that its values speak for.

    Returns
    -------
    NDArray[np.float64] | None
        (N,) seconds after the stamp; None without such a field, or where all points have one
        time. Points without a time get 0: where it is not finite, and zeros among times since
        1970. Times of a clock other than that of the stamp count from the first point.

    Raises
    ------
    InputError
        ``'cloud_times'``: a field that is asked for is missing, or a sweep longer than 1 s.
    """
    name = field or next((n for n in TIME_FIELDS if n in field_names(msg)), None)
    if name is None:
        return None
    if name not in field_names(msg):
        raise InputError(
            'cloud_times',
            f'the cloud has no field {name!r} (prompt.time_field), only '
            f'{", ".join(field_names(msg)) or "none"}.',
        )
    column = decode_field(msg, name)
    values = (column if column.ndim == 1 else column[:, 0]).astype(np.float64)
    known = _known(values, column.dtype)
    if not known.any():
        return None
    first, last = float(values[known].min()), float(values[known].max())
    if first == last:
        return None
    since_epoch, unit = _unit(column.dtype, first, last - first, unit)
    scale = TIME_UNITS[unit]
    if since_epoch:
        offset_s = (first * (scale * 1e9) - stamp_ns) * 1e-9
        start_s = offset_s if abs(offset_s) < _SAME_CLOCK_S else 0.0
        times = (values - first) * scale + start_s
    else:
        times = values * scale
    if (last - first) * scale > _SWEEP_LIMIT_S or np.abs(times[known]).max() > 2 * _SWEEP_LIMIT_S:
        raise InputError(
            'cloud_times',
            f'field {name!r} of the cloud, read as {unit}, spans {(last - first) * scale:g} s '
            f'from {float(times[known].min()):g} s after the stamp, expected a sweep of at most '
            f'{_SWEEP_LIMIT_S:g} s: set prompt.time_unit, or prompt.compensate_motion to false.',
        )
    return np.where(known, times, 0.0)


def _known(values: NDArray[np.float64], dtype: np.dtype) -> NDArray[np.bool_]:
    """Return which points have a time."""
    known = np.isfinite(values)
    timed = known & (values != 0.0)
    since_epoch = dtype != np.float32 and values[timed].min(initial=np.inf) >= _SINCE_EPOCH[-1][1]
    return timed if since_epoch and timed.any() else known


def _unit(dtype: np.dtype, first: float, span: float, unit: str) -> tuple[bool, str]:
    """Return whether times count from 1970, and their unit."""
    for epoch_unit, least in _SINCE_EPOCH:
        if first >= least and dtype != np.float32 and unit in ('', epoch_unit):
            return True, epoch_unit
    if unit:
        return False, unit
    return False, next((u for u, longest in _LONGEST_SPAN if span <= longest), 'ns')
