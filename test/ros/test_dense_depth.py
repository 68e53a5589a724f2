# SPDX-License-Identifier: Apache-2.0
"""Published depth is read only with the CameraInfo of its own camera."""

from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_depth
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.dense_depth import CAMERA_INFO, DEPTH, decode_dense
from metric_depth_ros.types import CameraModel

FULL = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def messages(of_depth, of_info):
    depth = encode_depth(np.full((6, 8), 2.0, np.float32), '32FC1')
    info = camera_to_fields(CameraModel.pinhole(8, 6, 10.0, 10.0, 3.5, 2.5))
    depth_header, info_header = (SimpleNamespace(frame_id=f) for f in (of_depth, of_info))
    return {
        DEPTH: SimpleNamespace(**vars(depth), header=depth_header),
        CAMERA_INFO: SimpleNamespace(
            **vars(info), header=info_header, binning_x=0, binning_y=0, roi=FULL
        ),
    }


def test_the_camera_info_of_another_camera_is_refused():
    with pytest.raises(InputError, match="is of 'front_depth' but depth/image") as told:
        decode_dense(1, messages('front_color', 'front_depth'))
    assert told.value.fault == 'dense_frame'


@pytest.mark.parametrize('of_info', ['camera', '/camera', ''])
def test_the_camera_info_of_the_same_frame_or_of_none_is_taken(of_info):
    assert decode_dense(1, messages('camera', of_info)).frame_id == 'camera'
