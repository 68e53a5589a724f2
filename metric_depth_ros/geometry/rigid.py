# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as 4x4 float64 matrices. NumPy and SciPy's Rotation only.

`T_a_b` maps coordinates given in frame b to frame a: x_a = T_a_b x_b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from metric_depth_ros.errors import InputError

Transform = NDArray[np.float64]


def transform_from_quaternion(translation: Sequence[float], xyzw: Sequence[float]) -> Transform:
    """Return the 4x4 transform of a geometry_msgs/Transform.

    Parameters
    ----------
    translation
        x, y, z in meters.
    xyzw
        Quaternion in ROS order; normalized here, since drivers round it.

    Raises
    ------
    InputError
        Values not finite, or a quaternion of zero length.
    """
    values = np.array([*translation, *xyzw], np.float64)
    if values.size != 7 or not np.isfinite(values).all() or np.linalg.norm(values[3:]) < 1e-6:
        raise InputError(
            'transform',
            f'translation {list(translation)} and quaternion {list(xyzw)} (x, y, z, w) are no '
            'rigid transform: expected finite values and a quaternion that is not zero.',
        )
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_quat(values[3:]).as_matrix()
    transform[:3, 3] = values[:3]
    return transform


def rigid_transform(rows: object, where: str) -> Transform:
    """Return a (4, 4) rigid transform from nested lists; `where` names it in the error.

    Raises
    ------
    InputError
        Not 4x4 finite numbers, a last row other than 0 0 0 1, or a part that is no rotation.
    """
    try:
        T = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        T = np.empty(0)
    if T.shape != (4, 4) or not np.isfinite(T).all() or not np.array_equal(T[3], (0, 0, 0, 1)):
        raise InputError(
            'transform', f'{where}: expected 4 rows of 4 finite numbers, the last 0 0 0 1.'
        )
    deviation = np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max()
    if deviation > 1e-3 or np.linalg.det(T[:3, :3]) < 0.0:
        raise InputError(
            'transform',
            f'{where}: the upper left 3x3 is no rotation (R R^T is {deviation:.2g} from the '
            'identity, or mirrored).',
        )
    return T


def quaternion_from_matrix(transform: ArrayLike) -> NDArray[np.float64]:
    """Return the quaternion (x, y, z, w) of the rotation part of a 3x3 or 4x4 matrix."""
    matrix = np.asarray(transform, np.float64)[:3, :3]
    return np.asarray(Rotation.from_matrix(matrix).as_quat(), np.float64)


def inverse(transform: Transform) -> Transform:
    """Return the inverse of a rigid transform, exactly rigid itself."""
    out = np.eye(4)
    out[:3, :3] = transform[:3, :3].T
    out[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return out


def checked_rigid(values: ArrayLike, name: str) -> Transform:
    """Return `values` as a 4x4 rigid transform, or refuse it by name.

    Raises
    ------
    InputError
        No matrix of numbers, not 4x4 (or 3x4), not finite, or a rotation part that is not
        orthonormal within 1e-3.
    """
    try:
        matrix = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            'transform', f'transform {name} is no matrix, expected 4 rows of 4 numbers ({error}).'
        ) from error
    if matrix.shape == (3, 4):
        matrix = np.vstack((matrix, (0.0, 0.0, 0.0, 1.0)))
    problem = None
    if matrix.shape != (4, 4):
        problem = f'has shape {matrix.shape}, expected (4, 4)'
    elif not np.isfinite(matrix).all():
        problem = 'has values that are not finite'
    elif (
        np.abs(matrix[:3, :3] @ matrix[:3, :3].T - np.eye(3)).max() > 1e-3
        or np.linalg.det(matrix[:3, :3]) < 0.0
        or np.abs(matrix[3] - (0.0, 0.0, 0.0, 1.0)).max() > 1e-6
    ):
        problem = f'is not rigid (rotation not orthonormal, or last row not 0 0 0 1):\n{matrix}'
    if problem:
        raise InputError('transform', f'transform {name} {problem}.')
    return matrix
