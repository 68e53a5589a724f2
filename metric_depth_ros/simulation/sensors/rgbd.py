# SPDX-License-Identifier: Apache-2.0
"""Depth cameras that triangulate: structured light and stereo, registered to the color camera.

They work on any dense depth with its image. Depth is lost where the second eye does not see, at
edges, at grazing angles, on shiny, dark or blank surfaces and out of range; what is left carries
noise that grows with the square of depth, and the steps of the disparity that it came from.
NumPy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel

_BEHIND = 1.05  # the shadow test allows for slanted surfaces


@dataclass(frozen=True)
class DepthCameraModel:
    """A depth camera.

    Parameters
    ----------
    focal_px
        Focal length of the sensor's own infrared camera.
    baseline_m
        Its projector, or its second eye, sits to the right of it by this much.
    disparity_step_px
        Disparity is known in steps of this size.
    disparity_noise_px
        One standard deviation of disparity.
    min_depth_m, max_depth_m
        Range.
    noise_patch_px
        Disparity errs alike over patches of this radius: one standard deviation of a Gaussian.
    edge_loss
        Share of the pixels next to a depth edge that are lost.
    fattening_px
        Near surfaces grow over their edges by this many pixels of the color image: half the
        window of block matching.
    texture_need
        Gray levels of local contrast below which matching fails; 0 for a camera that projects a
        pattern of its own.
    darkness
        Surfaces darker than this gray level send too little of the pattern back.
    """

    focal_px: float = 580.0
    baseline_m: float = 0.075
    disparity_step_px: float = 0.125
    disparity_noise_px: float = 0.08
    noise_patch_px: float = 1.0
    min_depth_m: float = 0.25
    max_depth_m: float = 6.0
    edge_loss: float = 0.7
    fattening_px: int = 0
    texture_need: float = 0.0
    darkness: float = 0.0


def measure(
    depth: NDArray[np.float32],
    image: NDArray[np.uint8],
    camera: CameraModel,
    model: DepthCameraModel,
    rng: np.random.Generator,
    gloss: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the (H, W) float32 depth in meters that the sensor reports, NaN in its holes.

    Parameters
    ----------
    depth
        (H, W) meters; not finite where there is nothing.
    image, camera
        (H, W, 3) uint8 image of the color camera that it is registered to, and its geometry.
    model
        The sensor.
    rng
        Source of the noise.
    gloss
        (H, W) strength of mirror-like reflection, 0 to 1; None: guessed from highlights.
    """
    known = np.isfinite(depth) & (depth > 0.0)
    seen = np.where(known, depth, np.float32(1e6))
    scale = model.focal_px * model.baseline_m
    disparity = np.float32(scale) / seen
    lost = ~known | _hidden_from_second_eye(disparity, camera, model)
    chance = _soft_noise(depth.shape, 1.5, rng)
    lost |= _edges(seen) & (_even_chance(chance) < model.edge_loss)
    if model.fattening_px:
        disparity = cv2.dilate(disparity, np.ones((1, 2 * model.fattening_px + 1), np.uint8))
    disparity = disparity + np.float32(model.disparity_noise_px) * _soft_noise(
        depth.shape, model.noise_patch_px, rng
    )
    step = np.float32(model.disparity_step_px)
    measured = np.float32(scale) / np.maximum(np.rint(disparity / step) * step, step)
    lost |= _weakness(seen, image, camera, model, gloss) > np.maximum(0.6 + 0.3 * chance, 0.1)
    lost |= (measured < model.min_depth_m) | (measured > model.max_depth_m)
    return np.where(lost, np.float32(np.nan), measured)


def _even_chance(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread unit noise nearly evenly over 0 to 1, so that holes are patches and not specks."""
    return np.float32(1.0) / (np.float32(1.0) + np.exp(np.float32(-1.7) * noise))


def incidence(depth: NDArray[np.float32], camera: CameraModel) -> NDArray[np.float32]:
    """Return the cosine (H, W) between view rays and surface normals, from depth alone.

    With z over pixels (u, v) the normal is (fx dz/du, fy dz/dv, -z - (u - cx) dz/du
    - (v - cy) dz/dv), and its product with the ray (x, y, 1) is -z.
    """
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    u = (np.arange(camera.width) - cx).astype(np.float32)
    v = (np.arange(camera.height) - cy).astype(np.float32)[:, None]
    slope_u = cv2.Sobel(depth, cv2.CV_32F, 1, 0, scale=0.125)
    slope_v = cv2.Sobel(depth, cv2.CV_32F, 0, 1, scale=0.125)
    along = depth + u * slope_u + v * slope_v
    normal = (fx * slope_u) ** 2 + (fy * slope_v) ** 2 + along**2
    ray = (u / fx) ** 2 + (v / fy) ** 2 + 1.0
    return (depth / np.sqrt(normal * ray)).astype(np.float32)


def _hidden_from_second_eye(
    disparity: NDArray[np.float32], camera: CameraModel, model: DepthCameraModel
) -> NDArray[np.bool_]:
    """Tell which pixels a nearer surface hides from the projector or the second eye.

    Along a row, pixel u is seen from the right at u - d. It is hidden when a pixel further right
    lands at the same place or left of it, since that one must then be nearer.
    """
    shift = disparity * np.float32(camera.K[0, 0] / model.focal_px)
    landing = np.arange(disparity.shape[1], dtype=np.float32) - shift
    leftmost = np.minimum.accumulate(landing[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(disparity.shape, np.bool_)
    # A slanted wall lands within a pixel of its neighbor: only clear overlaps count.
    hidden[:, :-1] = leftmost[:, 1:] < landing[:, :-1] - np.float32(_BEHIND - 1.0)
    return hidden


def _edges(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels lie next to a step in depth."""
    kernel = np.ones((5, 5), np.uint8)
    farthest, nearest = cv2.dilate(depth, kernel), cv2.erode(depth, kernel)
    return (farthest > 1.05 * nearest + 0.02) & (farthest > 1.08 * nearest)


def _weakness(
    depth: NDArray[np.float32],
    image: NDArray[np.uint8],
    camera: CameraModel,
    model: DepthCameraModel,
    gloss: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Return how little of the pattern comes back, 0 (all) to beyond 1 (none)."""
    cosine = incidence(depth, camera)
    weak = np.maximum(1.0 - cosine / 0.3, 0.0)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if gloss is None:
        weak += np.clip((gray - 235.0) / 20.0, 0.0, 1.0)
    else:
        mirrored = np.clip((cosine - 0.97) / 0.03, 0.0, 1.0)  # the projector's mirror image
        weak += gloss * mirrored + 0.35 * gloss**2
    if model.darkness:
        weak += np.clip(1.5 - gray / model.darkness, 0.0, 1.0)
    if model.texture_need:
        contrast = cv2.blur(np.abs(gray - cv2.blur(gray, (5, 5))), (9, 9))
        weak += np.clip(1.5 - contrast / model.texture_need, 0.0, 1.0)
    return weak


def _soft_noise(
    shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return unit noise that is alike over a few pixels, as block matching makes it."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma_px)
    # A Gaussian filter divides the deviation of white noise by 2 sqrt(pi) sigma.
    return noise * np.float32(2.0 * np.sqrt(np.pi) * sigma_px)
