# SPDX-License-Identifier: Apache-2.0
"""How the points of a prompt lie in the image; may import NumPy and OpenCV only.

Every length of the method is a multiple of the spacing measured here, so that one set of
parameters serves ten points as well as a full depth camera.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def nearest_per_pixel(
    uv: NDArray[np.float32], depth: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.intp]:
    """Keep the nearest point of every pixel.

    Parameters
    ----------
    uv : NDArray[np.float32]
        (N, 2) pixel positions (x, y).
    depth : NDArray[np.float32]
        (N,) meters.
    shape : tuple of int
        Image height and width.

    Returns
    -------
    NDArray[np.intp]
        Indices of the points kept, in raster order.
    """
    pixel = pixel_index(uv, shape)
    nearest = np.full(shape[0] * shape[1], np.inf, np.float32)
    np.minimum.at(nearest, pixel, depth)
    return one_per_cell(np.where(depth <= nearest[pixel], pixel, -1), shape)


def one_per_cell(cell: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Keep one point of every cell of a raster.

    Parameters
    ----------
    cell : NDArray[np.intp]
        (N,) raster index of each point; points with -1 are left out.
    shape : tuple of int
        Height and width of the raster.

    Returns
    -------
    NDArray[np.intp]
        Indices of the points kept, in raster order.
    """
    owner = np.full(shape[0] * shape[1] + 1, -1, np.intp)
    owner[cell] = np.arange(cell.size)  # -1 goes to the extra last place
    owner = owner[:-1]
    return owner[owner >= 0]


def pixel_index(uv: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Raster index of the pixel which holds each point.

    Parameters
    ----------
    uv : NDArray[np.float32]
        (N, 2) pixel positions (x, y); positions outside the image go to its border.
    shape : tuple of int
        Image height and width.

    Returns
    -------
    NDArray[np.intp]
        (N,) ``row * width + column``.
    """
    column = np.clip(np.rint(uv[:, 0]), 0, shape[1] - 1).astype(np.intp)
    row = np.clip(np.rint(uv[:, 1]), 0, shape[0] - 1).astype(np.intp)
    return row * shape[1] + column


def spacing(pixel: NDArray[np.intp], shape: tuple[int, int]) -> tuple[float, float]:
    """Typical distance of neighboring points along x and along y.

    The product follows from the mean density. The quotient is the ratio of the numbers of
    neighbors in a lying and in an upright slit: about 1 for random points and grids, far above 1
    for scan lines, whose points are close along the line and far across.

    Parameters
    ----------
    pixel : NDArray[np.intp]
        (N,) raster indices of the points, N >= 1.
    shape : tuple of int
        Image height and width.

    Returns
    -------
    tuple of float
        Spacing along x and along y in pixels, each at least 1.
    """
    mean = float(np.sqrt(shape[0] * shape[1] / pixel.size))
    present = np.zeros(shape, np.uint8)
    present.ravel()[pixel] = 1
    length = 2 * round(2 * mean) + 1
    lying = _mean_neighbors(present, pixel, (length, 3))
    upright = _mean_neighbors(present, pixel, (3, length))
    stretch = float(np.sqrt(lying / upright))
    return max(mean / stretch, 1.0), max(mean * stretch, 1.0)


def _mean_neighbors(
    present: NDArray[np.uint8], pixel: NDArray[np.intp], size: tuple[int, int]
) -> float:
    """Mean number of points in a box around each point, the point itself included."""
    count = cv2.boxFilter(
        present, cv2.CV_32F, size, normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return float(count.ravel()[pixel].mean())
