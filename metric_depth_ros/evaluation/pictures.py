# SPDX-License-Identifier: Apache-2.0
"""Pictures of depth for people: colored depth, prompts, errors, clouds. NumPy and OpenCV only.

Every function returns (H, W, 3) uint8 RGB. Depth is colored in inverse depth, near = red and
far = blue (the color map "turbo"); what is unknown is dark gray.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.types import CameraModel, SparsePrompt

Picture = NDArray[np.uint8]
DepthMap = NDArray[np.float32]

UNKNOWN_COLOR = (48, 48, 48)
WORST_RELATIVE_ERROR = 0.25  # the top of the error scale: where delta1 ends
_CLOUD_BACKGROUND = (24, 26, 30)


def depth_range(depth: DepthMap) -> tuple[float, float]:
    """Return the depths (meters) between which colors are spread: 2nd and 98th percentile."""
    known = depth[np.isfinite(depth) & (depth > 0.0)]
    if known.size == 0:
        return 1.0, 2.0
    near, far = np.percentile(known, (2.0, 98.0))
    return float(near), float(max(far, near * 1.01))


def colorize_depth(depth: DepthMap, limits_m: tuple[float, float] | None = None) -> Picture:
    """Color a depth map.

    Parameters
    ----------
    depth
        (H, W) meters; NaN = unknown, +Inf = beyond range (colored as far).
    limits_m
        Depths of the two ends of the colors; default `depth_range` of the map. Pass one pair for
        pictures that are to be compared.
    """
    near, far = limits_m or depth_range(depth)
    with np.errstate(divide='ignore', invalid='ignore'):
        nearness = (1.0 / depth - 1.0 / far) / (1.0 / near - 1.0 / far)
    picture = _turbo(nearness)
    picture[~(depth > 0.0)] = UNKNOWN_COLOR
    return picture


def overlay_prompt(
    image: Picture, prompt: SparsePrompt, limits_m: tuple[float, float], radius_px: int = 2
) -> Picture:
    """Draw the points of a prompt on its darkened image, colored by depth, near ones on top."""
    height, width = image.shape[:2]
    points = prompt.to_map(width, height)
    grown = grow_points(points, radius_px)
    dark = (image * 0.45).astype(np.uint8)
    return np.where(np.isfinite(grown)[..., None], colorize_depth(grown, limits_m), dark)


def grow_points(points: DepthMap, radius_px: int) -> DepthMap:
    """Spread every depth over a disc so that it can be seen; the nearest wins, NaN elsewhere."""
    filled = np.where(np.isfinite(points), points, np.float32(np.inf))
    grown = cv2.erode(filled, _disc(radius_px), borderValue=np.inf)
    return np.where(np.isfinite(grown), grown, np.float32(np.nan)).astype(np.float32)


def error_map(depth: DepthMap, ground_truth: DepthMap, radius_px: int = 0) -> Picture:
    """Color the relative error |p - d| / d from blue (0) to red (25 % and more).

    Pixels without ground truth are dark; a failed prediction is white. `radius_px` grows sparse
    ground truth so that it can be seen.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        error = (np.abs(depth - ground_truth) / ground_truth).astype(np.float32)
    measured = np.isfinite(ground_truth)
    failed = measured & ~(np.isfinite(depth) & (depth > 0.0))
    error[failed] = WORST_RELATIVE_ERROR
    error[~measured] = np.nan
    if radius_px:
        # The worst of neighboring errors is shown: a picture must not hide an error.
        kernel = _disc(radius_px)
        worst = cv2.dilate(np.where(measured, error, np.float32(-1.0)), kernel)
        error = np.where(worst >= 0.0, worst, np.float32(np.nan))
        failed = cv2.dilate(failed.astype(np.uint8), kernel) > 0
    picture = _turbo(error / WORST_RELATIVE_ERROR)
    picture[~np.isfinite(error)] = UNKNOWN_COLOR
    picture[failed] = 255
    return picture


def cloud_picture(
    camera: CameraModel, depth: DepthMap, image: Picture, size: tuple[int, int] = (640, 360)
) -> Picture:
    """Show a depth map as a colored cloud, seen from above and behind the camera.

    Parameters
    ----------
    camera
        Camera of the depth map and the image.
    depth
        (H, W) meters; what is not finite is left out.
    image
        (H, W, 3) uint8 RGB, the colors of the points.
    size
        (width, height) of the picture.
    """
    width, height = size
    canvas = np.full((height, width, 3), _CLOUD_BACKGROUND, np.uint8)
    points = depth_to_points(camera, depth).reshape(-1, 3)
    known = np.isfinite(points).all(axis=1) & (points[:, 2] > 0.0)
    if not known.any():
        return canvas
    points, colors = points[known], image.reshape(-1, 3)[known]
    near, far = np.percentile(points[:, 2], (5.0, 80.0))
    shown = points[:, 2] <= 1.2 * far
    points, colors = points[shown], colors[shown]
    middle = np.median(points, axis=0).astype(np.float64)
    reach = float(far - 0.5 * near)
    eye = np.array([middle[0] + 0.15 * reach, middle[1] - 0.4 * reach, -0.3 * reach])
    T_view = _looking_at(eye, middle)
    view = _fitted_view(points @ T_view[:3, :3].T + T_view[:3, 3], width, height)
    seen = project_cloud(view, points, T_view, remove_occluded=False)
    column = np.clip(np.rint(seen.uv[:, 0]).astype(np.intp), 0, width - 1)
    row = np.clip(np.rint(seen.uv[:, 1]).astype(np.intp), 0, height - 1)
    order = np.argsort(-seen.depth, kind='stable')  # near points are painted last
    row, column, painted = row[order], column[order], colors[seen.index[order]]
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 0)):  # 2x2 px a point closes the gaps
        canvas[np.minimum(row + dy, height - 1), np.minimum(column + dx, width - 1)] = painted
    return canvas


def side_by_side(pictures: Sequence[Picture], columns: int, gap_px: int = 6) -> Picture:
    """Put pictures of any size into a grid of equal cells, each fitted and centered."""
    width = max(p.shape[1] for p in pictures)
    height = max(p.shape[0] for p in pictures)
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3)
    sheet = np.full(shape, 255, np.uint8)
    for i, picture in enumerate(pictures):
        fitted = fit(picture, width, height)
        top = (i // columns) * (height + gap_px) + (height - fitted.shape[0]) // 2
        left = (i % columns) * (width + gap_px) + (width - fitted.shape[1]) // 2
        sheet[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return sheet


def fit(picture: Picture, width: int, height: int) -> Picture:
    """Scale a picture to fit into width x height, keeping its proportions."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    if scale == 1.0:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_NEAREST
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8, copy=False)


def confidence_picture(confidence: NDArray[np.float32]) -> Picture:
    """Show confidence in [0, 1] from black to white."""
    gray = np.clip(np.nan_to_num(confidence, nan=0.0) * 255.0, 0.0, 255.0).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def _turbo(share: NDArray[np.floating]) -> Picture:
    index = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0) * 255.0
    bgr = cv2.applyColorMap(index.astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[..., ::-1])


def _disc(radius_px: int) -> NDArray[np.uint8]:
    side = 2 * radius_px + 1
    disc: NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return disc


def _fitted_view(points: NDArray[np.floating], width: int, height: int) -> CameraModel:
    """Return a pinhole that fills its picture with points given in its own frame."""
    ahead = points[points[:, 2] > 0.0]
    slopes = ahead[:, :2] / ahead[:, 2:]
    low, high = np.percentile(slopes, (1.0, 99.0), axis=0)
    span = np.maximum(high - low, 1e-3)
    focal = float(min(0.92 * width / span[0], 0.92 * height / span[1]))
    center = np.array([width - 1.0, height - 1.0]) / 2.0 - focal * (low + high) / 2.0
    return CameraModel.pinhole(width, height, focal, focal, float(center[0]), float(center[1]))


def _looking_at(eye: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the transform into a camera at `eye` that looks at `target`, y down."""
    forward = target - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack((right, np.cross(forward, right), forward))
    T[:3, 3] = -T[:3, :3] @ eye
    return T
