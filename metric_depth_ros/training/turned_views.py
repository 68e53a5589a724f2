# SPDX-License-Identifier: Apache-2.0
"""An example through another camera at the same place: turned, zoomed in, an ideal pinhole.

A network that is to find the focal length must know where the optical axis is: in the middle. A
window of an image has it elsewhere. Here the camera turns to where the window is, and the lens is
taken out. NumPy and OpenCV.

Source: Wang et al., "MoGe" (CVPR 2025), training data; which views are drawn is ours.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.views import mirrored

_LEAST_AREA = 0.35  # of a random view
_OFF_CENTER = 0.5  # of how far it could turn aside
_ALONG_BORDER = 16  # points a side: a lens bends it
_WIDEST_DEG = 130.0  # across a view: as wide as simulated cameras are
_LARGEST_BEND = 0.01  # of inverse depth from pixel to pixel, of what is one surface

FloatArray = NDArray[np.float64]


def turned_view(
    example: Example, size: tuple[int, int], rng: np.random.Generator, *, mirror: bool = True
) -> Example:
    """Return a random view within an example, without sensors.

    It is enlarged only where the whole example is too small.

    Parameters
    ----------
    size
        (width, height) of the result.
    mirror
        Whether it may be mirrored.
    """
    camera = example.camera
    border = _border_planes(camera)
    middle = np.array((camera.width - 1.0, camera.height - 1.0)) / 2.0
    widest = _shortest_focal(border, turn_to(camera, middle), size)
    own = math.sqrt(camera.K[0, 0] * camera.K[1, 1])
    focal = max(widest, min(own, widest / math.sqrt(rng.uniform(_LEAST_AREA, 1.0))))
    shown = own / focal * np.array(size)  # pixels of the example
    room = np.maximum(0.0, (np.array(camera.size) - shown) / 2.0)
    turn = turn_to(camera, middle + _OFF_CENTER * room * rng.uniform(-1.0, 1.0, 2))
    focal = max(focal, _shortest_focal(border, turn, size))
    center = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    seen = through(example, CameraModel.pinhole(*size, focal, focal, *center), turn)
    return mirrored(seen) if mirror and rng.random() < 0.5 else seen


def turn_to(camera: CameraModel, pixel: FloatArray) -> FloatArray:
    """Return the rotation (3, 3), from the camera's frame, that brings a pixel's ray to the axis.

    It does not roll. A pixel without a ray turns nothing.
    """
    x, y = camera.pixel_to_normalized(np.asarray(pixel, np.float64))
    if not np.isfinite((x, y)).all():
        return np.eye(3)
    # About the axis at right angles to both, by the angle between them.
    away = math.hypot(x, y)
    axis = np.array((y, -x, 0.0)) / max(away, 1e-12)
    return np.asarray(cv2.Rodrigues(axis * math.atan(away))[0], np.float64)


def through(example: Example, camera: CameraModel, turn: FloatArray) -> Example:
    """Return an example as another camera at the same place sees it.

    Depth is interpolated within a surface, in inverse depth, which leaves planes planes; between
    surfaces the nearest pixel's is taken.

    Parameters
    ----------
    camera
        An ideal pinhole.
    turn
        (3, 3) rotation from the frame of the example's camera to that of the new one.

    Returns
    -------
    Example
        Without sensors. Depth is NaN where the example shows nothing.
    """
    K = camera.K
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    rays = np.stack(((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)), axis=-1)
    before = rays @ turn  # in the frame of the example: the inverse rotation
    pixels = example.camera.project(before).astype(np.float64)
    with np.errstate(invalid='ignore'):
        depth = _depth_at(example.depth, pixels) / before[..., 2]
    return replace(
        example,
        image=_image_at(example, pixels, camera),
        depth=depth.astype(np.float32),
        camera=camera,
        sensors={},
    )


def _border_planes(camera: CameraModel) -> FloatArray:
    """Return normals (N, 3) of the planes through the camera and its image's border, inward."""
    right, bottom = camera.width - 1.0, camera.height - 1.0
    corners = np.array(((0, 0), (right, 0), (right, bottom), (0, bottom), (0, 0)), np.float64)
    steps = np.linspace(0.0, 1.0, _ALONG_BORDER, endpoint=False)[:, None]
    border = np.concatenate([a + steps * (b - a) for a, b in pairwise(corners)])
    slopes = camera.pixel_to_normalized(border)
    rays = np.column_stack((slopes, np.ones(len(slopes))))
    normals: FloatArray = np.cross(rays, np.roll(rays, -1, axis=0))
    return normals[np.isfinite(normals).all(axis=1)]


def _shortest_focal(border: FloatArray, turn: FloatArray, size: tuple[int, int]) -> float:
    """Return the focal length in pixels at which a turned view just keeps within the border.

    A fisheye's rays at the border may be no pinhole's at all: then the widest view decides.
    """
    n = border @ turn.T
    half = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
    reach = np.abs(n[:, 0]) * half[0] + np.abs(n[:, 1]) * half[1]
    least = max(half) / math.tan(math.radians(0.5 * _WIDEST_DEG))
    return float((reach / np.maximum(n[:, 2], 1e-9)).max(initial=least))


def _image_at(example: Example, pixels: FloatArray, camera: CameraModel) -> NDArray[np.uint8]:
    """Return the image at pixels (H, W, 2); its border goes on beyond it."""
    own = example.camera
    image = example.image
    # Smaller first, by means over areas: else what is left out between pixels would flicker.
    width, height = (
        min(side, max(1, round(side * camera.K[i, i] / own.K[i, i])))
        for i, side in enumerate(own.size)
    )
    if (width, height) != own.size:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    scale = np.array((width, height)) / own.size
    # What has no pixel has a place beyond the border.
    x, y = np.moveaxis((np.nan_to_num(pixels, nan=-1.0) + 0.5) * scale - 0.5, -1, 0)
    seen = cv2.remap(
        image,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return seen.astype(np.uint8, copy=False)


def _depth_at(depth: NDArray[np.float32], pixels: FloatArray) -> FloatArray:
    """Return depth at pixels (H, W, 2), along the axis of the depth map; NaN outside of it."""
    height, width = depth.shape
    x, y = np.moveaxis(pixels, -1, 0)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    x, y = (
        np.where(inside, values, 0.0).clip(0.0, side - 1.0)
        for values, side in ((x, width), (y, height))
    )
    values = depth[np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)].astype(np.float64)
    smooth = _smooth(depth)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=smooth)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    mean, within = np.zeros_like(x), np.ones(x.shape, bool)
    for row, down in ((top, 1.0 - (y - top)), (bottom, y - top)):
        for column, across in ((left, 1.0 - (x - left)), (right, x - left)):
            mean += down * across * inverse[row, column]
            within &= smooth[row, column]
    np.divide(1.0, mean, out=values, where=within)
    return np.where(inside, values, np.nan)


def _smooth(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell the pixels at which the map is one surface with what is known around them."""
    known = np.isfinite(depth) & (depth > 0.0)
    inverse = np.divide(1.0, depth, out=np.full(depth.shape, np.nan), where=known)
    smooth = known.copy()
    for along, mine in ((inverse, smooth), (inverse.T, smooth.T)):
        bend = np.abs(along[2:] - 2.0 * along[1:-1] + along[:-2])
        # Beside what is unknown, nothing tells where the surface goes.
        mine[1:-1] &= bend <= _LARGEST_BEND * along[1:-1]
    return smooth
