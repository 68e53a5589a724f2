# SPDX-License-Identifier: Apache-2.0
"""Point clouds into an image: rigid motion, distortion, z-buffer, occlusion clean-up.

A LiDAR mounted beside a camera sees past the edges of near objects. Such points project *onto*
the object (parallax ghosts) and would tell an estimator that the object is far away.
`hidden_points` finds them from the cloud alone. NumPy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import FloatArray
from metric_depth_ros.geometry.rigid import Transform

# A point counts as nearer than another only beyond these margins, so that slanted surfaces and
# range noise hide nothing. The first is that of LiDAR.
_NEARER_M = 0.5
_NEARER_RELATIVE = 0.05
# The least share of the axis of a scanner that lies across the picture for scan lines to be told
# from it; that of a depth camera, which has none, points into the picture.
_LEAST_AXIS = 0.1
# The hidden-point test looks this many typical gaps to each side: far enough to bridge the space
# between two scan lines, through which a ghost shines.
_REACH_GAPS = 2.0
_MAX_REACH_PX = 64
# Columns that a strip of the test is told apart in at least, or few points, whose strips are wide,
# would take longer than many.
_STRIP_BINS = 16


@dataclass(frozen=True, eq=False)
class ProjectedPoints:
    """Points of a cloud that fall into an image.

    Parameters
    ----------
    uv
        (M, 2) float32 pixels, not rounded.
    depth
        (M,) float32 meters along the optical Z axis.
    index
        (M,) row of each point in the cloud.
    """

    uv: NDArray[np.float32]
    depth: NDArray[np.float32]
    index: NDArray[np.intp]


def project_cloud(
    camera: CameraModel,
    xyz: FloatArray,
    T_camera_sensor: Transform,
    *,
    min_depth_m: float = 0.0,
    max_depth_m: float = np.inf,
    remove_occluded: bool = True,
    nearer_m: float = _NEARER_M,
) -> ProjectedPoints:
    """Project a cloud into a camera; one point a pixel, the nearest.

    Parameters
    ----------
    camera
        Camera of the image.
    xyz
        (N, 3) meters in the sensor frame; rows that are not finite are dropped.
    T_camera_sensor
        (4, 4) transform from the sensor frame to the camera optical frame. The scan lines of a
        LiDAR run across its Z axis (REP-103), in a camera that is turned on its side from top to
        bottom of the image.
    min_depth_m, max_depth_m
        Depth range along Z, bounds excluded and included.
    remove_occluded
        Drop the points that a nearer surface hides from the camera.
    nearer_m
        What is nearer by less than this and 5 % of the depth hides nothing.

    Returns
    -------
    ProjectedPoints
        At most one point a pixel, in the order of the cloud.
    """
    points, index = _visible_cone(camera, xyz, T_camera_sensor, min_depth_m, max_depth_m)
    uv = camera.project(points)
    column, row = np.rint(uv.T)
    with np.errstate(invalid='ignore'):
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    inside_index = np.flatnonzero(inside)
    pixel = row[inside_index].astype(np.intp)  # in integers: floats lose pixels beyond 2^24
    pixel *= camera.width
    pixel += column[inside_index].astype(np.intp)
    depth = points[inside_index, 2]
    nearest = _nearest_of_pixels(pixel, depth, camera.width * camera.height)
    keep = inside_index[nearest]
    pixel, depth = pixel[nearest], depth[nearest]
    if remove_occluded and len(depth):
        width = camera.width
        if _lies_on_its_side(T_camera_sensor):
            row, column = np.divmod(pixel, width)
            pixel, width = column * camera.height + row, camera.height
        visible = ~_hidden(pixel, depth, width, nearer_m)
        keep, depth = keep[visible], depth[visible]
    return ProjectedPoints(
        uv[keep].astype(np.float32, copy=False),
        depth.astype(np.float32, copy=False),
        index[keep],
    )


def hidden_points(
    uv: NDArray[np.float32], depth: NDArray[np.float32], width: int
) -> NDArray[np.bool_]:
    """Tell which points of a scan, already in an image, shine through a nearer surface.

    Parameters
    ----------
    uv
        (N, 2) pixels inside the image.
    depth
        (N,) meters along the optical Z axis.
    width
        Of the image.

    Returns
    -------
    NDArray[np.bool_]
        (N,) true for points with nearer ones both above and below, in other rows.
    """
    if not len(depth):
        return np.zeros(0, bool)
    column, row = np.rint(uv).astype(np.intp).T
    return _hidden(row * width + column, depth, width, _NEARER_M)


def _visible_cone(
    camera: CameraModel,
    xyz: FloatArray,
    T_camera_sensor: Transform,
    min_depth_m: float,
    max_depth_m: float,
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Move the cloud to the camera and drop early what cannot be seen.

    Returns the points (M, 3) in the optical frame and their rows in the cloud. A ring of LiDAR
    points sees four times what a camera does; the cull before the division saves that work.
    """
    rotation = T_camera_sensor[:3, :3].astype(np.float32)
    translation = T_camera_sensor[:3, 3:].astype(np.float32)
    with np.errstate(invalid='ignore'):
        # One row a coordinate: comparisons run over memory that lies side by side.
        points = rotation @ xyz.astype(np.float32, copy=False).T
        points += translation
        z = points[2]
        seen = (z > min_depth_m) & (z <= max_depth_m)
        if camera.distortion.is_identity and not camera.K[0, 1]:
            sizes = (camera.width, camera.height)
            for axis, size in enumerate(sizes):
                focal, center = camera.K[axis, axis], camera.K[axis, 2]
                least, most = (-1.0 - center) / focal, (size - center) / focal
                seen &= points[axis] >= np.float32(least) * z
                seen &= points[axis] <= np.float32(most) * z
    index = np.flatnonzero(seen)
    return points.take(index, axis=1).T, index


def _nearest_of_pixels(
    pixel: NDArray[np.intp], depth: NDArray[np.float32], size: int
) -> NDArray[np.intp]:
    """Return the rows of the nearest point of every pixel."""
    zbuffer = np.full(size, np.inf, np.float32)
    np.minimum.at(zbuffer, pixel, depth)
    nearest = np.flatnonzero(depth <= zbuffer[pixel])
    # Two points at one pixel and exactly one depth: keep the last, so that pixels stay unique.
    owner = np.empty(size, np.intp)  # read only where it is written
    owner[pixel[nearest]] = nearest
    return nearest[owner[pixel[nearest]] == nearest]


def _lies_on_its_side(T_camera_sensor: Transform) -> bool:
    """Tell whether the scan lines of a sensor run from top to bottom of the image."""
    across, down = np.abs(T_camera_sensor[:2, 2])
    return bool(across > max(down, _LEAST_AXIS))


def _hidden(
    pixel: NDArray[np.intp], depth: NDArray[np.float32], width: int, nearer_m: float
) -> NDArray[np.bool_]:
    """Tell which points shine through a nearer surface.

    A point is hidden when nearer points lie both above and below it: the surface that they
    sample passes in front. Points on one side prove nothing, since every point beside a
    silhouette has such neighbors; nor do points of its own row, which is its own scan line.
    """
    row, column = np.divmod(pixel, width)
    spacing = np.sqrt(width * (np.ptp(row) + 1) / len(pixel))
    strip_px = 2 * int(spacing / 2) + 3  # wide enough to hold a point of every scan line
    reach_px = _reach_px(row, column // strip_px)
    bin_px = max(1, strip_px // _STRIP_BINS)
    row, column = row - row.min(), column // bin_px
    nearest = np.full((row.max() + 1, column.max() + 1), np.inf, np.float32)
    np.minimum.at(nearest.ravel(), row * nearest.shape[1] + column, depth)
    # First sideways, then down. What is above a point is what is below the row where its reach
    # begins.
    sideways = cv2.erode(nearest, np.ones((1, 2 * (strip_px // bin_px // 2) + 1), np.uint8))
    padded = cv2.copyMakeBorder(
        sideways.reshape(nearest.shape), reach_px, 1, 0, 0, cv2.BORDER_CONSTANT, value=(np.inf,)
    )
    downward = cv2.erode(padded, np.ones((reach_px - 1, 1), np.uint8), anchor=(0, 0))
    downward = downward.reshape(padded.shape)
    above = downward[row + 1, column]
    below = downward[row + reach_px + 1, column]
    threshold = depth - (np.float32(nearer_m) + _NEARER_RELATIVE * depth)
    return (above < threshold) & (below < threshold)


def _reach_px(row: NDArray[np.intp], strip: NDArray[np.intp]) -> int:
    """Return how far to look up and down, from the typical gap between points of a strip."""
    rows_apart = row.max() + _MAX_REACH_PX + 1  # so that no gap spans two strips
    place = (strip * rows_apart + row).astype(np.int32)  # which sorts faster
    gaps = np.diff(np.sort(place))
    gaps = gaps[(gaps > 1) & (gaps <= _MAX_REACH_PX)]
    typical = np.median(gaps) if len(gaps) else 1.0
    return int(np.clip(np.ceil(_REACH_GAPS * typical), 2, _MAX_REACH_PX))
