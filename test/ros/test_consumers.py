# SPDX-License-Identifier: Apache-2.0
"""What consumers rely on, message by message: a tracker, Nav2's voxel layer, a grasp planner.

The wall of the client stands 5 m ahead; K is fx = fy = 50, cx = 32, cy = 24.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.ros.outputs import OUTPUTS
from metric_depth_ros.ros.parameters import DEPTH_NODE

DOCUMENT = Path(__file__).parents[2] / 'docs/CONSUMERS.md'
WALL_M, VOXEL_M = 5.0, 0.1
KINDS = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/points': PointCloud2,
    'depth/points_voxels': PointCloud2,
}
needs_filters = pytest.mark.skipif(
    importlib.util.find_spec('message_filters') is None, reason='message_filters is missing'
)


@pytest.fixture(scope='module')
def answered(start_node, client):
    """Return a function that sends a frame and returns it with all that came back."""
    start_node(
        {'depth.encoding': '16UC1', 'depth.edge_filter': 0.03, 'depth.voxel_size_m': VOXEL_M}
    )
    for topic, kind in KINDS.items():
        client.warm_up(kind, topic)

    def answer():
        frame = client.frame()
        client.send(frame)
        stamp = frame['image'].header.stamp

        def all_of_it():
            found = {
                topic: next((m for m in client.received[topic] if m.header.stamp == stamp), None)
                for topic in KINDS
            }
            return None not in found.values() and found

        return frame, client.wait_for(all_of_it, 'all outputs of a frame')

    return answer


def columns(cloud):
    """Read x, y, z as sensor_msgs::PointCloud2ConstIterator<float> does: by offset and step."""
    assert not cloud.is_bigendian
    offsets = {field.name: field.offset for field in cloud.fields}
    assert all(f.datatype == 7 and f.count == 1 for f in cloud.fields if f.name in 'xyz')
    rows = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    return np.stack(
        [rows[:, offsets[n] : offsets[n] + 4].copy().view('<f4')[:, 0] for n in 'xyz'], axis=-1
    )


def test_a_tracker_pairs_depth_and_image_by_exact_stamp(answered):
    frame, outputs = answered()
    for message in outputs.values():
        assert message.header == frame['image'].header
    image = frame['image']
    for topic in ('depth/image', 'depth/camera_info'):
        assert (outputs[topic].width, outputs[topic].height) == (image.width, image.height)


@needs_filters
def test_the_exact_synchronizer_of_ros_pairs_every_frame(answered):
    import message_filters

    pairs = []
    inputs = [message_filters.SimpleFilter() for _ in range(3)]
    synchronizer = message_filters.TimeSynchronizer(inputs, 10)
    synchronizer.registerCallback(lambda *messages: pairs.append(messages))
    for _ in range(3):
        frame, outputs = answered()
        messages = (frame['image'], outputs['depth/image'], outputs['depth/camera_info'])
        for source, message in zip(inputs, messages, strict=True):
            source.signalMessage(message)
    assert len(pairs) == 3


def test_a_tracker_places_a_detection_by_its_median_depth_and_k(answered):
    _, outputs = answered()
    depth = millimeters(outputs['depth/image'])
    u0, v0, u1, v1 = 20, 26, 30, 36  # a box in the lower half, where the LiDAR sees the wall
    box = depth[v0:v1, u0:u1]
    z = np.median(box[box > 0]) * 1e-3
    k = outputs['depth/camera_info'].k
    x = ((u0 + u1 - 1) / 2 - k[2]) * z / k[0]
    assert z == pytest.approx(WALL_M, abs=0.05)
    assert x == pytest.approx((24.5 - 32.0) * WALL_M / 50.0, abs=0.05)


def test_the_cloud_of_nav2_has_no_point_that_is_not_finite(answered):
    _, outputs = answered()
    cloud = outputs['depth/points_voxels']
    points = columns(cloud)
    assert cloud.is_dense
    assert cloud.height == 1
    assert cloud.row_step == cloud.width * cloud.point_step == len(cloud.data)
    assert np.isfinite(points).all()
    assert 0 < len(points) < outputs['depth/points'].width * outputs['depth/points'].height


def test_the_voxel_layer_marks_the_wall_and_nothing_before_it(answered):
    _, outputs = answered()
    optical = columns(outputs['depth/points_voxels'])
    # What costmap_2d does: move to a level frame at the robot, keep a band of heights and ranges.
    x, y, z = optical[:, 2], -optical[:, 0], 1.0 - optical[:, 1]
    ranges = np.linalg.norm(optical, axis=1)
    marked = (z > 0.1) & (z < 2.0) & (ranges > 0.2) & (ranges < 8.0)
    cells = np.unique(np.floor(np.stack((x, y), axis=-1)[marked] / VOXEL_M), axis=0)
    assert len(cells) > 10
    np.testing.assert_allclose(cells[:, 0] * VOXEL_M, WALL_M, atol=2 * VOXEL_M)


def test_at_most_one_point_lies_in_a_voxel(answered):
    _, outputs = answered()
    points = columns(outputs['depth/points_voxels'])
    # A mean may round over the face of its cube, which the wall at 5.0 m is.
    inside = points[np.abs(points / VOXEL_M - np.rint(points / VOXEL_M)).min(axis=1) > 1e-3]
    assert len(np.unique(np.floor(inside / VOXEL_M), axis=0)) == len(inside)


def millimeters(image):
    assert image.encoding == '16UC1'
    assert not image.is_bigendian
    assert image.step == 2 * image.width
    return np.frombuffer(image.data, '<u2').reshape(image.height, image.width)


def test_a_grasp_planner_gets_millimeters_with_zero_for_unknown(answered):
    _, outputs = answered()
    depth = millimeters(outputs['depth/image'])
    assert depth.dtype == np.uint16
    assert np.all((depth == 0) | (np.abs(depth.astype(int) - 1000 * WALL_M) < 50))


def test_pixels_of_the_depth_image_are_points_of_the_organized_cloud(answered):
    _, outputs = answered()
    depth, cloud = millimeters(outputs['depth/image']), outputs['depth/points']
    points = columns(cloud).reshape(cloud.height, cloud.width, 3)
    v, u = np.argwhere(depth > 0)[::97].T
    z = depth[v, u] * 1e-3
    k = outputs['depth/camera_info'].k
    expected = np.stack(((u - k[2]) * z / k[0], (v - k[5]) * z / k[4], z), axis=-1)
    np.testing.assert_allclose(points[v, u], expected, atol=2e-3)


def documented():
    return [
        yaml.safe_load(b) for b in re.findall(r'```yaml\n(.*?)```', DOCUMENT.read_text(), re.S)
    ]


def test_the_documented_parameters_are_those_of_the_node():
    ours = [block['/**']['ros__parameters'] for block in documented() if '/**' in block]
    assert len(ours) == 3
    for values in ours:
        assert values.keys() <= DEPTH_NODE.rows.keys()
        DEPTH_NODE.settings(values)


def test_the_documented_cloud_of_the_voxel_layer_is_not_cut_off_before_what_clears():
    ours = [block['/**']['ros__parameters'] for block in documented() if '/**' in block]
    (values,) = [values for values in ours if 'depth.voxel_size_m' in values]
    settings = DEPTH_NODE.settings(values)
    assert settings.depth.max_range_m == DEPTH_NODE.rows['depth.max_range_m'].default


def test_the_documented_topic_of_the_voxel_layer_is_published():
    layer = next(block['voxel_layer'] for block in documented() if 'voxel_layer' in block)
    source = layer[layer['observation_sources']]
    assert OUTPUTS[source['topic'].removeprefix('/')].__name__ == source['data_type']
