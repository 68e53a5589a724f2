# SPDX-License-Identifier: Apache-2.0
"""Simulated bags."""

import errno
import os
import signal

import numpy as np
import pytest
import torch

from metric_depth_ros.bags.extrinsics import read_static_transforms
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.cli.main import main
from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.simulation import recording

ARGUMENTS = ['--seconds', '0.3', '--rate', '10', '--size', '96x64', '--seed', '5']


def simulate(scene, path):
    assert main(['simulate', str(path), '--scene', scene, *ARGUMENTS]) == 0
    return path


def test_a_street_has_camera_lidar_truth_and_transforms(tmp_path):
    bag = simulate('street', tmp_path / 'bag')
    with BagReader(bag) as reader:
        assert set(reader.topics) == {
            '/camera/image_raw',
            '/camera/camera_info',
            '/lidar/points',
            '/ground_truth/depth',
            '/tf',
            '/tf_static',
        }
        stamps = [stamp_of(m) for _, m in reader.messages(['/camera/image_raw'])]
        _, info = next(reader.messages(['/camera/camera_info']))
    assert np.diff(stamps).tolist() == [100_000_000, 100_000_000]
    assert camera_from_info(info).size == (96, 64)
    assert set(read_static_transforms(bag)) == {
        ('base_link', 'camera_optical_frame'),
        ('base_link', 'lidar'),
    }


def test_a_room_has_a_depth_camera_in_millimeters(tmp_path):
    with BagReader(simulate('indoor', tmp_path / 'bag')) as reader:
        _, depth = next(reader.messages(['/camera/depth/image_raw']))
        _, truth = next(reader.messages(['/ground_truth/depth']))
        assert '/lidar/points' not in reader.topics
    assert (depth.encoding, truth.encoding) == ('16UC1', '32FC1')
    error = np.abs(decode_depth(depth) - decode_depth(truth))
    assert np.nanmedian(error) < 0.1


def test_the_same_seed_writes_the_same_bag(tmp_path):
    def contents(path):
        with BagReader(path) as reader:
            return [(m.topic, m.log_ns, bytes(m.data)) for m in reader.raw()]

    first = simulate('tabletop', tmp_path / 'first')
    assert contents(first) == contents(simulate('tabletop', tmp_path / 'second'))


def test_an_existing_bag_is_not_overwritten(tmp_path, capsys):
    bag = simulate('tabletop', tmp_path / 'bag')
    assert main(['simulate', str(bag), '--scene', 'indoor', *ARGUMENTS]) == 2
    assert 'exists already' in capsys.readouterr().err


def test_a_bag_that_is_ended_early_is_not_left_behind(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGTERM, lambda number, stack: None)
    write_frame = recording._write_frame

    def write_and_end(*frame):
        write_frame(*frame)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(recording, '_write_frame', write_and_end)
    try:
        assert main(['simulate', str(tmp_path / 'bag'), '--scene', 'street', *ARGUMENTS]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (tmp_path / 'bag').exists()


def test_a_full_disk_leaves_no_bag_in_the_way_of_the_next_run(tmp_path, monkeypatch, capsys):
    def write_onto_a_full_disk(writer, *message):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / 'bag'
    with monkeypatch.context() as full:
        full.setattr('rosbags.rosbag2.Writer.write', write_onto_a_full_disk)
        assert main(['simulate', str(path), '--scene', 'street', *ARGUMENTS]) == 2
    assert 'No space left on device' in capsys.readouterr().err
    assert not path.exists()
    simulate('street', path)


@pytest.mark.parametrize(
    'wrong', [['--seconds', '-1'], ['--size', '640'], ['--scene', 'moon'], ['--seed', '-1']]
)
def test_wrong_arguments_are_refused(tmp_path, wrong):
    with pytest.raises(SystemExit) as caught:
        main(['simulate', str(tmp_path / 'bag'), '--scene', 'indoor', *ARGUMENTS, *wrong])
    assert caught.value.code == 2


def test_images_that_are_too_large_are_refused_before_there_is_a_bag(tmp_path, capsys):
    path = tmp_path / 'bag'
    command = ['simulate', str(path), '--scene', 'street', *ARGUMENTS, '--size', '2049x2048']
    assert main(command) == 2
    said = ' '.join(capsys.readouterr().err.split())
    assert 'an image of 2049x2048 has 4196352 pixels, expected at most 4194304' in said
    assert '--size' in said
    assert not path.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason='the device is there')
def test_a_device_that_is_missing_leaves_no_bag_behind(tmp_path, capsys):
    command = ['simulate', str(tmp_path / 'bag'), '--scene', 'indoor', *ARGUMENTS]
    assert main([*command, '--device', 'cuda']) == 2
    said = capsys.readouterr().err
    assert '0 CUDA devices' in said
    assert not (tmp_path / 'bag').exists()
    assert "use 'cpu' or 'auto'" in said
    assert main([*command, '--device', 'auto']) == 0
