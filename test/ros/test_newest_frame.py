# SPDX-License-Identifier: Apache-2.0
"""The newest image as a frame, for questions that come one by one."""

from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_color
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros import framing
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.newest_frame import NewestFrame
from metric_depth_ros.ros.parameters import CameraSettings
from metric_depth_ros.types import CameraModel

CAMERA = CameraModel.pinhole(8, 6, 10.0, 10.0, 3.5, 2.5)
FULL = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def message(fields, second=1, **extra):
    header = SimpleNamespace(frame_id='camera', stamp=SimpleNamespace(sec=second, nanosec=0))
    return SimpleNamespace(**vars(fields), header=header, **extra)


def image(second=1):
    return message(encode_color(np.full((6, 8, 3), 9, np.uint8)), second)


def info(camera=CAMERA, second=1):
    return message(camera_to_fields(camera), second, binning_x=0, binning_y=0, roi=FULL)


def newest(camera, on_jump=lambda: None):
    node = SimpleNamespace(resolve_topic_name=lambda name: f'/{name}')
    return NewestFrame(node, 'raw', camera, FaultLog(print, 0.0), on_jump)


def test_questions_about_one_camera_compute_its_rectification_once(monkeypatch):
    made = []

    class Counted(framing.Rectification):
        def __init__(self, *given):
            made.append(given)
            super().__init__(*given)

    monkeypatch.setattr(framing, 'Rectification', Counted)
    frames = newest(CameraSettings(rectify=True))
    frames._store('camera_info', info())
    for second in (1, 2, 3):
        frames._store('image', image(second))
        frame = frames.frame(frames.take(), camera_needed=True)
        assert frame.stamp_ns == second * NS_PER_S
        assert frame.camera == made[0][0]
    assert len(made) == 1


def test_an_image_whose_camera_is_not_known_is_refused_only_where_that_is_needed():
    frames = newest(CameraSettings())
    frames._store('image', image())
    assert frames.frame(frames.take(), camera_needed=False).camera is None
    with pytest.raises(InputError, match='no CameraInfo has been received'):
        frames.frame(frames.take(), camera_needed=True)


def test_an_image_gets_the_camera_info_of_its_stamp_though_a_newer_one_has_come():
    zoomed = CameraModel.pinhole(8, 6, 20.0, 20.0, 3.5, 2.5)
    frames = newest(CameraSettings())
    frames._store('camera_info', info(CAMERA, 1))
    frames._store('image', image(1))
    frames._store('camera_info', info(zoomed, 2))
    assert frames.frame(frames.take(), camera_needed=True).camera == CAMERA
    frames._store('image', image(3))
    assert frames.frame(frames.take(), camera_needed=True).camera == zoomed


def test_an_image_of_a_clock_that_went_back_is_told():
    jumps = []
    frames = newest(CameraSettings(), lambda: jumps.append(1))
    for second, told in ((10, 0), (9, 0), (5, 1), (6, 1)):
        frames._store('image', image(second))
        assert len(jumps) == told
