# SPDX-License-Identifier: Apache-2.0
"""Training-free, image-guided depth completion; may import NumPy, OpenCV and its sibling modules.

Inverse depth is the sum of a global plane, of an edge-aware local plane per cell of a
working grid whose cells follow the density of the prompt, and of the spread residuals of the
points. ``docs/CLASSICAL.md`` explains it and compares it with the alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.confidence import rate
from metric_depth_ros.estimators.classical.grid import make_grid, splat
from metric_depth_ros.estimators.classical.layout import nearest_per_pixel, pixel_index
from metric_depth_ros.estimators.classical.surface import (
    RESIDUAL_FADE,
    Surface,
    fit_surface,
    point_weight,
)

# Standard deviation, in cells, of the blur which carries what the working grid could not
# resolve to the pixels around a point.
DETAIL_BLUR = 0.4


@dataclass(frozen=True)
class Preset:
    """Trade of accuracy against time.

    Attributes
    ----------
    cells_per_spacing : float
        Cells of the working grid between neighboring points; more is finer.
    cell_range : tuple of float
        Smallest and largest side of a cell in image pixels.
    rounds : int
        Passes of the smoother in the last fit.
    reweightings : int
        Robust refits.
    """

    cells_per_spacing: float
    cell_range: tuple[float, float]
    rounds: int
    reweightings: int


PRESETS = {
    'quality': Preset(4.0, (2.0, 8.0), rounds=2, reweightings=1),
    'fast': Preset(2.0, (3.5, 8.0), rounds=1, reweightings=1),
}


def complete(
    image: NDArray[np.uint8],
    uv: NDArray[np.float32],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    preset: str = 'quality',
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fill every pixel of an image with metric depth from a sparse or incomplete prompt.

    Parameters
    ----------
    image : NDArray[np.uint8]
        (H, W, 3) RGB.
    uv : NDArray[np.float32]
        (N, 2) pixel positions (x, y) of the prompt points; pixel centers at integers.
    depth : NDArray[np.float32]
        (N,) meters along the optical axis, positive and finite.
    sigma : NDArray[np.float32]
        (N,) one standard deviation of `depth`, meters.
    preset : str
        ``'quality'`` or ``'fast'``.

    Returns
    -------
    depth : NDArray[np.float32]
        (H, W) meters, within the range of the prompt; all NaN when the prompt is empty, for then
        nothing tells the metric scale.
    confidence : NDArray[np.float32]
        (H, W) in [0, 1]; all zero when the prompt is empty.

    Raises
    ------
    ValueError
        If the preset is unknown, the arrays do not fit together, or a depth is not usable.
    """
    settings = _find_preset(preset)
    _check(image, uv, depth, sigma)
    shape = image.shape[0], image.shape[1]
    if depth.size == 0:
        return np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)
    kept = nearest_per_pixel(uv, depth, shape)
    uv = uv[kept]
    inverse = 1.0 / depth[kept].astype(np.float64)
    noise = sigma[kept] * inverse
    grid = make_grid(image, uv, settings.cells_per_spacing, settings.cell_range)
    thin, chosen = grid.thinned()
    surface = fit_surface(
        thin, inverse[chosen], noise[chosen], settings.reweightings, settings.rounds
    )
    full = _refine(surface, grid.cell_size, uv, inverse, noise, shape)
    return 1.0 / full, _enlarge(rate(thin, surface, noise[chosen]), shape)


def _refine(
    surface: Surface,
    cell_size: float,
    uv: NDArray[np.float32],
    inverse: NDArray[np.float64],
    noise: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Bring a surface to the resolution of the image, through the points where they are."""
    # The plane is evaluated anew, for interpolation would bend it at the border.
    full = surface.ground.on_raster(shape) + _enlarge(surface.relief, shape)
    pixel = pixel_index(uv, shape)
    residual = inverse - full.ravel()[pixel]
    weight = point_weight(residual / inverse, noise)
    blur = DETAIL_BLUR * cell_size
    mass, total = (
        cv2.GaussianBlur(channel, (0, 0), blur)
        for channel in splat(pixel, weight, [residual], shape)
    )
    full += total / (mass + np.float32(RESIDUAL_FADE / (2.0 * np.pi * blur**2)))
    return np.clip(full, float(inverse.min()), float(inverse.max()), out=full)


def _enlarge(field: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate a field on the working grid bilinearly at the pixels of the image."""
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(shape)


def _find_preset(name: str) -> Preset:
    if name not in PRESETS:
        raise ValueError(f'preset is {name!r}; choose one of: {", ".join(PRESETS)}')
    return PRESETS[name]


def _check(
    image: NDArray[np.uint8],
    uv: NDArray[np.float32],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'image is {image.dtype} {image.shape}; expected uint8 (H, W, 3), RGB: '
            'convert gray or float images first'
        )
    count = depth.size
    if depth.shape != (count,) or uv.shape != (count, 2) or sigma.shape != (count,):
        raise ValueError(
            f'uv {uv.shape}, depth {depth.shape} and sigma {sigma.shape} do not fit together; '
            'expected (N, 2), (N,) and (N,): one row per point'
        )
    bad = ~(np.isfinite(depth) & (depth > 0))
    if bad.any():
        raise ValueError(
            f'depth holds {depth[bad][0]}; expected finite meters above 0: '
            'drop missing values before completion'
        )
