# SPDX-License-Identifier: Apache-2.0
"""Motion: poses between poses, and clouds that were measured while their sensor moved.

NumPy and SciPy's rotations only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.distortion import FloatArray
from metric_depth_ros.geometry.rigid import Transform


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Poses of a moving frame.

    Parameters
    ----------
    stamps_ns
        (N,) int64, ascending.
    transforms
        (N, 4, 4) pose of the frame at each stamp.

    Raises
    ------
    InputError
        No pose at all, or stamps that do not ascend.
    """

    stamps_ns: NDArray[np.int64]
    transforms: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.stamps_ns) or np.any(np.diff(self.stamps_ns) <= 0):
            raise InputError('pose_track', 'poses need at least one stamp, and ascending ones.')

    def covers(self, stamp_ns: int) -> bool:
        """Tell whether a time lies between the first and the last pose."""
        return bool(self.stamps_ns[0] <= stamp_ns <= self.stamps_ns[-1])

    def at(self, stamp_ns: int) -> Transform:
        """Return the pose (4, 4) at a time that the track covers.

        Positions are interpolated along a line and rotations along the shortest arc, as tf2 does.

        Raises
        ------
        InputError
            ``'pose_unknown'``: the time lies outside.
        """
        if not self.covers(stamp_ns):
            raise InputError(
                'pose_unknown',
                f'no pose at {stamp_ns * 1e-9:.3f} s: poses are known from '
                f'{self.stamps_ns[0] * 1e-9:.3f} to {self.stamps_ns[-1] * 1e-9:.3f} s.',
            )
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if self.stamps_ns[after] == stamp_ns:
            return self.transforms[after].copy()
        share = (stamp_ns - self.stamps_ns[after - 1]) / np.diff(self.stamps_ns)[after - 1]
        return between(self.transforms[after - 1], self.transforms[after], float(share))


def between(first: Transform, second: Transform, share: float) -> Transform:
    """Return the pose at a share of the way from one pose to another."""
    start = Rotation.from_matrix(first[:3, :3])
    turn = (start.inv() * Rotation.from_matrix(second[:3, :3])).as_rotvec()
    out = np.eye(4)
    out[:3, :3] = (start * Rotation.from_rotvec(share * turn)).as_matrix()
    out[:3, 3] = (1.0 - share) * first[:3, 3] + share * second[:3, 3]
    return out


def move_swept_points(
    xyz: FloatArray,
    share: NDArray[np.float32],
    at_begin: Transform,
    at_middle: Transform,
    at_end: Transform,
) -> NDArray[np.float32]:
    """Bring points that a moving sensor measured one after another into one frame.

    Parameters
    ----------
    xyz
        (N, 3) meters, each in the sensor frame at its own time.
    share
        (N,) time of each point as a share of the sweep, 0 to 1.
    at_begin, at_middle, at_end
        (4, 4) from the sensor frame at shares 0, 1/2 and 1 to the common frame.

    Returns
    -------
    NDArray[np.float32]
        (N, 3) meters in the common frame. The motion between is taken to be quadratic in time;
        where the sensor turns by 5 degrees in a sweep that is off by less than 5 parts in a
        million of the range.
    """
    points = xyz.astype(np.float32, copy=False)
    s = share[:, None]
    weights = ((2.0 * s - 1.0) * (s - 1.0), 4.0 * s * (1.0 - s), s * (2.0 * s - 1.0))
    moved = np.zeros((len(points), 3), np.float32)
    for weight, transform in zip(weights, (at_begin, at_middle, at_end), strict=True):
        T = transform.astype(np.float32)
        moved += weight * (points @ T[:3, :3].T + T[:3, 3])
    return moved
