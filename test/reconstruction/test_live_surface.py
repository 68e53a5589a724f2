# SPDX-License-Identifier: Apache-2.0
"""A surface that grows while a robot drives."""

import subprocess
import sys

import numpy as np
import pytest

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.types import DepthEstimate, Frame

open3d = pytest.importorskip('open3d', exc_type=ImportError)

from metric_depth_ros.reconstruction.live_surface import LiveSurface  # noqa: E402
from metric_depth_ros.reconstruction.posed_frame import PosedFrame  # noqa: E402
from metric_depth_ros.reconstruction.volume import VolumeSettings  # noqa: E402

CAMERA = CameraModel.pinhole(40, 30, 37.5, 37.5, 19.5, 14.5)
IMAGE = np.full((30, 40, 3), 90, np.uint8)
SETTINGS = VolumeSettings(voxel_m=0.05, max_depth_m=2.5, window_m=4.0, device='cpu')
MEGABYTE = 1_000_000


def drive(live, meters, step=0.5, confidence=None, each=lambda live: None):
    """Drive along a wall, looking at it from 2 m."""
    for x in np.arange(0.0, meters, step):
        T = np.eye(4)
        T[0, 3] = x
        depth = np.full((30, 40), 1.99, np.float32)
        posed = PosedFrame(Frame(0, 'camera', IMAGE, CAMERA), T)
        live.integrate(posed, DepthEstimate(depth, confidence, CAMERA), 0.1)
        each(live)


def vertices(path):
    return np.asarray(open3d.io.read_point_cloud(str(path)).points)


def test_memory_is_that_of_the_window_however_far_it_drives():
    counts = []
    live = LiveSurface(SETTINGS)
    drive(live, 150.0, each=lambda live: counts.append(live.blocks))
    endless = LiveSurface(VolumeSettings(voxel_m=0.05, max_depth_m=2.5, device='cpu'))
    drive(endless, 30.0)
    assert live.frames == 300
    assert max(counts[60:]) <= max(counts[:60]) < 0.5 * endless.blocks


def test_what_the_window_has_left_is_in_the_file_once(tmp_path):
    live = LiveSurface(SETTINGS, tmp_path, 100 * MEGABYTE)
    drive(live, 30.0)
    assert live.finished_bytes > 0
    count = live.write(tmp_path / 'mesh.ply', tmp_path / 'cloud.ply')
    found = vertices(tmp_path / 'cloud.ply')
    assert len(found) == count
    for x in range(30):
        near = found[np.abs(found[:, 0] - x) < 0.2]
        assert len(near) > 10
        assert np.abs(near[:, 2] - 1.99).max() < 0.01
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / 'mesh.ply'))
    assert np.asarray(mesh.triangles).max() < count
    assert live.write(tmp_path / 'mesh.ply', tmp_path / 'cloud.ply') == count


def test_without_room_on_the_disk_the_window_alone_is_written(tmp_path):
    live = LiveSurface(SETTINGS, tmp_path, 0)
    drive(live, 30.0)
    live.write(tmp_path / 'mesh.ply', tmp_path / 'cloud.ply')
    assert vertices(tmp_path / 'cloud.ply')[:, 0].min() > 20.0
    assert not live.is_full


def test_a_full_disk_share_is_told(tmp_path):
    live = LiveSurface(SETTINGS, tmp_path, 50_000)
    drive(live, 30.0)
    assert live.is_full
    assert live.finished_bytes <= 50_000


def test_what_nobody_is_sure_of_makes_no_surface():
    live = LiveSurface(SETTINGS)
    drive(live, 2.0, confidence=np.full((30, 40), 0.05, np.float32))
    assert live.blocks == 0


def test_a_restart_forgets_everything(tmp_path):
    live = LiveSurface(SETTINGS, tmp_path, MEGABYTE)
    drive(live, 10.0)
    live.restart()
    assert (live.blocks, live.frames, live.finished_bytes) == (0, 0, 0)


def test_a_closed_surface_lets_its_process_end_well():
    """Open3D ends a process with an error where it still holds memory."""
    script = (
        'import ctypes\n'
        'from metric_depth_ros.reconstruction.live_surface import LiveSurface\n'
        'from metric_depth_ros.reconstruction.volume import VolumeSettings\n'
        'live = LiveSurface(VolumeSettings(device="cpu"))\n'
        'ctypes.pythonapi.Py_IncRef(ctypes.py_object(live))  # something never lets go of it\n'
        'live.close()\n'
    )
    ended = subprocess.run([sys.executable, '-c', script], timeout=120, check=False)
    assert ended.returncode == 0
