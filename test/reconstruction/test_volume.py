# SPDX-License-Identifier: Apache-2.0
"""Fusion of depth images into a surface."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.unprojection import depth_to_points

o3d = pytest.importorskip('open3d', exc_type=ImportError)

from metric_depth_ros.reconstruction.surface import SurfaceWriter  # noqa: E402
from metric_depth_ros.reconstruction.volume import Volume, VolumeSettings  # noqa: E402

CAMERA = CameraModel.pinhole(80, 60, 75.0, 75.0, 39.5, 29.5)
IMAGE = np.full((60, 80, 3), (200, 100, 50), np.uint8)


def wall(meters):
    return np.full((60, 80), meters, np.float32)


def place(x=0.0):
    T = np.eye(4)
    T[0, 3] = x
    return T


def volume(**settings):
    return Volume(VolumeSettings(device='cpu', **settings))


def test_a_wall_is_found_where_it_is_in_its_color():
    fused = volume()
    fused.integrate(wall(1.99), IMAGE, CAMERA, place())
    surface = fused.surface()
    assert len(surface.triangles) > 1000
    np.testing.assert_allclose(surface.vertices[:, 2], 1.99, atol=1e-3)
    assert (np.abs(surface.colors.astype(int) - (200, 100, 50)) <= 1).all()


def test_with_even_weights_it_agrees_with_the_integration_of_open3d(rng):
    depth = (2.0 + 0.1 * np.sin(np.arange(80) / 9.0) + np.zeros((60, 1))).astype(np.float32)
    fused = volume()
    fused.integrate(depth, IMAGE, CAMERA, place())
    ours = fused.surface().vertices
    core = o3d.core
    grid = o3d.t.geometry.VoxelBlockGrid(
        ('tsdf', 'weight', 'color'), (core.float32,) * 3, ((1), (1), (3)), 0.02, 8, 4096
    )
    image = o3d.t.geometry.Image(core.Tensor(depth))
    K, T = core.Tensor(CAMERA.K.copy()), core.Tensor(np.eye(4))
    blocks = grid.compute_unique_block_coordinates(image, K, T, 1.0, 10.0, 4.0)
    grid.integrate(blocks, image, K, T, 1.0, 10.0, 4.0)
    theirs = grid.extract_point_cloud(0.5).point.positions.numpy()
    away = (
        o3d.t.geometry.PointCloud(core.Tensor(ours))
        .to_legacy()
        .compute_point_cloud_distance(o3d.t.geometry.PointCloud(core.Tensor(theirs)).to_legacy())
    )
    # A voxel is 20 mm, and open3d cuts off the fraction of a pixel where ours rounds.
    assert np.median(away) < 0.004
    assert np.percentile(away, 95) < 0.02


def test_a_confident_measurement_outweighs_a_doubtful_one():
    fused = volume()
    fused.integrate(wall(2.0), IMAGE, CAMERA, place(), np.full((60, 80), 0.9, np.float32))
    fused.integrate(wall(2.04), IMAGE, CAMERA, place(), np.full((60, 80), 0.1, np.float32))
    assert np.median(fused.surface().vertices[:, 2]) == pytest.approx(2.004, abs=2e-3)


@pytest.mark.parametrize('depth', [wall(np.nan), wall(np.inf), wall(50.0), wall(0.0)])
def test_depth_that_is_unknown_or_too_far_adds_nothing(depth):
    fused = volume()
    fused.integrate(depth, IMAGE, CAMERA, place())
    assert fused.blocks == 0
    assert not len(fused.surface().vertices)


@pytest.mark.parametrize('where', [np.s_[1::6], np.s_[1::6, 2::5], np.s_[31:32, 41:42]])
def test_what_is_measured_at_few_pixels_is_fused_wherever_they_lie(where):
    depth = np.zeros((60, 80), np.float32)
    depth[where] = wall(1.99)[where]
    fused = volume(voxel_m=0.01)
    fused.integrate(depth, IMAGE, CAMERA, place())
    away_m = cKDTree(fused.points()[0]).query(depth_to_points(CAMERA, depth)[depth > 0.0])[0]
    assert np.mean(away_m < 0.01) > 0.9


def test_depth_at_exactly_the_maximum_is_fused():
    fused = volume(max_depth_m=2.5)
    fused.integrate(wall(2.5), IMAGE, CAMERA, place())
    np.testing.assert_allclose(fused.surface().vertices[:, 2], 2.5, atol=1e-3)


def test_an_image_of_three_by_three_pixels_is_fused():
    fused = volume()
    camera = CameraModel.pinhole(3, 3, 75.0, 75.0, 1.0, 1.0)
    fused.integrate(wall(1.99)[:3, :3], IMAGE[:3, :3], camera, place())
    np.testing.assert_allclose(fused.points()[0][:, 2], 1.99, atol=1e-3)


def test_a_window_bounds_memory_and_loses_no_surface():
    windowed, endless = volume(max_depth_m=2.5, window_m=3.0), volume(max_depth_m=2.5)
    parts, most = [], 0
    for x in np.arange(0.0, 12.0, 0.75):
        for fused in (windowed, endless):
            fused.integrate(wall(1.99), IMAGE, CAMERA, place(x))
        part = windowed.release_far(place(x)[:3, 3])
        parts.append(part)
        most = max(most, windowed.blocks)
    parts.append(windowed.surface())
    assert most < 0.6 * endless.blocks
    assert sum(len(p.triangles) for p in parts) == len(endless.surface().triangles)


def test_a_freed_block_leaves_no_trace_where_its_memory_is_used_again():
    fused = volume(max_depth_m=2.5, window_m=3.0)
    fused.integrate(wall(1.9), IMAGE, CAMERA, place())
    fused.release_far(place(50.0)[:3, 3])
    assert fused.blocks == 0
    fused.integrate(wall(2.11), IMAGE, CAMERA, place(50.0))
    np.testing.assert_allclose(fused.surface().vertices[:, 2], 2.11, atol=1e-3)


def test_a_distorting_lens_is_undone():
    from metric_depth_ros.geometry.distortion import Distortion

    bent = CameraModel(80, 60, CAMERA.K, Distortion('plumb_bob', (-0.2, 0.0, 0.0, 0.0, 0.0)))
    fused = volume()
    fused.integrate(wall(1.99), IMAGE, bent, place())
    np.testing.assert_allclose(fused.surface().vertices[:, 2], 1.99, atol=1e-3)


@pytest.mark.parametrize(
    'wrong',
    [
        {'voxel_m': 0.0},
        {'voxel_m': float('inf')},
        {'window_m': 1.0},
        {'max_depth_m': -1.0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        VolumeSettings(**wrong)


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match='tpu'):
        Volume(VolumeSettings(device='tpu'))


def test_pieces_are_written_as_one_mesh(tmp_path):
    fused = volume()
    fused.integrate(wall(1.99), IMAGE, CAMERA, place())
    surface = fused.surface()
    with SurfaceWriter(tmp_path / 'mesh.ply') as mesh:
        mesh.add(surface)
        mesh.add(surface)
    read = o3d.io.read_triangle_mesh(str(tmp_path / 'mesh.ply'))
    assert len(read.vertices) == 2 * len(surface.vertices)
    np.testing.assert_array_equal(
        np.asarray(read.triangles)[len(surface.triangles) :],
        surface.triangles + len(surface.vertices),
    )


def test_points_are_the_vertices_of_the_mesh_in_its_colors():
    fused = volume()
    depth = (2.0 + 0.1 * np.sin(np.arange(80) / 9.0) + np.zeros((60, 1))).astype(np.float32)
    fused.integrate(depth, IMAGE, CAMERA, place())
    points, colors = fused.points()
    mesh = fused.surface().vertices
    assert len(mesh) > 1000
    assert cKDTree(points).query(mesh)[0].max() < 1e-4
    assert len(points) < 1.2 * len(mesh)
    assert (np.abs(colors.astype(int) - (200, 100, 50)) <= 1).all()


def test_changed_points_are_those_of_what_was_fused_since():
    fused = volume(max_depth_m=2.5)
    fused.integrate(wall(1.99), IMAGE, CAMERA, place())
    first, _ = fused.changed_points()
    assert len(first) == len(fused.points()[0])
    assert not len(fused.changed_points()[0])
    fused.integrate(wall(1.99), IMAGE, CAMERA, place(20.0))
    second, _ = fused.changed_points()
    assert second[:, 0].min() > 15.0
    assert len(fused.points()[0]) == len(first) + len(second)


def test_points_of_blocks_that_are_gone_are_not_asked_for():
    fused = volume(max_depth_m=2.5, window_m=3.0)
    fused.integrate(wall(1.99), IMAGE, CAMERA, place())
    fused.release_far(place(50.0)[:3, 3])
    assert not len(fused.changed_points()[0])


@pytest.mark.parametrize('at', [(0.0, 5.4e6, 300.0), (np.nan, 0.0, 0.0)])
def test_a_camera_too_far_for_its_voxels_is_refused_with_the_remedy(at):
    far = place()
    far[:3, 3] = at
    with pytest.raises(InputError, match='such as odom') as caught:
        volume().integrate(wall(2.0), IMAGE, CAMERA, far)
    assert caught.value.fault == 'pose_far'


def test_a_camera_kilometers_away_sees_all_of_a_wall():
    near, far = volume(), volume()
    near.integrate(wall(1.99), IMAGE, CAMERA, place())
    far.integrate(wall(1.99), IMAGE, CAMERA, place(20_000.0))
    assert len(far.surface().vertices) > 0.99 * len(near.surface().vertices)


def test_a_mesh_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    def full(source, out):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('metric_depth_ros.reconstruction.surface.shutil.copyfileobj', full)
    with (
        pytest.raises(InputError, match=r'mesh\.ply cannot be written: No space'),
        SurfaceWriter(tmp_path / 'mesh.ply'),
    ):
        pass
    assert not list(tmp_path.iterdir())
