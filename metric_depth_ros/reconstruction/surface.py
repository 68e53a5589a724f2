# SPDX-License-Identifier: Apache-2.0
"""`Surface`: a colored triangle mesh, and its files, written piece by piece. NumPy only.

A long drive has more surface than memory, so a file grows as pieces are finished and its header,
which counts them, is written last.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

_VERTEX = np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)])
_FACE = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
_VERTEX_HEADER = (
    'property float x\nproperty float y\nproperty float z\n'
    'property uchar red\nproperty uchar green\nproperty uchar blue\n'
)
_FACE_HEADER = 'property list uchar int vertex_indices\n'


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh; its vertices are a cloud.

    Parameters
    ----------
    vertices
        (N, 3) float32 meters in the frame of the world.
    colors
        (N, 3) uint8 RGB.
    triangles
        (M, 3) int32 rows of `vertices`.
    """

    vertices: NDArray[np.float32]
    colors: NDArray[np.uint8]
    triangles: NDArray[np.int32]

    @staticmethod
    def empty() -> Surface:
        """Return a surface without a triangle."""
        return Surface(
            np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty((0, 3), np.int32)
        )

    def part(self, chosen: NDArray[np.bool_]) -> Surface:
        """Return the triangles that a (M,) mask names, with their own vertices only."""
        triangles = self.triangles[chosen]
        used = np.unique(triangles)
        row = np.zeros(len(self.vertices), np.int32)
        row[used] = np.arange(len(used), dtype=np.int32)
        return Surface(self.vertices[used], self.colors[used], row[triangles])


class SurfaceWriter:
    """Write surfaces into one binary PLY, mesh or cloud. A context manager.

    Parameters
    ----------
    path
        File to write; it appears when the writer is closed without an error.
    faces
        Whether to write triangles; without, the file is a cloud.
    """

    def __init__(self, path: Path, *, faces: bool = True) -> None:
        self._path = path
        self._faces = faces
        self._vertex_count = 0
        self._face_count = 0
        self._vertex_rows = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._face_rows = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> SurfaceWriter:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the file together, unless the work failed."""
        with self._vertex_rows, self._face_rows:
            if kind is None:
                self._assemble()

    def add(self, surface: Surface) -> None:
        """Append a piece."""
        rows = np.empty(len(surface.vertices), _VERTEX)
        rows['xyz'], rows['rgb'] = surface.vertices, surface.colors
        self._vertex_rows.write(rows.tobytes())
        if self._faces:
            faces = np.empty(len(surface.triangles), _FACE)
            faces['count'], faces['corners'] = 3, surface.triangles + self._vertex_count
            self._face_rows.write(faces.tobytes())
            self._face_count += len(faces)
        self._vertex_count += len(rows)

    def _assemble(self) -> None:
        header = f'ply\nformat binary_little_endian 1.0\nelement vertex {self._vertex_count}\n'
        header += _VERTEX_HEADER
        if self._faces:
            header += f'element face {self._face_count}\n{_FACE_HEADER}'
        with self._path.open('wb') as out:
            out.write(f'{header}end_header\n'.encode('ascii'))
            for rows in (self._vertex_rows, self._face_rows):
                rows.seek(0)
                shutil.copyfileobj(rows, out)
