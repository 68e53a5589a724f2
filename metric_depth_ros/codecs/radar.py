# SPDX-License-Identifier: Apache-2.0
"""Radar returns in sensor_msgs/PointCloud2, which no standard names the fields of.

Positions are ``x``, ``y`` and, where the radar measures height, ``z`` in meters; or ``range`` in
meters, ``azimuth`` and, where there is one, ``elevation`` in radians, counted as REP-103 does: to
the left and up. Strength and radial velocity are found under the names that drivers give them,
in any case of letters. May import the sibling `pointcloud`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import decode_field, field_names
from metric_depth_ros.errors import InputError

STRENGTH_FIELDS = ('rcs', 'snr', 'power', 'amplitude', 'intensity')
VELOCITY_FIELDS = (
    'velocity', 'radial_velocity', 'doppler_velocity', 'doppler', 'range_rate', 'v_r', 'vr',
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class RadarReturns:
    """What a radar reports.

    Parameters
    ----------
    xyz
        (N, 3) float32 meters in the sensor frame; z is 0 where height is not measured.
    rcs_db, velocity_mps
        (N,) float32, None without such a field.
    """

    xyz: NDArray[np.float32]
    rcs_db: NDArray[np.float32] | None
    velocity_mps: NDArray[np.float32] | None


def decode_radar(msg: Message) -> RadarReturns:
    """Return the returns of a radar cloud.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/PointCloud2.

    Raises
    ------
    InputError
        Neither x and y nor range and azimuth, or sizes that do not fit.
    """
    fields = {name.lower(): name for name in reversed(field_names(msg))}

    def column(*names: str) -> NDArray[np.float32] | None:
        name = next((fields[n] for n in names if n in fields), None)
        if name is None:
            return None
        values = decode_field(msg, name)
        return (values if values.ndim == 1 else values[:, 0]).astype(np.float32)

    return RadarReturns(
        _positions(
            *(column(name) for name in ('x', 'y', 'z', 'range', 'azimuth', 'elevation')),
            found=', '.join(field_names(msg)),
        ),
        column(*STRENGTH_FIELDS),
        column(*VELOCITY_FIELDS),
    )


def _positions(
    x: NDArray[np.float32] | None,
    y: NDArray[np.float32] | None,
    z: NDArray[np.float32] | None,
    range_m: NDArray[np.float32] | None,
    azimuth: NDArray[np.float32] | None,
    elevation: NDArray[np.float32] | None,
    *,
    found: str,
) -> NDArray[np.float32]:
    if x is not None and y is not None:
        return np.stack((x, y, np.zeros_like(x) if z is None else z), axis=-1)
    if range_m is None or azimuth is None:
        raise InputError(
            'cloud_fields',
            f'the radar cloud has the fields {found or "none at all"}, expected x and y, or range '
            'and azimuth.',
        )
    up = np.zeros_like(range_m) if elevation is None else elevation
    flat = range_m * np.cos(up)
    with np.errstate(invalid='ignore'):
        return np.stack(
            (flat * np.cos(azimuth), flat * np.sin(azimuth), range_m * np.sin(up)), axis=-1
        )
