# SPDX-License-Identifier: Apache-2.0
"""Edge-aware smoothing of image stacks by tridiagonal solves; may import NumPy and SciPy.

The smoother is the separable weighted-least-squares filter of Min et al., "Fast Global Image
Smoothing Based on Weighted Least Squares" (TIP 2014): a few alternating passes over the rows and
the columns, each of which solves ``(I + reach^2 * L) x = b`` exactly, with ``L`` the Laplacian of
the line and its links weakened across image edges. One pass costs O(pixels) whatever the reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import sptsv

# Gray levels (summed over three channels) of camera noise: in a black or flat image the contrast
# tends to zero, and without this floor noise would be taken for edges.
NOISE_CONTRAST = 10.0


@dataclass(frozen=True)
class EdgeAwareSmoother:
    """Separable edge-aware smoother of float32 stacks of one image size.

    Attributes
    ----------
    along_x : NDArray[np.float32]
        Links between horizontal neighbors, (H * W - 1,), row after row; 0 between two rows.
    along_y : NDArray[np.float32]
        Links between vertical neighbors, (W * H - 1,), column after column.
    """

    along_x: NDArray[np.float32]
    along_y: NDArray[np.float32]

    def smooth(
        self, stack: NDArray[np.float32], reach: tuple[float, float], rounds: int
    ) -> NDArray[np.float32]:
        """Smooth every channel of a stack.

        Parameters
        ----------
        stack : NDArray[np.float32]
            (C, H, W).
        reach : tuple of float
            Length in pixels, along x and along y, over which a value decays by e where the image
            is flat.
        rounds : int
            Number of row and column passes; more lessen the streaks of a separable filter.

        Returns
        -------
        NDArray[np.float32]
            (C, H, W). Non-negative input gives non-negative output, and the sum is kept.
        """
        for share in _round_shares(rounds):
            stack = _solve_lines(stack, self.along_x, share * reach[0] ** 2)
            stack = _solve_lines(stack.swapaxes(1, 2), self.along_y, share * reach[1] ** 2)
            stack = stack.swapaxes(1, 2)
        return stack


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
    values = image.astype(np.float32)
    across_x = np.abs(np.diff(values, axis=1)).sum(axis=2)
    across_y = np.abs(np.diff(values, axis=0)).sum(axis=2)
    count = max(across_x.size + across_y.size, 1)
    contrast = NOISE_CONTRAST + float(across_x.sum() + across_y.sum()) / count
    return EdgeAwareSmoother(_links(across_x, contrast), _links(across_y.T, contrast))


def _links(differences: NDArray[np.float32], contrast: float) -> NDArray[np.float32]:
    """Chain the links of all lines, (lines, length - 1), into one vector with 0 between lines."""
    lines, steps = differences.shape
    links = np.zeros((lines, steps + 1), np.float32)
    links[:, :-1] = np.exp(differences * np.float32(-1.0 / contrast))
    return links.ravel()[:-1]


def _round_shares(rounds: int) -> list[float]:
    """Split the squared reach over the rounds; each has a quarter of the one before."""
    return [1.5 * 4.0 ** (rounds - i) / (4.0**rounds - 1.0) for i in range(1, rounds + 1)]


def _solve_lines(
    stack: NDArray[np.float32], links: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    """Smooth a (C, lines, length) stack along its lines; all lines form one long system."""
    channels = stack.shape[0]
    coupling = links * np.float32(-strength)
    diagonal = np.ones(links.size + 1, np.float32)
    diagonal[:-1] -= coupling
    diagonal[1:] -= coupling
    if links.size == 0:
        return stack
    right = np.ascontiguousarray(stack).reshape(channels, -1)
    _, _, solution, _ = sptsv(
        diagonal, coupling, right.T, overwrite_d=1, overwrite_e=1, overwrite_b=0
    )
    return solution.T.reshape(stack.shape)
