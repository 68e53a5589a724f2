# SPDX-License-Identifier: Apache-2.0
"""Message fields to arrays and back at 1920x1080, against one memory copy of the same image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from metric_depth_ros.bench.scene import street_like, surround_scan
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.codecs.image import decode_color, decode_depth, encode_color, encode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz, encode_cloud, encode_organized
from metric_depth_ros.geometry.unprojection import depth_to_points


def run(rounds: int) -> list[Row]:
    """Time the codecs; the baseline copies the 8.3 MB of a float32 depth image."""
    scene = street_like(1920, 1080)
    depth = scene.depth
    depth_msg = encode_depth(depth, '32FC1')
    rgb_msg, bgr_msg = encode_color(scene.image, 'rgb8'), encode_color(scene.image, 'bgr8')
    points = depth_to_points(scene.camera, depth)
    x, y, z = surround_scan(120_000).T
    cloud_msg = encode_cloud({'x': x, 'y': y, 'z': z, 'intensity': np.ones_like(x)})
    big_endian = SimpleNamespace(
        height=1080, width=1920, encoding='32FC1', is_bigendian=1, step=7680,
        data=depth.astype('>f4').view(np.uint8).ravel(),
    )  # fmt: skip
    return race(
        {
            'copy of the depth image': depth.copy,
            'decode 32FC1': lambda: decode_depth(depth_msg),
            'decode 32FC1, big-endian': lambda: decode_depth(big_endian),
            'decode rgb8': lambda: decode_color(rgb_msg),
            'decode bgr8': lambda: decode_color(bgr_msg),
            'encode 32FC1': lambda: encode_depth(depth, '32FC1'),
            'encode 16UC1': lambda: encode_depth(depth, '16UC1'),
            'decode a 120,000-point cloud': lambda: decode_xyz(cloud_msg),
            'unproject': lambda: depth_to_points(scene.camera, depth),
            'encode an organized XYZRGB cloud': lambda: encode_organized(points, scene.image),
        },
        rounds,
    )
