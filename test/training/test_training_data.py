# SPDX-License-Identifier: Apache-2.0
"""Shards, folders and their order: what is stored comes back, and every place is exact."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest
import torch
from full_disk import no_room
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import example, write_shards

from metric_depth_ros import untrusted_files
from metric_depth_ros.cli.main import EXIT_INTERRUPTED, main
from metric_depth_ros.errors import InputError
from metric_depth_ros.training import log_steps, shards
from metric_depth_ros.training.batches import Sources, ValidationExamples
from metric_depth_ros.training.config import SourceConfig
from metric_depth_ros.training.example_files import decode_example, encode_example
from metric_depth_ros.training.folders import FrameSetSource, KittiSource
from metric_depth_ros.training.order import EpochOrder, Share
from metric_depth_ros.training.prompts import masked_prompt
from metric_depth_ros.training.shard_maker import RULES, ShardSettings
from metric_depth_ros.training.shards import ShardSource, write_shard
from metric_depth_ros.training.views import mirrored, random_view, resized
from metric_depth_ros.whole_files import whole_file

ENDING_S = 240.0  # it used to last for ever


@given(st.floats(1e-4, 1e4))
def test_stored_length_is_off_by_less_than_a_fiftieth_of_a_percent(length_m):
    stored = log_steps.decode(log_steps.encode(np.array([length_m])))
    assert stored[0] == pytest.approx(length_m, rel=2e-4)


def test_unknown_and_endless_lengths_are_stored():
    stored = log_steps.decode(log_steps.encode(np.array([np.nan, np.inf, 1e9])))
    assert np.isnan(stored[0])
    assert np.isinf(stored[1])
    assert np.isfinite(stored[2])


def test_example_comes_back():
    whole = example(1)
    again = decode_example(encode_example(whole), 'test')
    finite = np.isfinite(whole.depth)
    assert np.array_equal(np.isfinite(again.depth), finite)
    np.testing.assert_allclose(again.depth[finite], whole.depth[finite], rtol=2e-4)
    assert np.abs(again.image.astype(int) - whole.image).mean() < 3.0
    assert again.camera == whole.camera
    np.testing.assert_allclose(again.sensors['lidar'].uv, whole.sensors['lidar'].uv, atol=2e-3)
    np.testing.assert_allclose(again.sensors['lidar'].depth, whole.sensors['lidar'].depth, 2e-4)


def test_damaged_example_is_named():
    files = {**encode_example(example(1)), 'depth.png': b'no image'}
    with pytest.raises(InputError, match='shard 3, example 5'):
        decode_example(files, 'shard 3, example 5')


def damaged_archive():
    stream = io.BytesIO()
    np.savez_compressed(stream, **{'lidar.uv': np.zeros((4, 2))})
    content = bytearray(stream.getvalue())
    content[60:100] = b'\xff' * 40  # of the compressed bytes
    return bytes(content)


@pytest.mark.parametrize(
    ('suffix', 'content'),
    [
        ('json', b'[]'),
        ('json', b'{"width": 1e999, "height": 64, "K": [], "kind": ""}'),
        ('sensors.npz', damaged_archive()),
        ('sensors.npz', b"\x93NUMPY\x01\x00\x10\x00{'shape': (3,    "),
    ],
    ids=['list', 'endless', 'archive', 'array'],
)
def test_damage_of_any_kind_is_refused(suffix, content):
    with pytest.raises(InputError, match='cannot be read'):
        decode_example({**encode_example(example(1)), suffix: content}, 'test')


def test_depth_of_another_size_is_refused():
    files = {**encode_example(example(1)), 'json': encode_example(example(1, 80, 60))['json']}
    with pytest.raises(InputError, match='80x60'):
        decode_example(files, 'test')


def test_shards_are_read_in_any_order(tmp_path):
    source = ShardSource(write_shards(tmp_path, count=12, per_shard=5))
    assert (len(source), source.groups) == (12, [5, 5, 2])
    for index in (11, 0, 7, 4, 5):
        expected = example(index).camera, example(index).depth[32, 48]
        loaded = source.load(index)
        assert loaded.camera == expected[0]
        assert loaded.depth[32, 48] == pytest.approx(expected[1], rel=2e-4)


def opened_below(folder):
    """Return the files below a folder that this process holds open."""
    held = Path('/proc/self/fd').iterdir()
    names = [os.readlink(link) for link in held if link.is_symlink()]
    return [name for name in names if name.startswith(str(folder))]


def test_endless_depth_is_sky_only_where_it_was_not_recorded(tmp_path):
    sky = replace(example(0), depth=np.full((64, 96), np.inf, np.float32))
    write_shard(tmp_path / 'a.tar', [('00000000', sky)])
    rendered, real = (SourceConfig(str(tmp_path), real=real) for real in (False, True))
    sources = Sources([rendered, real])
    assert np.isposinf(sources.load(0, 0).depth).all()
    assert np.isnan(sources.load(1, 0).depth).all()


def test_sources_share_what_a_process_may_hold_open(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, '_MOST_OPEN', 3)
    folders = [write_shards(tmp_path / str(n), count=4, per_shard=2) for n in range(3)]
    sources = [ShardSource(folder) for folder in folders]
    for index in (0, 2, 1, 3):
        for source in sources:
            assert source.load(index).kind == 'street'
    assert len(opened_below(tmp_path)) == 3


def test_a_shard_that_cannot_be_read_is_not_held_open(tmp_path):
    write_shards(tmp_path, count=1)
    (tmp_path / 'shards.json').write_text('{"000000.tar": 1}')
    (tmp_path / '000000.tar').write_bytes(b'nothing of the kind')
    with pytest.raises(InputError, match=r'000000\.tar'):
        ShardSource(tmp_path).load(0)
    assert opened_below(tmp_path) == []


def test_webdataset_reads_the_shards(tmp_path):
    webdataset = pytest.importorskip('webdataset', reason='webdataset is not installed')
    write_shards(tmp_path, count=5)
    dataset = webdataset.WebDataset(str(tmp_path / '000000.tar'), shardshuffle=False)
    samples = list(dataset)
    assert [sample['__key__'] for sample in samples] == ['0000', '0001', '0002', '0003', '0004']
    assert {'image.jpg', 'depth.png', 'json', 'sensors.npz'} <= samples[0].keys()


def test_file_that_is_no_shard_is_refused(tmp_path):
    (tmp_path / '000000.tar').write_bytes(b'nothing of the kind')
    with pytest.raises(InputError, match=r'000000\.tar'):
        ShardSource(tmp_path)


def test_pickled_arrays_in_a_shard_are_refused(tmp_path):
    files = encode_example(example(0))
    np.savez(tmp_path / 'evil.npz', **{'lidar.uv': np.array([{}], dtype=object)})
    with pytest.raises(InputError, match='cannot be read'):
        decode_example({**files, 'sensors.npz': (tmp_path / 'evil.npz').read_bytes()}, 'test')


@pytest.mark.parametrize('window', [0, 4])
def test_epoch_visits_every_example_once(window):
    order = EpochOrder([Share((5, 5, 2)), Share((3,))], seed=1, window=window)
    for epoch in range(2):
        visited = [order.at(epoch * 15 + place) for place in range(15)]
        assert sorted(visited) == [(0, i) for i in range(12)] + [(1, i) for i in range(3)]


def test_epochs_differ_and_seeds_differ():
    orders = [EpochOrder([Share((50,))], seed) for seed in (1, 2)]
    first, again, other = (
        [order.at(start + place) for place in range(50)]
        for order, start in ((orders[0], 0), (orders[0], 50), (orders[1], 0))
    )
    assert first != again
    assert first != other


def test_fraction_takes_the_first_examples_and_repeat_repeats_them():
    order = EpochOrder([Share((20,), fraction=0.25, repeat=2.0)], seed=0)
    visited = [order.at(place)[1] for place in range(order.visits_per_epoch)]
    assert sorted(visited) == sorted([*range(5), *range(5)])


def test_view_keeps_points_on_their_depth():
    whole = example(4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        view = random_view(whole, (64, 48), rng)
        points = view.sensors['lidar']
        column, row = np.rint(points.uv).astype(int).T
        assert view.image.shape == (48, 64, 3)
        close = np.abs(view.depth[row, column] / points.depth - 1.0) < 0.05
        assert close.mean() > 0.9


def test_view_keeps_the_rays_of_points():
    whole = example(4)
    for view in (mirrored(whole), resized(whole, 48, 32)):
        sign = -1.0 if view.depth.shape == whole.depth.shape else 1.0
        rays = whole.camera.pixel_to_normalized(whole.sensors['lidar'].uv.astype(np.float64))
        seen = view.camera.pixel_to_normalized(view.sensors['lidar'].uv.astype(np.float64))
        np.testing.assert_allclose(seen, rays * (sign, 1.0), atol=1e-5)


def test_masked_prompt_is_scaled_by_area():
    rng = np.random.default_rng(0)
    counts = [len(masked_prompt(example(0), rng, (10_000, 30_000), 9600)) for _ in range(20)]
    few = [len(masked_prompt(example(0), rng, (100, 300), 4 * 64 * 96)) for _ in range(20)]
    assert min(counts) == (64 - 4) * 96  # never more than there are
    assert 25 <= min(few) <= max(few) <= 75


def test_masked_prompt_is_the_depth_itself():
    whole = example(0)
    prompt = masked_prompt(whole, np.random.default_rng(0), (400, 400), 64 * 96)
    column, row = prompt.uv.astype(int).T
    assert len(prompt) == 400
    assert np.array_equal(prompt.depth, whole.depth[row, column])


@pytest.fixture
def kitti(tmp_path):
    """A drive laid out as KITTI's depth completion and raw archives are."""
    drive = '2011_09_26_drive_0001_sync'
    seen = example(3)
    camera = seen.camera.K
    annotated = tmp_path / f'data_depth_annotated/train/{drive}/proj_depth/groundtruth/image_02'
    scans = tmp_path / f'data_depth_velodyne/train/{drive}/proj_depth/velodyne_raw/image_02'
    images = tmp_path / f'raw/2011_09_26/{drive}/image_02/data'
    for folder in (annotated, scans, images):
        folder.mkdir(parents=True)
    steps = np.where(np.isfinite(seen.depth), seen.depth * 256, 0).astype(np.uint16)
    cv2.imwrite(str(annotated / '0000000005.png'), steps)
    cv2.imwrite(str(scans / '0000000005.png'), np.where(np.arange(96) % 8, 0, steps))
    cv2.imwrite(str(images / '0000000005.png'), seen.image[..., ::-1])
    row = ' '.join(str(value) for value in np.hstack((camera, np.zeros((3, 1)))).reshape(-1))
    (tmp_path / 'raw/2011_09_26/calib_cam_to_cam.txt').write_text(f'P_rect_02: {row}\n')
    return tmp_path, seen


def test_kitti_folders_are_examples(kitti):
    folder, seen = kitti
    source = KittiSource(folder)
    loaded = source.load(0)
    finite = np.isfinite(seen.depth)
    assert (len(source), source.groups) == (1, [1])
    assert np.array_equal(loaded.image, seen.image)
    np.testing.assert_allclose(loaded.depth[finite], seen.depth[finite], atol=1 / 256)
    assert np.isnan(loaded.depth[~finite]).all()
    assert loaded.camera == seen.camera
    assert len(loaded.sensors['lidar']) == finite[:, ::8].sum()


def test_a_split_of_kitti_has_its_images_beside_it(kitti):
    folder, seen = kitti
    source = KittiSource(folder / 'data_depth_annotated/train')
    assert np.array_equal(source.load(0).image, seen.image)


def test_both_splits_of_kitti_at_once_are_refused(kitti):
    folder, _ = kitti
    annotated = folder / 'data_depth_annotated'
    shutil.copytree(annotated / 'train', annotated / 'val')
    with pytest.raises(InputError, match=r'both splits.*data_depth_annotated/train'):
        KittiSource(folder)
    assert len(KittiSource(annotated / 'val')) == 1


@pytest.mark.parametrize('name', ['train', 'val'])
def test_a_folder_of_ones_own_that_is_named_as_a_split_has_its_images_in_it(kitti, name):
    folder, seen = kitti
    own = folder / name
    own.mkdir()
    for archive in ('data_depth_annotated', 'data_depth_velodyne', 'raw'):
        (folder / archive).rename(own / archive)
    shutil.copytree(own / 'raw', folder / 'zz_resized')
    for path in (folder / 'zz_resized').glob('**/*.png'):
        cv2.imwrite(str(path), np.zeros_like(seen.image))
    assert np.array_equal(KittiSource(own).load(0).image, seen.image)


def test_a_relative_folder_inside_a_split_of_kitti_is_read(kitti, monkeypatch):
    folder, _ = kitti
    monkeypatch.chdir(next(folder.glob('data_depth_annotated/train/*_sync')))
    assert len(KittiSource(Path())) == 1


def test_kitti_image_that_is_missing_is_named(kitti):
    folder, _ = kitti
    next(folder.glob('raw/**/0000000005.png')).unlink()
    with pytest.raises(InputError, match=r'0000000005\.png of the drive'):
        KittiSource(folder).load(0)


def test_a_kitti_calibration_that_is_too_large_is_not_read(kitti, monkeypatch):
    monkeypatch.setattr(untrusted_files, 'MAX_TEXT_BYTES', 10)
    with pytest.raises(InputError, match=r'calib_cam_to_cam\.txt cannot be read') as refused:
        KittiSource(kitti[0]).load(0)
    assert 'expected at most 10' in str(refused.value.__cause__)


def test_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match='groundtruth'):
        KittiSource(tmp_path)


def test_frame_sets_are_examples(tmp_path):
    seen = example(3)
    steps = np.where(np.isfinite(seen.depth), seen.depth * 1000, 0).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'depth.png'), steps)
    cv2.imwrite(str(tmp_path / 'image.png'), seen.image[..., ::-1])
    prompt = {'path': 'depth.png', 'format': 'depth_map', 'kind': 'rgbd', 'scale': 0.001}
    truth = {'path': 'depth.png', 'scale': 0.001, 'kind': 'dense', 'min_m': 0.1, 'max_m': 50.0}
    frame = {
        'id': '0',
        'image': 'image.png',
        'width': 96,
        'height': 64,
        'K': seen.camera.K.tolist(),
        'prompts': {'rgbd': {**prompt, 'scored': False}},
        'gt': truth,
    }
    blind = {**frame, 'id': '1', 'gt': None}
    index = {'name': 'test', 'frames': [frame, blind]}
    (tmp_path / 'frames.json').write_text(json.dumps(index))
    source = FrameSetSource(tmp_path)
    loaded = source.load(0)
    assert len(source) == 1
    assert np.isnan(loaded.depth[0]).all()
    assert len(loaded.sensors['rgbd']) == np.isfinite(seen.depth).sum()


def test_shards_are_simulated_once_and_the_rest_later(tmp_path, capsys):
    command = ['make-shards', str(tmp_path), '--per-shard', '1', '--workers', '1']
    command += ['--kinds', 'room', '--split', 'validation']
    assert main([*command, '--views', '1']) == 0
    made = (tmp_path / '000000.tar').stat().st_mtime_ns
    assert main([*command, '--views', '2']) == 0
    source = ShardSource(tmp_path)
    assert (tmp_path / '000000.tar').stat().st_mtime_ns == made
    assert [source.load(index).kind for index in range(len(source))] == ['room', 'room']
    assert 'validation' in capsys.readouterr().out


def test_shards_for_an_image_alone_have_no_points_and_are_not_mixed_with_others(tmp_path, capsys):
    command = ['make-shards', str(tmp_path), '--workers', '1', '--views', '1', '--kinds', 'room']
    assert main([*command, '--monocular']) == 0
    assert not ShardSource(tmp_path).load(0).sensors
    assert main(command) == 2
    assert 'monocular True instead of False' in capsys.readouterr().err


def test_a_signal_ends_the_workers_too(tmp_path):
    out = tmp_path / 'out'
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'make-shards', str(out)]
    options = ['--views', '100000', '--workers', '1', '--kinds', 'room']
    process = psutil.Popen([*command, *options], stderr=subprocess.DEVNULL)
    workers = []
    try:
        deadline = time.monotonic() + ENDING_S
        while not list(out.glob('.*.tar.*.part')):  # a worker has begun
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = process.children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDING_S) == EXIT_INTERRUPTED
        _, left = psutil.wait_procs(workers, ENDING_S)
        assert left == []
    finally:
        for left in (process, *workers):
            with suppress(psutil.NoSuchProcess):
                left.kill()


def keep_settings_of(folder, per_shard):
    """Let a folder say that its shards are of `make-shards`."""
    settings = asdict(ShardSettings(views=1, kinds=('room',), per_shard=per_shard))
    del settings['views']
    shards.keep_settings(folder / 'simulated.json', {'rules': RULES, **settings})


def test_shards_of_others_are_not_added_to(tmp_path, capsys):
    write_shards(tmp_path, count=1)
    assert main(['make-shards', str(tmp_path), '--views', '2']) == 2
    assert 'no simulated.json that tells' in ' '.join(capsys.readouterr().err.split())
    assert not (tmp_path / 'simulated.json').exists()


def test_shards_by_the_rules_of_before_are_not_added_to(tmp_path, capsys):
    keep_settings_of(tmp_path, 2)
    path = tmp_path / 'simulated.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'rules': 1}))
    command = ['make-shards', str(tmp_path), '--per-shard', '2', '--kinds', 'room']
    assert main([*command, '--views', '2']) == 2
    assert 'rules 1 instead of 2' in ' '.join(capsys.readouterr().err.split())


def test_an_enlargement_that_was_interrupted_hides_no_example(tmp_path, monkeypatch):
    keep_settings_of(tmp_path, 2)
    write_shards(tmp_path, count=1)
    (tmp_path / 'shards.json').write_text('{"000000.tar": 1}')

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr('metric_depth_ros.training.shard_maker.write_index', interrupted)
    command = ['make-shards', str(tmp_path), '--per-shard', '2', '--workers', '1']
    assert main([*command, '--kinds', 'room', '--views', '2']) == EXIT_INTERRUPTED
    assert len(ShardSource(tmp_path)) == 2


def test_last_shard_is_made_again_for_more_views(tmp_path):
    keep_settings_of(tmp_path, 2)
    write_shards(tmp_path, count=1)
    command = ['make-shards', str(tmp_path), '--per-shard', '2', '--workers', '1']
    assert main([*command, '--kinds', 'room', '--views', '2']) == 0
    assert len(ShardSource(tmp_path)) == 2


def test_fewer_views_than_there_are_shards_for_are_refused(tmp_path, capsys):
    write_shards(tmp_path, count=3, per_shard=1)
    assert main(['make-shards', str(tmp_path), '--per-shard', '1', '--views', '2']) == 2
    assert '000002.tar, which 2 views do not reach' in capsys.readouterr().err


def test_fewer_views_than_there_are_examples_are_refused_and_leave_the_shard(tmp_path, capsys):
    keep_settings_of(tmp_path, 2)
    write_shards(tmp_path, count=2, per_shard=2)
    whole = (tmp_path / '000000.tar').read_bytes()
    command = ['make-shards', str(tmp_path), '--per-shard', '2', '--kinds', 'room']
    assert main([*command, '--views', '1']) == 2
    said = capsys.readouterr().err
    assert '000000.tar with 2 examples, of which 1 views reach 1: ask for 2 or more' in said
    assert (tmp_path / '000000.tar').read_bytes() == whole


@pytest.mark.parametrize(
    'command', [['make-shards', 'out', '--views', '1'], ['pseudo-label', 'data', 'out']]
)
def test_negative_seed_is_refused(capsys, command):
    with pytest.raises(SystemExit, match='2'):
        main([*command, '--seed', '-1'])
    assert '--seed: -1 is not a whole number, 0 or more' in capsys.readouterr().err


def test_missing_device_is_refused_before_examples_are_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    out = tmp_path / 'out'
    assert main(['make-shards', str(out), '--views', '1', '--device', 'cuda']) == 2
    assert 'CUDA' in capsys.readouterr().err
    assert not out.exists()


def test_shards_without_an_example_are_refused(tmp_path):
    write_shard(tmp_path / '000000.tar', [])
    with pytest.raises(InputError, match='without an example'):
        ShardSource(tmp_path)


def test_two_data_sets_are_not_mixed(tmp_path, capsys):
    (tmp_path / 'simulated.json').write_text('{"seed": 5}')
    assert main(['make-shards', str(tmp_path), '--views', '1', '--workers', '1']) == 2
    assert 'another folder' in capsys.readouterr().err


def test_unknown_kind_of_world_is_refused(tmp_path, capsys):
    assert main(['make-shards', str(tmp_path), '--views', '1', '--kinds', 'moon']) == 2
    assert 'moon' in capsys.readouterr().err


def test_a_shard_that_fails_leaves_nothing(tmp_path):
    def examples():
        yield 'first', example(1)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_shard(tmp_path / '000000.tar', examples())
    assert list(tmp_path.iterdir()) == []


def test_settings_that_a_full_disk_cut_short_do_not_close_the_folder(tmp_path):
    path, settings = tmp_path / 'simulated.json', {'kinds': ['room'] * 999}
    with no_room(), pytest.raises(OSError, match='File too large'):
        shards.keep_settings(path, settings)
    assert list(tmp_path.iterdir()) == []
    shards.keep_settings(path, settings)


def test_unfinished_shard_does_not_count(tmp_path):
    write_shards(tmp_path, count=5)
    with whole_file(tmp_path / '000001.tar') as part:
        part.write_bytes(b'half')
        assert len(ShardSource(tmp_path)) == 5


def test_index_that_is_too_long_is_named(tmp_path):
    write_shards(tmp_path, count=5)
    (tmp_path / 'shards.json').write_text('{"000000.tar": 9}')
    with pytest.raises(InputError, match='only 5'):
        ShardSource(tmp_path).load(8)


def test_shard_with_folders_in_its_names_is_read(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        for suffix, content in encode_example(example(2)).items():
            file = tmp_path / suffix
            file.write_bytes(content)
            tar.add(file, f'./drive.1/0001.{suffix}')
    assert ShardSource(tmp_path).load(0).kind == 'street'


def test_example_without_sensors_is_read():
    files = encode_example(replace(example(2), sensors={}))
    del files['sensors.npz']
    assert decode_example(files, 'test').sensors == {}


@pytest.mark.parametrize('count', [128, 151, 200, 300, 1000])
def test_a_validation_looks_at_all_sources_evenly(count):
    sources = SimpleNamespace(sizes=[200, 100])

    taken = [source for source, _ in ValidationExamples(sources, None, count)._numbered]

    assert len(taken) == min(count, 300)
    assert taken.count(1) == pytest.approx(len(taken) / 3, abs=1)
