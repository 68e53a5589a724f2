# SPDX-License-Identifier: Apache-2.0
"""Folders of data sets: what is missing or unlike what it should be is named, the first of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.stored_arrays import load_color_image
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.types import CameraModel
from metric_depth_ros.untrusted_files import read_picture, read_text


@dataclass(frozen=True)
class Folder:
    """The folder that a benchmark was given.

    Parameters
    ----------
    path
        The folder.
    benchmark
        Name of the benchmark, for refusals.
    """

    path: Path
    benchmark: str

    def fault(self, path: Path, problem: str) -> InputError:
        """Return the refusal of a file."""
        return InputError(
            'benchmark_layout',
            f'{path} {problem}. `metric-depth benchmark {self.benchmark} --layout` prints the '
            'layout.',
        )

    def files(self, *patterns: str) -> list[Path]:
        """Return the files that match any of some patterns, sorted.

        Raises
        ------
        InputError
            There is none.
        """
        found = sorted({p for pattern in patterns for p in self.path.glob(pattern) if p.is_file()})
        if not found:
            raise self.fault(self.path / patterns[0], 'matches no file')
        return found

    def required(self, paths: Iterable[Path]) -> None:
        """Refuse the first of some files that does not exist."""
        for path in paths:
            if not path.is_file():
                raise self.fault(path, 'does not exist')

    def image(self, path: Path) -> NDArray[np.uint8]:
        """Read a color image as (H, W, 3) uint8 RGB."""
        return load_color_image(path)

    def picture_size(self, path: Path) -> tuple[int, int]:
        """Return (width, height) of a picture by its header."""
        from PIL import Image

        self.required([path])
        try:
            with Image.open(path) as picture:
                return picture.size
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise self.fault(path, f'is no picture ({error})') from error

    def values(self, path: Path, dtype: type, shape: tuple[int, int]) -> NDArray[Any]:
        """Read a PNG with one channel of a type and size."""
        picture = self.plane(path, dtype)
        self.same_size(path, picture, shape)
        return picture

    def plane(self, path: Path, dtype: type) -> NDArray[Any]:
        """Read a PNG with one channel of a type, of any size."""
        picture = read_picture(path, cv2.IMREAD_UNCHANGED)
        if picture.dtype != dtype or picture.ndim != 2:
            raise self.fault(
                path,
                f'is {picture.dtype} with {1 if picture.ndim == 2 else picture.shape[2]} '
                f'channels, expected {np.dtype(dtype)} with one',
            )
        return picture

    def mask(self, path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Read a picture as (H, W) bool: True where any channel is above 0."""
        picture = read_picture(path, cv2.IMREAD_UNCHANGED)
        self.same_size(path, picture, shape)
        return (picture if picture.ndim == 2 else picture[..., :3].max(axis=2)) > 0

    def same_size(self, path: Path, array: NDArray[Any], shape: tuple[int, int]) -> None:
        """Refuse a map of another size than its image (H, W)."""
        if array.shape[:2] != shape:
            raise self.fault(
                path,
                f'is {array.shape[1]}x{array.shape[0]}, its image {shape[1]}x{shape[0]}',
            )

    def numbers(self, path: Path, count: int) -> list[float]:
        """Read at least so many numbers from a text, parted by blanks or commas."""
        try:
            numbers = [
                float(v) for v in read_text(path, 'benchmark_layout').replace(',', ' ').split()
            ]
        except ValueError as error:
            raise self.fault(path, f'holds something else than numbers ({error})') from error
        if len(numbers) < count:
            raise self.fault(path, f'holds {len(numbers)} numbers, expected {count}')
        return numbers

    def camera(self, path: Path, shape: tuple[int, int], K: Sequence[float]) -> CameraModel:
        """Return a pinhole from fx, fy, cx, cy that a file gave."""
        fx, fy, cx, cy = K
        if not (fx > 0.0 and fy > 0.0 and np.isfinite(K).all()):
            raise self.fault(path, f'gives fx={fx:g}, fy={fy:g}, expected positive focal lengths')
        matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        return CameraModel(shape[1], shape[0], matrix, Distortion())


def within(depth: NDArray[np.float32], near_m: float, far_m: float) -> NDArray[np.float32]:
    """Return the depth strictly between two bounds, NaN elsewhere."""
    with np.errstate(invalid='ignore'):
        counts = np.isfinite(depth) & (depth > near_m) & (depth < far_m)
    return np.where(counts, depth, np.float32(np.nan)).astype(np.float32, copy=False)


def cropped(
    depth: NDArray[np.float32], rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the depth inside of a crop, NaN around it."""
    kept = np.full_like(depth, np.nan)
    inside = (slice(*rows), slice(*columns))
    kept[inside] = depth[inside]
    return kept
