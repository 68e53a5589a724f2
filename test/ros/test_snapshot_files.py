# SPDX-License-Identifier: Apache-2.0
"""Snapshots are written whole or not at all, without ROS."""

import errno
import os

import numpy as np
import pytest

from metric_depth_ros.codecs.cdr import WireCompressedImage, WireHeader, WireStamp
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.snapshots import read_snapshot
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.limits import LimitedDepth
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.snapshot import Answered, save_snapshot
from metric_depth_ros.types import CameraModel, Frame

pytest.importorskip('rosbags')
STAMP_NS = 5
CAMERA = CameraModel.pinhole(8, 6, 10.0, 10.0, 3.5, 2.5)


def answered(**given):
    pixels = np.zeros((6, 8, 3), np.uint8)
    header = WireHeader(WireStamp(0, STAMP_NS), 'camera')
    message = WireCompressedImage(b'as it came', header, 'png', pixels)
    return Answered(
        Bundle(Arrival(message, STAMP_NS, 0.0), {}, 0.0),
        Frame(STAMP_NS, 'camera', pixels, CAMERA, None),
        'classical',
        None,
        LimitedDepth(np.ones((6, 8), np.float32), CAMERA),
        DEPTH_NODE.settings(given),
    )


def test_a_disk_that_fills_up_leaves_nothing_in_the_way_of_the_next_snapshot(
    tmp_path, monkeypatch
):
    def write_onto_a_full_disk(writer, *message):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = str(tmp_path / 'snapshots')
    with monkeypatch.context() as full:
        full.setattr('rosbags.rosbag2.Writer.write', write_onto_a_full_disk)
        with pytest.raises(InputError, match=r'No space left .*snapshot\.folder'):
            save_snapshot(answered(), folder, 'depth')
    assert list((tmp_path / 'snapshots').iterdir()) == []
    saved = save_snapshot(answered(), folder, 'depth')
    assert [path.name for path in (tmp_path / 'snapshots').iterdir()] == [saved.name]
    with pytest.raises(InputError, match='saved already'):
        save_snapshot(answered(), folder, 'depth')


def test_a_snapshot_holds_the_parameters_of_its_frame(tmp_path):
    saved = save_snapshot(answered(**{'depth.max_range_m': 4.0}), str(tmp_path), 'depth')
    assert read_snapshot(saved).parameters['depth.max_range_m'] == 4.0


def test_the_folder_of_an_unknown_user_is_an_ordinary_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = save_snapshot(answered(), '~no_such_user/here', 'depth')
    assert (tmp_path / saved).is_dir()
    assert saved.parts[:2] == ('~no_such_user', 'here')
