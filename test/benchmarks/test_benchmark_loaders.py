# SPDX-License-Identifier: Apache-2.0
"""Every loader reads its miniature layout to the values written there, and refuses a wrong one."""

from pathlib import Path

import benchmark_folders
import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.benchmarks.catalog import NAMES, benchmark


def opened(name: str, root: Path):
    return benchmark(name).open(getattr(benchmark_folders, name)(root))


@pytest.mark.parametrize('name', NAMES)
def test_an_empty_folder_is_refused_by_the_file_that_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f'{tmp_path}/.*--layout'):
        benchmark(name).open(tmp_path)


@pytest.mark.parametrize('name', NAMES)
def test_every_table_asks_for_tasks_that_exist(name: str) -> None:
    chosen = benchmark(name)
    tasks = {task.name for task in chosen.tasks}
    assert len(tasks) == len(chosen.tasks)
    for table in chosen.tables:
        assert {column.task for column in table.columns} <= tasks
        assert {len(values) for _, values in table.rows} <= {len(table.columns)}
    assert {c.task for table in chosen.tables for c in table.columns} == tasks


@pytest.mark.parametrize('name', NAMES)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    root = getattr(benchmark_folders, name)(tmp_path)
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        content = path.read_bytes()
        path.unlink()
        refusal = _refusal(name, root)
        path.write_bytes(content)
        if refusal is None:  # an image less: nothing tells that there was one
            assert path.suffix in ('.jpg', '.png', '.JPG')
        else:
            assert path.name in refusal or 'matches no file' in refusal


def _refusal(name: str, root: Path) -> str | None:
    try:
        benchmark(name).open(root)
    except InputError as error:
        return str(error)
    return None


def test_nyu_counts_depth_within_border_and_cap(tmp_path: Path) -> None:
    data = opened('nyu', tmp_path)
    item = data.load(1)
    assert data.ids == ['kitchen/rgb_00000', 'kitchen/rgb_00001']
    known = np.isfinite(item.depth)
    assert known.sum() == (471 - 45) * (601 - 41) - 1
    assert not known[100, 100]
    assert item.depth[240, 320] == 2.0
    assert item.camera.K[0, 0] == pytest.approx(518.857901)


def test_nyu_of_another_size_is_refused(tmp_path: Path) -> None:
    root = benchmark_folders.nyu(tmp_path)
    depth = root / 'kitchen' / 'sync_depth_00000.png'
    benchmark_folders.save_png(depth, np.ones((240, 320), np.uint16))
    with pytest.raises(InputError, match=r'sync_depth_00000.png is 320x240, its image 640x480'):
        benchmark('nyu').open(root).load(0)


def test_kitti_has_the_scan_and_the_intrinsics(tmp_path: Path) -> None:
    item = opened('kitti_dc', tmp_path).load(0)
    assert len(item.prompts['scan']) == 24 * 40
    assert set(np.unique(item.prompts['scan'].depth)) == {2.0, 4.0}
    assert item.camera.K.tolist() == [[90, 0, 80], [0, 90, 48], [0, 0, 1]]


def test_ibims_leaves_out_both_masks(tmp_path: Path) -> None:
    item = opened('ibims', tmp_path).load(0)
    assert np.isnan(item.depth[:10]).all()
    assert np.isnan(item.depth[:, :10]).all()
    np.testing.assert_allclose(item.depth[12, 12], 4.0, rtol=1e-4)
    assert item.camera.K[1, 1] == 112.0


def test_diode_applies_its_mask(tmp_path: Path) -> None:
    data = opened('diode', tmp_path)
    item = data.load(1)
    assert data.ids == ['indoors/scene_1/scan_1/view', 'outdoor/scene_1/scan_1/view']
    assert np.isfinite(item.depth).sum() == (768 - 20) * 1024


def test_eth3d_reads_raw_depth_and_the_keypoints_of_colmap(tmp_path: Path) -> None:
    data = opened('eth3d', tmp_path)
    item = data.load(0)
    assert data.ids == ['facade/DSC_1', 'office/DSC_1']
    assert np.isnan(item.depth[:16]).all()
    assert item.depth[128, 192] == 2.0
    points = item.prompts['keypoints']
    assert points.uv.tolist() == [[192, 128], [20, 60]]
    assert points.depth.tolist() == [2.0, 4.0]
    assert item.camera.K[0, 2] == 191.5


def test_small_images_of_eth3d_average_depth_and_keep_keypoints(tmp_path: Path) -> None:
    data = opened('eth3d', tmp_path)
    task = next(t for t in benchmark('eth3d').tasks if t.name == 'keypoints indoor')
    small = task.view(data.load(1))
    assert small.depth.shape == (32, 48)
    assert np.isnan(small.depth[:2]).all()
    points = small.prompts['keypoints']
    assert points.uv.tolist() == [[24, 16], [2, 7]]
    u, v = points.uv[0].astype(int)
    assert small.depth[v, u] == points.depth[0]
    assert task.includes('office/DSC_1')
    assert not task.includes('facade/DSC_1')


def test_eth3d_depth_of_another_size_is_refused(tmp_path: Path) -> None:
    root = benchmark_folders.eth3d(tmp_path)
    path = root / 'facade/ground_truth_depth/dslr_images/DSC_1.JPG'
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match='has 393212 bytes, expected 393216'):
        benchmark('eth3d').open(root).load(0)
