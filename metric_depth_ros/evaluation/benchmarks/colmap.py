# SPDX-License-Identifier: Apache-2.0
"""Models of COLMAP as text: cameras, poses, and the points that each image sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from metric_depth_ros.errors import InputError
from metric_depth_ros.types import Source, SparsePrompt
from metric_depth_ros.untrusted_files import read_text

_ONE_FOCAL = ('SIMPLE_PINHOLE', 'SIMPLE_RADIAL', 'RADIAL', 'SIMPLE_RADIAL_FISHEYE')
_RELATIVE_SIGMA = 0.01


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """What an image of a model sees.

    Parameters
    ----------
    K
        fx, fy, cx, cy in pixels, pixel centers at integer coordinates.
    points
        Its keypoints that have a 3-D point in front of it.
    """

    K: tuple[float, float, float, float]
    points: SparsePrompt


@dataclass(frozen=True, eq=False)
class Scene:
    """A model: lines of its files, by what they are about."""

    folder: Path
    cameras: dict[str, list[str]]
    images: dict[str, tuple[list[str], list[str]]]
    points: dict[int, tuple[float, ...]]

    def view(self, name: str) -> SeenPoints:
        """Return what the image of a file name sees.

        Raises
        ------
        InputError
            The model has no such image, or says something else than numbers about it.
        """
        if name not in self.images:
            raise self._fault('images.txt', f'has no image {name}')
        pose, keypoints = self.images[name]
        try:
            rotation = Rotation.from_quat(np.array(pose[2:5] + pose[1:2], np.float64))
            translation = np.array(pose[5:8], np.float64)
            K = _intrinsics(self.cameras[pose[8]])
            table = np.array(keypoints, np.float64).reshape(-1, 3)
        except (ValueError, KeyError, IndexError) as error:
            raise self._fault('images.txt', f'cannot be read at {name} ({error})') from error
        seen = [(u, v, self.points[int(i)]) for u, v, i in table if int(i) in self.points]
        if not seen:
            return SeenPoints(K, SparsePrompt.empty())
        uv = np.array([row[:2] for row in seen], np.float32) - np.float32(0.5)
        xyz = np.array([row[2] for row in seen])
        return SeenPoints(K, _prompt(uv, (rotation.apply(xyz) + translation)[:, 2]))

    def _fault(self, name: str, problem: str) -> InputError:
        return InputError('benchmark_layout', f'{self.folder / name} {problem}.')


def read_scene(folder: Path) -> Scene:
    """Read ``cameras.txt``, ``images.txt`` and ``points3D.txt``.

    Raises
    ------
    InputError
        A file that is not there or is something else.
    """
    cameras = {line[0]: line for line in _lines(folder / 'cameras.txt')}
    lines = _lines(folder / 'images.txt', keep_empty=True)
    images = {
        pose[9]: (pose, keypoints)
        for pose, keypoints in zip(lines[::2], lines[1::2], strict=False)
        if len(pose) > 9
    }
    try:
        points = {
            int(line[0]): tuple(float(v) for v in line[1:4])
            for line in _lines(folder / 'points3D.txt')
        }
    except (ValueError, IndexError) as error:
        raise InputError(
            'benchmark_layout', f'{folder / "points3D.txt"} cannot be read: {error}.'
        ) from error
    return Scene(folder, cameras, {Path(k).name: v for k, v in images.items()}, points)


def _lines(path: Path, keep_empty: bool = False) -> list[list[str]]:
    text = read_text(path, 'benchmark_layout')
    rows = [line.split() for line in text.splitlines() if not line.startswith('#')]
    return rows if keep_empty else [row for row in rows if row]


def _intrinsics(line: list[str]) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy; COLMAP has the corner of the first pixel at 0."""
    numbers = [float(v) for v in line[4:]]
    if line[1] in _ONE_FOCAL:
        numbers.insert(1, numbers[0])
    fx, fy, cx, cy = numbers[:4]
    return fx, fy, cx - 0.5, cy - 0.5


def _prompt(uv: NDArray[np.float32], z: NDArray[np.float64]) -> SparsePrompt:
    front = z > 0.0
    depth = z[front].astype(np.float32)
    return SparsePrompt(
        uv[front],
        depth,
        np.float32(_RELATIVE_SIGMA) * depth,
        np.full(len(depth), Source.UNKNOWN, np.uint8),
    )
