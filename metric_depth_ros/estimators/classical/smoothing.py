# SPDX-License-Identifier: Apache-2.0
"""Edge-aware smoothing of image stacks by tridiagonal solves; may import NumPy and OpenCV.

The smoother is the separable weighted-least-squares filter of Min et al., "Fast Global Image
Smoothing Based on Weighted Least Squares" (TIP 2014): a few alternating passes over the rows and
the columns, each of which solves ``(I + reach^2 * L) x = b`` exactly, with ``L`` the Laplacian of
the line and its links weakened across image edges. One pass costs O(pixels) whatever the reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

# Gray levels (summed over three channels) of camera noise: in a black or flat image the contrast
# tends to zero, and without this floor noise would be taken for edges.
NOISE_CONTRAST = 10.0

_Real = TypeVar('_Real', bound=np.floating)


@dataclass(frozen=True)
class EdgeAwareSmoother:
    """Separable edge-aware smoother of stacks of one image size.

    Attributes
    ----------
    along_x : NDArray[np.float32]
        Links between horizontal neighbors, (W - 1, H).
    along_y : NDArray[np.float32]
        Links between vertical neighbors, (H - 1, W).
    """

    along_x: NDArray[np.float32]
    along_y: NDArray[np.float32]

    def smooth(
        self, stack: NDArray[_Real], reach: tuple[float, float], rounds: int
    ) -> NDArray[_Real]:
        """Smooth every channel of a stack.

        Parameters
        ----------
        stack : NDArray[np.floating]
            (C, H, W); the kernel is the same in whatever precision it is.
        reach : tuple of float
            Length in pixels, along x and along y, over which a value decays by e where the image
            is flat.
        rounds : int
            Number of row and column passes; more lessen the streaks of a separable filter.

        Returns
        -------
        NDArray[np.floating]
            (C, H, W) of the same type. Non-negative input gives non-negative output, and the sum
            is kept.
        """
        channels, height, width = stack.shape
        rows = stack.swapaxes(0, 1).reshape(height, channels * width)
        for share in _round_shares(rounds):
            columns = _turned(rows, channels)
            _solve_lines(columns, self.along_x, share * reach[0] ** 2)
            rows = _turned(columns, channels)
            _solve_lines(rows, self.along_y, share * reach[1] ** 2)
        return rows.reshape(height, channels, width).swapaxes(0, 1)


def make_smoother(image: NDArray[np.uint8]) -> EdgeAwareSmoother:
    """Build the smoother which respects the edges of an image.

    A link is ``exp(-difference / contrast)``; the contrast is the mean difference of neighbors
    in this image, so that the result does not depend on exposure or on the amount of texture.

    Parameters
    ----------
    image : NDArray[np.uint8]
        (H, W, 3) RGB.

    Returns
    -------
    EdgeAwareSmoother
        Smoother for stacks of shape (C, H, W).
    """
    across_x = _differences(image[:, 1:], image[:, :-1])
    across_y = _differences(image[1:], image[:-1])
    count = max(across_x.size + across_y.size, 1)
    contrast = NOISE_CONTRAST + float(across_x.sum() + across_y.sum()) / count
    return EdgeAwareSmoother(_links(across_x.T, contrast), _links(across_y, contrast))


def _differences(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how far two images are apart in all three channels together, (H, W)."""
    apart = np.maximum(image, other) - np.minimum(image, other)
    total = apart[..., 0].astype(np.float32)
    total += apart[..., 1]
    total += apart[..., 2]
    return total


def _links(differences: NDArray[np.float32], contrast: float) -> NDArray[np.float32]:
    """Return how firmly neighbors hold together, in the memory order of the loop over them."""
    return np.exp(np.ascontiguousarray(differences) * np.float32(-1.0 / contrast))


def _round_shares(rounds: int) -> list[float]:
    """Split the squared reach over the rounds; each has a quarter of the one before."""
    return [1.5 * 4.0 ** (rounds - i) / (4.0**rounds - 1.0) for i in range(1, rounds + 1)]


def _turned(lines: NDArray[_Real], channels: int) -> NDArray[_Real]:
    """Turn lines into the lines across them, (n, C * m) into (m, C * n)."""
    length, across = lines.shape[0], lines.shape[1] // channels
    turned = np.empty((across, channels * length), lines.dtype)
    for c in range(channels):
        part = lines[:, c * across : (c + 1) * across]
        turned[:, c * length : (c + 1) * length] = cv2.transpose(part).reshape(across, length)
    return turned


def _solve_lines(lines: NDArray[np.floating], links: NDArray[np.float32], strength: float) -> None:
    """Smooth lines in place, all of them and all channels one place at a time.

    A library's solver of tridiagonal systems goes along one line of one channel after the other,
    each place waiting for the one before; this takes a third of its time.

    Parameters
    ----------
    lines : NDArray[np.floating]
        (n, C * m), place by place along m lines of C channels.
    links : NDArray[np.float32]
        (n - 1, m) from each place to the next.
    strength : float
        Squared reach.
    """
    channels = lines.shape[1] // links.shape[1]
    ratio, pivot = _eliminated(links, strength)
    ratio = np.tile(ratio.astype(lines.dtype, copy=False), channels)
    term = np.empty(lines.shape[1], lines.dtype)
    for factor, here, there in zip(ratio, lines, lines[1:], strict=False):
        there += np.multiply(factor, here, out=term)
    by_channel = lines.reshape(len(lines), channels, -1)
    by_channel /= pivot[:, None]
    for factor, here, there in zip(ratio[::-1], lines[::-1], lines[-2::-1], strict=False):
        there += np.multiply(factor, here, out=term)


def _eliminated(
    links: NDArray[np.float32], strength: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors (n - 1, m) and the pivots (n, m) of Gaussian elimination along lines."""
    coupling = links * np.float32(strength)
    pivot = np.ones((links.shape[0] + 1, links.shape[1]), np.float32)
    pivot[:-1] += coupling
    pivot[1:] += coupling
    loss = coupling * coupling
    for squared, here, there in zip(loss, pivot, pivot[1:], strict=False):
        there -= np.divide(squared, here, out=squared)
    return coupling / pivot[:-1], pivot
