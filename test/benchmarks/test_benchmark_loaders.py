# SPDX-License-Identifier: Apache-2.0
"""Every loader reads its miniature layout to the values written there, and refuses a wrong one."""

import json
from pathlib import Path

import benchmark_folders
import cv2
import numpy as np
import pytest
from PIL import Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.evaluation.benchmarks.catalog import NAMES, benchmark
from metric_depth_ros.evaluation.benchmarks.depthlm import Markable, drawn_points
from metric_depth_ros.evaluation.benchmarks.nuscenes import SCENES
from metric_depth_ros.evaluation.benchmarks.protocol import Item
from metric_depth_ros.evaluation.benchmarks.run import answer
from metric_depth_ros.types import DepthEstimate, Frame


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
            assert path.name in refusal or 'matches' in refusal


@pytest.mark.parametrize('name', NAMES)
def test_a_perfect_estimate_is_perfect_in_every_task(name: str, tmp_path: Path) -> None:
    class GroundTruth(Estimator):
        name = 'truth'

        def __init__(self, item: Item) -> None:
            self._depth = item.depth

        def estimate(self, frame: Frame) -> DepthEstimate:
            assert frame.image.shape[:2] == self._depth.shape
            return DepthEstimate(self._depth, camera=frame.camera, method='truth')

    data = opened(name, tmp_path)
    for index, item_id in enumerate(data.ids):
        item = data.load(index)
        asked = [task for task in benchmark(name).tasks if task.includes(item_id)]
        assert asked
        for task in asked:
            if item.points.size or task.name.startswith('blocks'):
                continue  # points have tests of their own; blocks differ by their prompt alone
            seen = item if task.view is None else task.view(item)
            assert np.isfinite(seen.depth).any()
            figures = answer(item, task, GroundTruth(seen)).score.figures
            errors = [v for k, v in figures.items() if k.split()[-1] in ('abs_rel', 'delta1')]
            if 'boundary_f1' not in figures and 'mae_mm 50' not in figures:
                assert sorted(set(errors)) == [0.0, 1.0], task.name


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


def test_eigen_scores_within_both_crops(tmp_path: Path) -> None:
    data = opened('kitti_eigen', tmp_path)
    item = data.load(0)
    assert len(data.ids) == 1
    assert item.camera.K[0].tolist() == [180, 0, 160]
    task = benchmark('kitti_eigen').tasks[-1]
    wrong = np.where(np.arange(96)[:, None] < 42, np.float32(1.0), item.depth)
    figures = task.score(DepthEstimate(wrong), item).figures
    assert figures['Garg delta1'] > figures['Eigen delta1'] > 0.8
    assert figures['Eigen abs_rel'] > figures['Garg abs_rel'] > 0.0


def test_eigen_calibration_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    data = opened('kitti_eigen', tmp_path)
    (path,) = tmp_path.rglob('calib_cam_to_cam.txt')
    path.write_text('P_rect_02: 180 0 160 45 0 180 48\n')
    with pytest.raises(InputError, match='has no line P_rect_02: with 12 numbers'):
        data.load(0)


def test_sintel_reads_tagged_files(tmp_path: Path) -> None:
    item = opened('sintel', tmp_path).load(0)
    assert item.depth[0, 0] == 200.0
    assert item.camera.K[0, 2] == 64.0
    metric = next(t for t in benchmark('sintel').tasks if t.name == 'metric')
    assert np.isnan(metric.view(item).depth[0, 0])
    path = tmp_path / 'training/depth/alley_1/frame_0001.dpt'
    path.write_bytes(b'PNG' + path.read_bytes())
    with pytest.raises(InputError, match=r'frame_0001.dpt does not begin with the tag'):
        benchmark('sintel').open(tmp_path).load(0)


def test_middlebury_turns_disparity_into_depth(tmp_path: Path) -> None:
    item = opened('middlebury', tmp_path).load(0)
    np.testing.assert_allclose(item.depth[:-1], benchmark_folders.scene_depth(60, 80)[:-1], 1e-5)
    assert np.isnan(item.depth[-1]).all()
    assert item.camera.K[0, 2] == 40.5


def test_booster_pools_what_its_mask_leaves(tmp_path: Path) -> None:
    data = opened('booster', tmp_path)
    item = data.load(0)
    assert data.ids == ['Mirror/im0', 'Mirror/im1']
    np.testing.assert_allclose(item.depth[6:], benchmark_folders.scene_depth(60, 80)[6:], 1e-5)
    assert np.isnan(item.depth[:6]).all()
    statistics = {c.statistic for table in benchmark('booster').tables for c in table.columns}
    assert statistics == {'pooled'}


def test_booster_ends_depth_where_the_published_evaluation_does(tmp_path: Path) -> None:
    item = opened('booster', tmp_path).load(0)
    beyond = DepthEstimate(np.full_like(item.depth, np.inf))
    figures = benchmark('booster').tasks[0].score(beyond, item).figures
    known = item.depth[np.isfinite(item.depth)]
    assert figures['mae_m'] == pytest.approx((1000.0 - known).mean(), rel=1e-5)


def test_sun_turns_the_bits_back(tmp_path: Path) -> None:
    item = opened('sun', tmp_path).load(0)
    np.testing.assert_allclose(item.depth, benchmark_folders.scene_depth(60, 80))
    assert item.camera.K[1, 1] == 91.0


def test_nuscenes_takes_the_scenes_of_the_split_and_the_motion_between_sensors(tmp_path) -> None:
    assert len(set(SCENES)) == 150
    data = opened('nuscenes', tmp_path)
    item = data.load(0)
    assert data.ids == ['frame']
    # 10 m ahead of the LiDAR, 11 m ahead of where the camera was; the nearest of a pixel counts.
    assert item.depth[45, 80] == 11.0
    row, column = round(45 - 100 / 21), round(80 - 200 / 21)
    assert item.depth[row, column] == 21.0
    assert np.isfinite(item.depth).sum() == 2


def test_the_radar_of_nuscenes_leaves_clutter_out_and_scores_by_caps(tmp_path: Path) -> None:
    item = opened('nuscenes_radar', tmp_path).load(0)
    prompt = item.prompts['radar']
    np.testing.assert_allclose(prompt.depth, [14.0], rtol=1e-5)
    task = benchmark('nuscenes_radar').tasks[0]
    missing = DepthEstimate(np.full((90, 160), np.nan, np.float32))
    figures = task.score(missing, item).figures
    assert figures['mae_mm 50'] == pytest.approx(16_000.0, abs=2.0)
    exact = task.score(DepthEstimate(np.nan_to_num(item.depth, nan=1.0)), item).figures
    assert exact['rmse_mm 80'] == 0.0


def test_points_of_depthlm_are_distances(tmp_path: Path) -> None:
    item = opened('depthlm', tmp_path).load(0)
    assert item.camera.K[0, 0] == 100.0  # of the other axis, where it is 0
    assert len(item.points) == 3
    column, row, distance = item.points.T
    ray = np.hypot(1.0, np.hypot((column - 40) / 100, (row - 30) / 100))
    depth = np.ones((60, 80), np.float32)
    depth[row.astype(int), column.astype(int)] = distance / ray
    task = next(t for t in benchmark('depthlm').tasks if t.name == 'iBims-1')
    figures = task.score(DepthEstimate(depth), item).figures
    assert figures['abs_rel'] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize('name', ['depthlm', 'depthvlm'])
def test_a_second_list_of_a_data_set_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    root = getattr(benchmark_folders, name)(tmp_path)
    (given,) = root.rglob('*.jsonl')
    second = given.with_name(f'another_{given.name}')
    second.write_text(given.read_text())
    with pytest.raises(InputError, match=rf'{given.name} is a second list of .*{second.name}'):
        benchmark(name).open(root)


def test_the_training_list_of_depthlm_is_not_its_benchmark(tmp_path: Path) -> None:
    root = benchmark_folders.depthlm(tmp_path)
    given = root / 'ibims1/ibims1_val.jsonl'
    alone = benchmark('depthlm').open(root).ids
    given.with_name('ibims1_train.jsonl').write_text(given.read_text())
    assert benchmark('depthlm').open(root).ids == alone


def test_an_image_of_depthvlm_without_points_counts_as_published(tmp_path: Path) -> None:
    root = benchmark_folders.depthvlm(tmp_path)
    path = root / 'nyuv2_test.jsonl'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'pixel_coords': [], 'depth': []}))
    item = benchmark('depthvlm').open(root).load(0)
    assert item.points.shape == (0, 3)
    task = next(t for t in benchmark('depthvlm').tasks if t.name == 'NYU')
    figures = task.score(DepthEstimate(np.ones((120, 160), np.float32)), item).figures
    assert figures['delta1_published'] == 0.0


def test_points_of_depthvlm_are_looked_up_in_the_resized_map(tmp_path: Path) -> None:
    item = opened('depthvlm', tmp_path).load(0)
    assert item.image.shape == (120, 160, 3)
    assert item.points.tolist() == [[80, 60, 2.0], [140, 10, 4.0], [0, 0, 3.5]]
    depth = np.full((120, 160), 4.0, np.float32)
    depth[60, 80], depth[10, 140] = 2.0, np.nan
    task = next(t for t in benchmark('depthvlm').tasks if t.name == 'NYU')
    figures = task.score(DepthEstimate(depth), item).figures
    assert figures['delta1'] == pytest.approx(2 / 3)
    assert figures['delta1_published'] == 1.0


def test_images_of_depthvlm_are_resized_as_published(tmp_path: Path) -> None:
    root = benchmark_folders.depthvlm(tmp_path)
    path = root / 'nyuv2_test.jsonl'
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {'canonical_size': [20, 15]}))
    item = benchmark('depthvlm').open(root).load(0)
    with Image.open(root / record['image']) as original:
        small = original.convert('RGB').resize((20, 15), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(item.image, np.asarray(small))


def test_a_list_with_a_wrong_line_is_refused_by_its_number(tmp_path: Path) -> None:
    root = benchmark_folders.depthvlm(tmp_path)
    path = root / 'nyuv2_test.jsonl'
    path.write_text(path.read_text() + '{"image": "b.png"}\n')
    with pytest.raises(InputError, match=r'nyuv2_test.jsonl line 2 has no pixel_coords'):
        benchmark('depthvlm').open(root)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('canonical_size', [0, 96]),
        ('canonical_size', [100_000, 100_000]),
        ('canonical_size', 'x'),
        ('canonical_size', [160.5, 120]),
        ('depth_scale', 0),
        ('depth_scale', '1000'),
        ('depth_scale', 1e-60),
        ('pixel_coords', None),
        ('depth', {'a': 1}),
        ('pixel_coords', [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3]]),
        ('pixel_coords', [1, 2, 3]),
        ('pixel_coords', [[1], [2], [3]]),
        ('depth', [[5, 6], [5, 6], [5, 6]]),
    ],
)
def test_a_wrong_value_of_a_list_is_refused_by_its_key(tmp_path: Path, key, value) -> None:
    root = benchmark_folders.depthvlm(tmp_path)
    path = root / 'nyuv2_test.jsonl'
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=rf'nyuv2_test\.jsonl .*{key}'):
        benchmark('depthvlm').open(root).load(0)


def test_depth_of_depthvlm_with_three_channels_is_refused(tmp_path: Path) -> None:
    root = benchmark_folders.depthvlm(tmp_path)
    benchmark_folders.save_png(root / 'depth/a.png', np.full((60, 80, 3), 20, np.uint8))
    with pytest.raises(InputError, match='uint8 with 3 channels, expected uint16 with one'):
        benchmark('depthvlm').open(root).load(0)


class Published:
    """One image of the goldens of DepthVLM's evaluation, opened as a benchmark of its own."""

    def __init__(self, shared: Path, root: Path, name: str) -> None:
        folder = shared / 'goldens/depthvlm/metrics'
        self.name = name
        self.config = json.loads((folder / 'config.json').read_text())
        inputs = np.load(folder / 'inputs.npz')
        self.outputs = np.load(folder / 'outputs.npz')
        records = self.config['records'].items()
        listed = {r['image'][0]: (kind, dict(r)) for kind, rows in records for r in rows}
        kind, record = listed[name]
        stored = {'image': 'image', 'depth_path': 'depth_raw'}
        masks = {'mask_valid_path': 'mask_valid', 'mask_transp_path': 'mask_transp'}
        for key, kept in {**stored, **(masks if name == 'e' else {})}.items():
            record[key] = f'{kept}.png'
            benchmark_folders.save_png(root / record[key], inputs[f'{name}_{kept}'])
        (root / f'{kind}.jsonl').write_text(json.dumps(record))
        self.item = benchmark('depthvlm').open(root).load(0)
        # What the network answers on its grid, which is not quite of the image's size.
        block = np.ones((32, 32), np.float32)
        self.grid = np.kron(inputs[f'{name}_pred_small'], block).astype(np.float32)

    def delta1(self, task_name: str, depth: np.ndarray) -> float:
        task = next(t for t in benchmark('depthvlm').tasks if t.name == task_name)
        return task.score(DepthEstimate(depth), self.item).figures['delta1_published']


@pytest.mark.parametrize('name', ['a', 'b', 'c', 'e'])
def test_points_of_depthvlm_are_those_of_the_published_evaluation(
    shared: Path, tmp_path: Path, name: str
) -> None:
    golden = Published(shared, tmp_path, name)
    points = golden.item.points
    np.testing.assert_array_equal(points[:, :2], golden.outputs[f'{name}_pixel_coords'])
    np.testing.assert_allclose(points[:, 2], golden.outputs[f'{name}_gt_depths'], atol=1e-6)
    # The published evaluation reads the network's grid there, and drops what lies outside of it.
    depth = np.full(golden.item.depth.shape, np.nan, np.float32)
    rows, columns = np.minimum(golden.grid.shape, depth.shape)
    depth[:rows, :columns] = golden.grid[:rows, :columns]
    expected = golden.config['sparse']['delta1_per_image'][name]
    assert golden.delta1('Argoverse 2', depth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('name', ['a', 'b', 'c', 'e'])
def test_whole_maps_of_depthvlm_are_those_of_the_published_evaluation(
    shared: Path, tmp_path: Path, name: str
) -> None:
    golden = Published(shared, tmp_path, name)
    stride = golden.config['dense_gt_stats'][name]['stride']
    known = np.nan_to_num(golden.item.depth)[::stride, ::stride]
    np.testing.assert_allclose(known, golden.outputs[f'{name}_dense_gt'], atol=1e-6)
    size = golden.item.depth.shape[::-1]
    depth = cv2.resize(golden.grid, size, interpolation=cv2.INTER_LINEAR)
    expected = golden.config['dense']['delta1_per_image'][name]
    assert golden.delta1('Argoverse 2, whole map', depth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('case', ['plain', 'scannetpp'])
def test_depthlm_draws_the_published_samples(shared: Path, case: str) -> None:
    config = json.loads((shared / 'goldens/depthlm/config.json').read_text())['sampling'][case]
    points = config['points_per_image']
    images = len(config['point_index']) // points
    records = [{'pixel_coords': [[0, 0]] * points, 'depth': [1.0] * points}] * images
    drawn = drawn_points(records, lambda image, record, point: True)
    for i in range(images):
        assert drawn[i] == config['point_index'][i::images]


def test_a_sample_at_the_border_is_replaced_by_the_next_which_counts_twice() -> None:
    middle, border = [40, 30], [1, 30]
    records = [
        {'intrinsics': [750.0, 750.0, 40.0, 30.0], 'pixel_coords': [pixel], 'depth': [2.0]}
        for pixel in (middle, border, middle)
    ]
    assert drawn_points(records, Markable(lambda record: (80, 60))) == {0: [0], 2: [0, 0]}


def test_the_border_is_that_of_the_image_at_the_focal_length_of_the_model() -> None:
    record = {'intrinsics': [7500.0, 7500.0, 400.0, 300.0], 'pixel_coords': [[40, 300], [60, 300]]}
    markable = Markable(lambda record: (800, 600))
    assert not markable(
        0, record, 0
    )  # at 750 px the fourth pixel, and there is room from the fifth
    assert markable(0, record, 1)
