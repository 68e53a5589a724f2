# SPDX-License-Identifier: Apache-2.0
"""The prompt on its working grid; may import NumPy, OpenCV and its sibling modules.

All fields are computed on a grid coarser than the image: a prompt carries no detail far below its
own spacing, and time falls with the square of the cell size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.layout import one_per_cell, pixel_index, spacing
from metric_depth_ros.estimators.classical.smoothing import EdgeAwareSmoother, make_smoother


@dataclass(frozen=True)
class PromptGrid:
    """Prompt points on a coarse grid over the image, with the smoother which its colors define.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the grid in cells.
    cell_size : float
        Side of a cell in image pixels.
    x, y : NDArray[np.float64]
        (N,) positions of the points in cells; cell centers at integers.
    cell : NDArray[np.intp]
        (N,) raster index of the cell of each point.
    spacing : tuple of float
        Spacing of the points along x and y in cells, at least 1.
    smoother : EdgeAwareSmoother
        Smoother of fields on the grid.
    """

    shape: tuple[int, int]
    cell_size: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cell: NDArray[np.intp]
    spacing: tuple[float, float]
    smoother: EdgeAwareSmoother

    def spread(
        self,
        weight: NDArray[np.float64],
        values: Sequence[NDArray[np.float64]],
        reach: float,
        rounds: int = 1,
        dtype: type[np.floating] = np.float32,
    ) -> NDArray[Any]:
        """Sum the points around every cell, weighted by an edge-aware kernel.

        Parameters
        ----------
        weight : NDArray[np.float64]
            (N,) weight of each point.
        values : sequence of NDArray[np.float64]
            C arrays (N,).
        reach : float
            Reach of the kernel in spacings.
        rounds : int
            Passes of the smoother.
        dtype : type of np.floating
            Precision of the sums.

        Returns
        -------
        NDArray[Any]
            (C + 1, H, W) of that precision: the summed weights, then the weighted sums of the
            values. The kernel sums to one over the grid.
        """
        sums = splat(self.cell, weight, values, self.shape, dtype)
        return self.smoother.smooth(
            sums, (reach * self.spacing[0], reach * self.spacing[1]), rounds
        )

    def thinned(self) -> tuple[PromptGrid, NDArray[np.intp]]:
        """Leave one point in every cell: more cannot be told apart on the grid.

        Returns
        -------
        grid : PromptGrid
            The same grid with M <= N points.
        kept : NDArray[np.intp]
            (M,) their indices.
        """
        kept = one_per_cell(self.cell, self.shape)
        if kept.size == self.cell.size:
            return self, np.arange(kept.size)
        thin = replace(self, x=self.x[kept], y=self.y[kept], cell=self.cell[kept])
        return thin, kept

    def point_mass(self, reach: float) -> float:
        """Mean over a box of +-`reach` spacings of the kernel of one point of unit weight."""
        return 1.0 / (4.0 * reach**2 * self.spacing[0] * self.spacing[1])

    def sample(self, field: NDArray[np.float32]) -> NDArray[np.float64]:
        """Interpolate an (H, W) field bilinearly at the points; (N,)."""
        height, width = self.shape
        x = np.clip(self.x, 0, width - 1)
        y = np.clip(self.y, 0, height - 1)
        left, top = x.astype(np.intp), y.astype(np.intp)
        step_right = (left < width - 1).astype(np.intp)
        step_down = (top < height - 1).astype(np.intp) * width
        corner = top * width + left
        x -= left
        y -= top
        flat = field.ravel()
        upper = flat[corner] * (1 - x) + flat[corner + step_right] * x
        corner += step_down
        lower = flat[corner] * (1 - x) + flat[corner + step_right] * x
        return upper * (1 - y) + lower * y


def make_grid(
    image: NDArray[np.uint8],
    uv: NDArray[np.float32],
    cells_per_spacing: float,
    cell_range: tuple[float, float],
) -> PromptGrid:
    """Lay the working grid for a prompt.

    Parameters
    ----------
    image : NDArray[np.uint8]
        (H, W, 3) RGB.
    uv : NDArray[np.float32]
        (N, 2) pixel positions (x, y), N >= 1.
    cells_per_spacing : float
        Number of cells between neighboring points.
    cell_range : tuple of float
        Smallest and largest side of a cell in image pixels, whatever the spacing.

    Returns
    -------
    PromptGrid
        The grid.
    """
    height, width = image.shape[:2]
    gap = spacing(pixel_index(uv, (height, width)), (height, width))
    wanted = float(np.sqrt(gap[0] * gap[1])) / cells_per_spacing
    side = min(max(wanted, cell_range[0]), cell_range[1])
    shape = max(round(height / side), 1), max(round(width / side), 1)
    per_pixel = shape[1] / width, shape[0] / height
    x = (uv[:, 0].astype(np.float64) + 0.5) * per_pixel[0] - 0.5
    y = (uv[:, 1].astype(np.float64) + 0.5) * per_pixel[1] - 0.5
    guide = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    return PromptGrid(
        shape=shape,
        cell_size=side,
        x=x,
        y=y,
        cell=pixel_index(np.stack([x, y], axis=1), shape),
        spacing=(max(gap[0] * per_pixel[0], 1.0), max(gap[1] * per_pixel[1], 1.0)),
        smoother=make_smoother(guide),
    )


def splat(
    cell: NDArray[np.intp],
    weight: NDArray[np.float64],
    values: Sequence[NDArray[np.float64]],
    shape: tuple[int, int],
    dtype: type[np.floating] = np.float32,
) -> NDArray[Any]:
    """Sum weights and weighted values per cell.

    Parameters
    ----------
    cell : NDArray[np.intp]
        (N,) raster indices.
    weight : NDArray[np.float64]
        (N,) weights.
    values : sequence of NDArray[np.float64]
        C arrays (N,).
    shape : tuple of int
        Height and width of the result.
    dtype : type of np.floating
        Precision of the result.

    Returns
    -------
    NDArray[Any]
        (C + 1, H, W) of that precision, the weights first.
    """
    size = shape[0] * shape[1]
    stack = np.empty((len(values) + 1, size), dtype)
    stack[0] = np.bincount(cell, weight, size)
    for channel, value in zip(stack[1:], values, strict=True):
        channel[:] = np.bincount(cell, weight * value, size)
    return stack.reshape(-1, *shape)
