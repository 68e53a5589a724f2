# SPDX-License-Identifier: Apache-2.0
"""Pieces of a surface on a disk that is full for a while: what was gathered stays as it was."""

import errno
import io

import numpy as np
import pytest

from metric_depth_ros.reconstruction import surface
from metric_depth_ros.reconstruction.surface import Surface, SurfacePieces

COUNT = 5000
VERTEX, FACE = 15, 13  # bytes


class Disk:
    """Makes temporary files, and refuses what it has no room for."""

    def __init__(self, folder):
        self.room = 10**9
        self._folder = folder
        self._files = []

    def used(self):
        return sum(file.stat().st_size for file in self._files)

    def temporary_file(self, **given):
        assert given['buffering'] == 0  # or what a full disk refused would come back
        self._files.append(self._folder / f'gathered{len(self._files)}')
        disk = self

        class File(io.FileIO):
            def write(self, data):
                room = disk.room - disk.used()
                if room <= 0:
                    raise OSError(errno.ENOSPC, 'No space left on device')
                return super().write(bytes(data)[:room])

        return File(self._files[-1], 'w+')


@pytest.fixture
def disk(tmp_path, monkeypatch):
    made = Disk(tmp_path)
    monkeypatch.setattr(surface.tempfile, 'TemporaryFile', made.temporary_file)
    return made


@pytest.fixture
def pieces(disk):
    made = SurfacePieces()
    yield made
    made.close()


def piece(x, count=COUNT):
    rows = np.arange(count, dtype=np.int32)
    return Surface(
        np.full((count, 3), x, np.float32),
        np.zeros((count, 3), np.uint8),
        np.stack((rows, rows, rows), axis=1),
    )


def written(pieces, path):
    """Write all pieces; return x of the vertices, and the first corner of the faces."""
    count = pieces.write(path)
    body = path.read_bytes().partition(b'end_header\n')[2]
    assert len(body) == count * (VERTEX + FACE)
    vertices = np.frombuffer(body[: count * VERTEX], [('xyz', '<f4', 3), ('rgb', 'u1', 3)])
    faces = np.frombuffer(body[count * VERTEX :], [('count', 'u1'), ('corners', '<i4', 3)])
    return vertices['xyz'][:, 0], faces['corners'][:, 0]


def assert_whole(pieces, path, *xs):
    found, corners = written(pieces, path)
    np.testing.assert_array_equal(found, np.repeat(np.array(xs, np.float32), COUNT))
    np.testing.assert_array_equal(corners, np.arange(len(xs) * COUNT))


def test_a_file_that_could_not_be_written_costs_no_piece_of_the_next(
    pieces, tmp_path, monkeypatch
):
    def fill_up(source, out):
        source.read(1000)
        raise OSError(errno.ENOSPC, 'No space left on device')

    pieces.add(piece(1.0))
    with monkeypatch.context() as full:
        full.setattr(surface.shutil, 'copyfileobj', fill_up)
        with pytest.raises(OSError, match='No space'):
            pieces.write(tmp_path / 'mesh.ply')
    pieces.add(piece(2.0))
    assert_whole(pieces, tmp_path / 'mesh.ply', 1.0, 2.0)


@pytest.mark.parametrize(
    'room', [COUNT * VERTEX - 1, COUNT * (VERTEX + 1)], ids=['not-the-vertices', 'not-the-faces']
)
def test_a_piece_without_room_is_left_out_and_those_around_it_are_whole(
    pieces, disk, tmp_path, room
):
    pieces.add(piece(1.0))
    before = pieces.byte_count
    disk.room = before + room
    with pytest.raises(OSError, match='No space'):
        pieces.add(piece(2.0))
    disk.room = 10**9
    assert pieces.byte_count == before == disk.used()
    assert_whole(pieces, tmp_path / 'mesh.ply', 1.0)
    pieces.add(piece(3.0))
    assert_whole(pieces, tmp_path / 'mesh.ply', 1.0, 3.0)


def test_a_disk_that_takes_a_part_at_a_time_gets_all(pieces, monkeypatch, tmp_path):
    write_all = io.FileIO.write
    monkeypatch.setattr(
        type(pieces._vertices), 'write', lambda self, data: write_all(self, bytes(data)[:999])
    )
    pieces.add(piece(1.0))
    assert_whole(pieces, tmp_path / 'mesh.ply', 1.0)


def test_pieces_beyond_the_share_of_the_disk_are_left_out(disk, tmp_path):
    pieces = SurfacePieces(max_bytes=COUNT * (VERTEX + FACE))
    pieces.add(piece(1.0))
    assert not pieces.full
    pieces.add(piece(2.0))
    assert pieces.full
    assert_whole(pieces, tmp_path / 'mesh.ply', 1.0)
    pieces.close()
