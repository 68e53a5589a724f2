# SPDX-License-Identifier: Apache-2.0
"""Low-resolution depth maps (phone LiDAR, time of flight) to prompts on the full image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.prompting.depth_image import nearest_m
from metric_depth_ros.types import Source, SparsePrompt


def prompt_from_low_resolution(
    width: int,
    height: int,
    depth: NDArray[np.float32],
    *,
    sigma_rel: float = 0.02,
    min_depth_m: float = 0.05,
    max_depth_m: float = 250.0,
) -> SparsePrompt:
    """Put every cell of a small depth map at the center of the image area that it covers.

    Parameters
    ----------
    width, height
        Size of the color image in pixels; both maps share one field of view.
    depth
        (h, w) meters along the optical Z axis, not larger than the image; not finite = hole.
    sigma_rel
        One standard deviation relative to depth: a cell averages over its whole area.
    min_depth_m, max_depth_m
        Depth range that counts as measured.

    Returns
    -------
    SparsePrompt
        One point a valid cell, at ((column + 1/2) W / w - 1/2, (row + 1/2) H / h - 1/2).

    Raises
    ------
    InputError
        A map larger than the image.
    """
    rows, columns = depth.shape
    if columns > width or rows > height:
        raise InputError(
            'low_resolution_size',
            f'the low-resolution depth map is {columns}x{rows}, larger than the {width}x{height} '
            'image: a depth map of the image size is a registered depth image.',
        )
    with np.errstate(invalid='ignore'):
        valid = (depth >= nearest_m(min_depth_m)) & (depth <= max_depth_m)
    row, column = np.nonzero(valid)
    measured = depth[valid].astype(np.float32, copy=False)
    u = (column + 0.5) * (width / columns) - 0.5
    v = (row + 0.5) * (height / rows) - 0.5
    return SparsePrompt(
        np.stack((u, v), axis=-1).astype(np.float32),
        measured,
        np.float32(sigma_rel) * measured,
        np.full(len(measured), Source.LOW_RESOLUTION, np.uint8),
    )
