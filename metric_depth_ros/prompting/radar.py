# SPDX-License-Identifier: Apache-2.0
"""Radar returns to prompts: few, noisy in depth, often without height, some of them false.

Nothing is dropped for being hidden: waves creep under cars and through leaves, and a few dozen
returns sample no surface that could hide another. Doubtful returns keep their place with a larger
sigma, so that an estimator that weighs points by sigma hardly hears them.

A radar without elevation reports its returns in the plane that it is mounted in. They keep that
pixel, which learned estimators are trained with; `Source.RADAR` tells that the row is not known.
Methods that take every point at its word ask for `vertical_support` first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import FloatArray
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.types import Source, SparsePrompt

RADAR_SIGMA_M = 0.5
RADAR_SIGMA_REL = 0.02

# Noise of range grows as echoes weaken: sigma ~ 1 / sqrt(SNR), 20 dB are a factor of ten.
_ORDINARY_DB = 5.0  # below the median: still as good as the others
_WEAKEST_DB = 20.0
# A wave that goes to and fro twice arrives at twice the range, and with twice the velocity.
_GHOST_FACTOR = 10.0
_GHOST_AZIMUTH_RAD = np.radians(2.0)
_GHOST_RANGE_M, _GHOST_RANGE_REL = 0.5, 0.02
_GHOST_SPEED_MPS = 0.5
_GHOST_CANDIDATES = 8
# What answers stands on the ground, half a meter below the radar, and is no higher than a van.
_SUPPORT_UP_M, _SUPPORT_DOWN_M = 2.0, 0.5
_SUPPORT_POINTS = 7
# Fit of the velocity of the radar to returns that stand still.
_FIT_ROUNDS = 10
_FIT_LEAST_POINTS = 8
_STANDS_STILL_MPS = 0.5


def prompt_from_radar(
    camera: CameraModel,
    xyz: FloatArray,
    T_camera_sensor: Transform,
    *,
    rcs_db: FloatArray | None = None,
    velocity_mps: FloatArray | None = None,
    stamp_distance_s: float = 0.0,
    sigma_m: float = RADAR_SIGMA_M,
    sigma_rel: float = RADAR_SIGMA_REL,
    min_depth_m: float = 0.1,
    max_depth_m: float = 250.0,
) -> SparsePrompt:
    """Project radar returns into a camera as a prompt.

    Parameters
    ----------
    camera
        Camera of the image.
    xyz
        (N, 3) meters in the sensor frame (x forward); rows that are not finite are dropped.
    T_camera_sensor
        (4, 4) transform from the sensor frame to the camera optical frame.
    rcs_db
        (N,) strength of the echoes in dB (radar cross-section, power or SNR), if it is known:
        weak returns become uncertain.
    velocity_mps
        (N,) radial velocity, positive away from the radar, if it is known: what moves is
        uncertain since the stamp of the radar. Whether the motion of the radar itself is still in
        it does not matter.
    stamp_distance_s
        Between radar and image.
    sigma_m, sigma_rel
        One standard deviation of an ordinary return is ``hypot(sigma_m, sigma_rel * depth)``.
    min_depth_m, max_depth_m
        Returns outside this depth range are dropped.

    Returns
    -------
    SparsePrompt
        At most one point a pixel, the nearest; none is dropped for being hidden.
    """
    seen = project_cloud(
        camera,
        xyz,
        T_camera_sensor,
        min_depth_m=min_depth_m,
        max_depth_m=max_depth_m,
        remove_occluded=False,
    )
    doubt = np.ones(len(xyz), np.float32)
    moved_m: NDArray[np.float32] = np.zeros(len(xyz), np.float32)
    if rcs_db is not None:
        doubt *= _weakness(rcs_db)
    if velocity_mps is not None:
        moved_m = np.float32(stamp_distance_s) * np.abs(own_velocity(xyz, velocity_mps))
    if rcs_db is not None or velocity_mps is not None:
        doubt[double_bounces(xyz, rcs_db, velocity_mps)] *= _GHOST_FACTOR
    ordinary = np.hypot(np.float32(sigma_m), np.float32(sigma_rel) * seen.depth)
    sigma = np.hypot(ordinary * doubt[seen.index], moved_m[seen.index]).astype(np.float32)
    return SparsePrompt(
        seen.uv, seen.depth, sigma, np.full(len(seen.depth), Source.RADAR, np.uint8)
    )


def vertical_support(prompt: SparsePrompt, camera: CameraModel | None) -> SparsePrompt:
    """Spread radar returns over the rows that they may stand for.

    A return says how far something is, and in which column; at the pixel of the mounting plane
    there may be anything. Over the height of what reflects radar it is nearly always there.

    Parameters
    ----------
    prompt
        Points of any sensors.
    camera
        Camera of the image, which stands upright: that of one that is turned on its side spreads
        sideways. None where it is not known: then nothing is spread.

    Returns
    -------
    SparsePrompt
        The same points, and instead of each radar return a column of points with a sigma that
        grows by its own with every meter away from the mounting plane.
    """
    radar = prompt.source == Source.RADAR
    if camera is None or not radar.any():
        return prompt
    away_m = np.linspace(-_SUPPORT_UP_M, _SUPPORT_DOWN_M, _SUPPORT_POINTS, dtype=np.float32)
    xyz = camera.unproject(prompt.uv[radar], prompt.depth[radar])
    column = np.repeat(xyz[:, None], _SUPPORT_POINTS, axis=1)
    column[..., 1] += away_m
    uv = camera.project(column)
    depth = np.broadcast_to(prompt.depth[radar, None], uv.shape[:2])
    sigma = prompt.sigma[radar, None] * (1.0 + np.abs(away_m))
    with np.errstate(invalid='ignore'):
        inside = ((uv > -0.5) & (uv < np.array(camera.size) - 0.5)).all(axis=-1)
    uv, depth, sigma = uv[inside], depth[inside], sigma[inside]
    source = np.full(len(depth), Source.RADAR, np.uint8)
    columns_of_returns = SparsePrompt(uv, depth, sigma.astype(np.float32, copy=False), source)
    return SparsePrompt.merge((prompt.subset(~radar), columns_of_returns))


def double_bounces(
    xyz: FloatArray, rcs_db: FloatArray | None, velocity_mps: FloatArray | None
) -> NDArray[np.bool_]:
    """Tell which returns look like echoes that went to and fro twice.

    Parameters
    ----------
    xyz
        (N, 3) meters in the sensor frame.
    rcs_db, velocity_mps
        (N,) strength and radial velocity with the radar's own motion still in it, where known.

    Returns
    -------
    NDArray[np.bool_]
        (N,) true where a nearer return lies in the same direction at half the range, is not
        weaker, and moves half as fast.
    """
    ghost: NDArray[np.bool_] = np.zeros(len(xyz), bool)
    finite = np.flatnonzero(np.isfinite(xyz).all(axis=1) & (xyz[:, :2] != 0.0).any(axis=1))
    if len(finite) < 2:
        return ghost
    azimuth = np.arctan2(xyz[finite, 1], xyz[finite, 0]) / _GHOST_AZIMUTH_RAD
    range_m = np.hypot(xyz[finite, 0], xyz[finite, 1])
    twice = cKDTree(np.stack((azimuth, _in_tolerances(2.0 * range_m)), axis=-1))
    here = np.stack((azimuth, _in_tolerances(range_m)), axis=-1)
    k = np.arange(1, 1 + min(_GHOST_CANDIDATES, len(finite)))
    _, first = twice.query(here, k=k, p=np.inf, distance_upper_bound=1.0)
    found = np.less(first, len(finite))
    first = np.where(found, first, 0)
    # Nearer than the tolerance, a return lies at twice its own range.
    found &= range_m[first] < range_m[:, None]
    first = finite[first]
    with np.errstate(invalid='ignore'):
        if rcs_db is not None:
            found &= rcs_db[finite, None] <= rcs_db[first]
        if velocity_mps is not None:
            off_mps = velocity_mps[finite, None] - 2.0 * velocity_mps[first]
            found &= np.abs(off_mps) < _GHOST_SPEED_MPS
    ghost[finite] = found.any(axis=1)
    return ghost


def _in_tolerances(range_m: FloatArray) -> FloatArray:
    """Return ranges on a scale on which two that may be one are less than 1 apart."""
    return np.arcsinh(range_m * (_GHOST_RANGE_REL / _GHOST_RANGE_M)) / _GHOST_RANGE_REL


def own_velocity(xyz: FloatArray, velocity_mps: FloatArray) -> NDArray[np.float32]:
    """Return the part of the radial velocities that the motion of the radar does not explain.

    Parameters
    ----------
    xyz
        (N, 3) meters in the sensor frame.
    velocity_mps
        (N,) radial velocities; not finite = not known.

    Returns
    -------
    NDArray[np.float32]
        (N,) m/s, 0 where the velocity is not known. Source: Kellner et al., "Instantaneous
        ego-motion estimation using Doppler radar" (2013): what stands still moves by
        ``-(v_x cos(azimuth) + v_y sin(azimuth))``; here fitted by shrinking least squares.
    """
    known = np.isfinite(velocity_mps) & np.isfinite(xyz).all(axis=1)
    azimuth = np.arctan2(xyz[known, 1], xyz[known, 0])
    direction = np.stack((np.cos(azimuth), np.sin(azimuth)), axis=-1)
    velocity = velocity_mps[known]
    own = np.zeros(len(xyz), np.float32)
    own[known] = velocity - direction @ _radar_motion(direction, velocity)
    return own


def _radar_motion(direction: FloatArray, velocity: FloatArray) -> NDArray[np.floating]:
    """Return the motion that most returns agree on, as it is seen in their velocities."""
    motion: NDArray[np.floating] = np.zeros(2)
    if len(velocity) < _FIT_LEAST_POINTS:
        return motion
    agree: NDArray[np.bool_] = np.ones(len(velocity), bool)
    for _ in range(_FIT_ROUNDS):
        motion = np.linalg.lstsq(direction[agree], velocity[agree], rcond=None)[0]
        residual = np.abs(velocity - direction @ motion)
        agree = residual <= max(_STANDS_STILL_MPS, float(np.median(residual)))
    return motion


def _weakness(rcs_db: FloatArray) -> NDArray[np.float32]:
    """Return by how much the range of weak echoes is noisier than that of the others."""
    known = np.isfinite(rcs_db)
    if not known.any():
        return np.ones(len(rcs_db), np.float32)
    below_db = np.median(rcs_db[known]) - _ORDINARY_DB - np.where(known, rcs_db, np.inf)
    return (10.0 ** (np.clip(below_db, 0.0, _WEAKEST_DB) / 20.0)).astype(np.float32)
