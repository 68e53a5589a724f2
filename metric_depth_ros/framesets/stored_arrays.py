# SPDX-License-Identifier: Apache-2.0
"""Pixels, depth and points of files that anybody may have written.

Knows no frame sets: whoever reads such files reads them here. Imports `errors` and
`untrusted_files` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.untrusted_files import DAMAGED_ARRAY, check_array_claims, read_picture

_NUMBERS = 'fiu'  # kinds of dtypes
_POINT_NUMBERS = ('intensity', 'ring', 'rcs', 'velocity')


def load_color_image(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit color image file as (H, W, 3) uint8 RGB, the pixels as the camera has them."""
    bgr = read_picture(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def load_depth_map(path: Path, scale: float) -> NDArray[np.float32]:
    """Read a 16-bit PNG as (H, W) float32 meters: value * scale, 0 becomes NaN (unknown)."""
    values = read_png(path)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise InputError(
            'depth_file',
            f'{path} is {size_text(values)} {values.dtype}, expected a 16-bit PNG with one '
            'channel.',
        )
    depth = values.astype(np.float32) * np.float32(scale)
    depth[values == 0] = np.nan
    return depth


def load_points(path: Path) -> dict[str, NDArray[Any]]:
    """Read an ``.npz`` of points: ``xyz`` (N, 3) and per-point arrays of the same length."""
    arrays = load_arrays(path, 'xyz')
    xyz = arrays['xyz']
    if xyz.ndim != 2 or xyz.shape[1] != 3 or not np.issubdtype(xyz.dtype, np.floating):
        raise InputError(
            'points_file', f'{path}: xyz is {xyz.shape} {xyz.dtype}, expected floats (N, 3).'
        )
    for name, values in arrays.items():
        if values.shape[:1] != xyz.shape[:1]:
            raise InputError(
                'points_file',
                f'{path}: {name} has shape {values.shape}, but there are {len(xyz)} points.',
            )
        if name in _POINT_NUMBERS and (values.ndim != 1 or values.dtype.kind not in _NUMBERS):
            raise InputError(
                'points_file',
                f'{path}: {name} is {values.shape} {values.dtype}, expected one number a point.',
            )
    arrays['xyz'] = xyz.astype(np.float32, copy=False)
    return arrays


def plane_of_numbers(values: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Return an array of a file as float32; `path` names it in the error.

    Raises
    ------
    InputError
        Not two-dimensional, or no numbers.
    """
    if values.ndim != 2 or values.dtype.kind not in _NUMBERS:
        raise InputError(
            'array_file',
            f'{path}: found {values.shape} {values.dtype}, expected numbers: (H, W) depth or '
            '(N, 3) points.',
        )
    return values.astype(np.float32)


def load_array(path: Path) -> NDArray[Any]:
    """Read the array of an ``.npy``; nothing that needs unpickling is accepted."""
    check_array_claims(path)
    try:
        array = np.load(path, allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array
        array.close()
        raise TypeError('it is an archive of arrays (.npz)')
    except (KeyError, *DAMAGED_ARRAY) as error:
        raise InputError(
            'array_file', f'{path} cannot be read as a NumPy array (.npy): {error}.'
        ) from error


def load_arrays(path: Path, required: str | None = None) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz``; nothing that needs unpickling is accepted."""
    check_array_claims(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (KeyError, *DAMAGED_ARRAY) as error:
        raise InputError(
            'array_file', f'{path} cannot be read as a NumPy archive (.npz): {error}.'
        ) from error
    if required is not None and required not in arrays:
        raise InputError(
            'array_file',
            f'{path} has no array {required!r}: it has {", ".join(arrays) or "none"}.',
        )
    return arrays


def read_png(path: Path) -> NDArray[Any]:
    """Read a picture as it is stored: its channels, its depth of color."""
    return read_picture(path, cv2.IMREAD_UNCHANGED)


def size_text(array: NDArray[Any]) -> str:
    """Return the size of an image (H, W, ...) as an error names it, width first."""
    return 'x'.join(map(str, (*array.shape[1::-1], *array.shape[2:])))
