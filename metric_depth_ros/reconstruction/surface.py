# SPDX-License-Identifier: Apache-2.0
"""`Surface`: a colored triangle mesh, and its files, written piece by piece. NumPy only.

A long drive has more surface than memory, so a file grows as pieces are finished and its header,
which counts them, is written last.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.whole_files import whole_file

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


class SurfacePieces:
    """Surfaces gathered on disk, to be written into one file as often as that is wanted.

    Parameters
    ----------
    folder
        Where they are gathered, unseen; None: where the system puts temporary files.
    max_bytes
        Pieces that would need more are left out, and `full` is true.
    """

    def __init__(self, folder: Path | None = None, max_bytes: float = math.inf) -> None:
        self.full = False
        self._max_bytes = max_bytes
        self._vertex_count = self._face_count = 0
        # Without a buffer: what a full disk has refused must not come back with a later piece.
        # `close` closes them.
        self._vertices = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115
        self._faces = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115

    @property
    def byte_count(self) -> int:
        """What the pieces take on disk."""
        return self._vertex_count * _VERTEX.itemsize + self._face_count * _FACE.itemsize

    def add(self, surface: Surface) -> None:
        """Append a piece.

        Raises
        ------
        OSError
            There is no room on the disk: the piece is left out, the others stay.
        """
        vertices, faces = _rows(surface, self._vertex_count)
        if self.byte_count + len(vertices) + len(faces) > self._max_bytes:
            self.full = True
            return
        with (
            _whole_or_not(self._vertices, self._vertex_count * _VERTEX.itemsize),
            _whole_or_not(self._faces, self._face_count * _FACE.itemsize),
        ):
            _write_all(self._vertices, vertices)
            _write_all(self._faces, faces)
        self._vertex_count += len(surface.vertices)
        self._face_count += len(surface.triangles)

    def write(self, path: Path, *, faces: bool = True, last: Surface | None = None) -> int:
        """Write all pieces into one binary PLY and return how many vertices it has.

        Parameters
        ----------
        path
            File; it is there whole or not at all.
        faces
            Whether to write triangles; without, the file is a cloud.
        last
            One more piece, which is not kept.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        last = Surface.empty() if last is None else last
        vertices, triangles = _rows(last, self._vertex_count)
        vertex_count = self._vertex_count + len(last.vertices)
        header = f'ply\nformat binary_little_endian 1.0\nelement vertex {vertex_count}\n'
        header += _VERTEX_HEADER
        if faces:
            header += f'element face {self._face_count + len(last.triangles)}\n{_FACE_HEADER}'
        with whole_file(path) as part, part.open('wb') as out:
            out.write(f'{header}end_header\n'.encode('ascii'))
            for gathered, rows in ((self._vertices, vertices), (self._faces, triangles)):
                if gathered is self._vertices or faces:
                    gathered.seek(0)
                    shutil.copyfileobj(gathered, out)
                    out.write(rows)
        return vertex_count

    def close(self) -> None:
        """Throw away what was gathered."""
        self._vertices.close()
        self._faces.close()


class SurfaceWriter:
    """Write surfaces into one binary PLY, mesh or cloud. A context manager.

    Parameters
    ----------
    path
        File to write; it appears when the writer is closed without an error.
    faces
        Whether to write triangles; without, the file is a cloud.

    Raises
    ------
    InputError
        ``output_unwritable``: the disk is full, or something is in the way.
    """

    def __init__(self, path: Path, *, faces: bool = True) -> None:
        self._path = path
        self._faces = faces
        with _writing(path):
            self._pieces = SurfacePieces()

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
        with _writing(self._path):
            try:
                if kind is None:
                    self._pieces.write(self._path, faces=self._faces)
            finally:
                self._pieces.close()

    def add(self, surface: Surface) -> None:
        """Append a piece."""
        with _writing(self._path):
            self._pieces.add(surface)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            'output_unwritable',
            f'{path} cannot be written: {error.strerror or error}. Free space there and in the '
            f'folder of temporary files {tempfile.gettempdir()}, or name another file.',
        ) from error


@contextmanager
def _whole_or_not(gathered: FileIO, end: int) -> Iterator[None]:
    """Append behind a number of bytes, or leave just those."""
    gathered.seek(end)  # reading has left it elsewhere
    try:
        yield
    except BaseException:
        gathered.truncate(end)
        raise


def _write_all(out: FileIO, data: bytes) -> None:
    """Write without a buffer: the system may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]


def _rows(surface: Surface, first_vertex: int) -> tuple[bytes, bytes]:
    """Return vertices and faces as they stand in a file that has vertices before them."""
    vertices = np.empty(len(surface.vertices), _VERTEX)
    vertices['xyz'], vertices['rgb'] = surface.vertices, surface.colors
    faces = np.empty(len(surface.triangles), _FACE)
    faces['count'], faces['corners'] = 3, surface.triangles + first_vertex
    return vertices.tobytes(), faces.tobytes()
