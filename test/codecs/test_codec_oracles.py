# SPDX-License-Identifier: Apache-2.0
"""Our cloud codecs against sensor_msgs_py, where a distribution has it."""

from array import array
from importlib.util import find_spec

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from metric_depth_ros.codecs.pointcloud import decode_xyz, encode_cloud, encode_organized

needs_sensor_msgs_py = pytest.mark.skipif(
    find_spec('sensor_msgs_py') is None,
    reason='sensor_msgs_py of a ROS distribution is not installed',
)


def cloud_of(fields) -> PointCloud2:
    return PointCloud2(
        height=fields.height, width=fields.width, point_step=fields.point_step,
        row_step=fields.row_step, is_bigendian=fields.is_bigendian, is_dense=fields.is_dense,
        fields=[
            PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
            for f in fields.fields
        ],
        data=array('B', fields.data.tobytes()),
    )  # fmt: skip


@needs_sensor_msgs_py
def test_our_clouds_read_with_sensor_msgs_py(rng):
    from sensor_msgs_py.point_cloud2 import read_points

    xyz = rng.normal(0.0, 10.0, (50, 3)).astype(np.float32)
    x, y, z = xyz.T
    ring = np.arange(50, dtype=np.uint16)
    read = read_points(cloud_of(encode_cloud({'x': x, 'y': y, 'z': z, 'ring': ring})))
    for name, column in zip('xyz', xyz.T, strict=True):
        np.testing.assert_array_equal(read[name], column)
    np.testing.assert_array_equal(read['ring'], ring)


@needs_sensor_msgs_py
def test_our_organized_clouds_read_with_sensor_msgs_py(rng):
    from sensor_msgs_py.point_cloud2 import read_points

    points = rng.normal(0.0, 3.0, (4, 6, 3)).astype(np.float32)
    points[1, 2] = np.nan
    rgb = rng.integers(0, 256, (4, 6, 3), np.uint8)
    read = read_points(cloud_of(encode_organized(points, rgb)))
    found = np.stack([read[name] for name in 'xyz'], axis=-1).reshape(points.shape)
    np.testing.assert_array_equal(found, points)
    packed = np.ascontiguousarray(read['rgb']).view(np.uint32).reshape(4, 6)
    unpacked = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
    np.testing.assert_array_equal(unpacked, rgb)


@needs_sensor_msgs_py
def test_clouds_of_sensor_msgs_py_decode_with_ours(rng):
    from sensor_msgs_py.point_cloud2 import create_cloud_xyz32

    xyz = rng.normal(0.0, 10.0, (50, 3)).astype(np.float32)
    np.testing.assert_array_equal(decode_xyz(create_cloud_xyz32(Header(), xyz)), xyz)
