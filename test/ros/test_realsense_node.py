# SPDX-License-Identifier: Apache-2.0
"""The `realsense` node on a camera in software: over DDS, to a depth node, and through faults."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest
import software_camera as soft

pytestmark = pytest.mark.skipif(
    find_spec('pyrealsense2') is None, reason='pyrealsense2 is not installed'
)
COLOR, DEPTH, ALIGNED = (
    '/camera/color/image_raw',
    '/camera/depth/image_rect_raw',
    '/camera/aligned_depth_to_color/image_raw',
)
COLOR_INFO, DEPTH_INFO = '/camera/color/camera_info', '/camera/depth/camera_info'


class Rig:
    """The node with a camera that can be unplugged, spun by a thread."""

    def __init__(self, calibration):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from metric_depth_ros.ros.realsense.node import RealsenseNode

        parameters = {
            'color.width': soft.WIDTH,
            'color.height': soft.HEIGHT,
            'depth.width': 0,
            'depth.height': 0,
            'depth.align_to_color': 'true',
            'calibration_file': calibration,
            'timeout_s': 0.5,
            'retry_max_s': 0.5,
            'diagnostics.period_s': 0.2,
        }
        arguments = ['--ros-args']
        for name, value in parameters.items():
            arguments += ['-p', f'{name}:={value}']
        rclpy.init(args=arguments)
        self.calibration = calibration
        self.camera = soft.SoftwareCamera('0042')
        self.connected = []
        self.node = RealsenseNode(find_devices=lambda: self.connected)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.node.autostart()
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        self.plug_in()

    def plug_in(self):
        self.camera.start()
        self.connected.append(self.camera.device)

    def unplug(self):
        self.connected.clear()
        self.camera.stop()

    def close(self):
        import rclpy

        self.node.release()
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown()
        self.camera.stop()


@pytest.fixture(scope='module')
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp('camera') / 'camera.yaml')
    yield rig
    rig.close()


def pixels(image, kind=np.uint16):
    return np.frombuffer(image.data, kind).reshape(image.height, -1)


def stamp_ns(message):
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def test_the_topics_of_an_rgbd_camera_are_published(rig, client):
    from sensor_msgs.msg import CameraInfo, Image

    for topic in (COLOR, DEPTH, ALIGNED):
        client.subscribe(Image, topic)
    for topic in (COLOR_INFO, DEPTH_INFO):
        client.subscribe(CameraInfo, topic)
    topics = (COLOR, DEPTH, ALIGNED, COLOR_INFO, DEPTH_INFO)
    client.wait_for(lambda: all(client.received[t] for t in topics), 'all topics')
    color, depth, aligned, color_info, depth_info = (client.received[t][-1] for t in topics)

    assert color.encoding == 'rgb8'
    assert pixels(color, np.uint8)[20, :3].tolist() == list(soft.RED)
    assert color.header.frame_id == color_info.header.frame_id == 'camera_color_optical_frame'
    assert color_info.distortion_model == 'plumb_bob'
    assert list(color_info.d) == pytest.approx(soft.COLOR_LENS)
    assert depth.encoding == aligned.encoding == '16UC1'
    assert pixels(depth)[0, 0] == soft.DEPTH_MM
    assert depth.header.frame_id == depth_info.header.frame_id == 'camera_depth_optical_frame'
    assert depth_info.k[0] == 50.0
    assert aligned.header.frame_id == 'camera_color_optical_frame'


def test_stamps_are_those_of_the_camera(rig, client):
    from sensor_msgs.msg import Image

    client.subscribe(Image, DEPTH)
    client.received[DEPTH].clear()
    client.wait_for(lambda: client.received[DEPTH], 'depth')
    sent_ms = np.array(rig.camera.sent_ms)
    off_ms = np.abs(sent_ms - stamp_ns(client.received[DEPTH][-1]) * 1e-6).min()
    assert off_ms < 1e-3


needs_tf2 = pytest.mark.skipif(
    find_spec('tf2_ros') is None, reason='tf2_ros of a ROS distribution is not installed'
)


@pytest.mark.parametrize('source', ['file', pytest.param('tf2', marks=needs_tf2)])
def test_a_depth_node_elsewhere_places_unregistered_depth(rig, client, start_node, source):
    from sensor_msgs.msg import Image

    client.wait_for(rig.calibration.exists, 'the calibration file')
    node = start_node(
        {
            'prompt.sources': '[sensor_depth]',
            'prompt.max_age_s': 1.0,
            'extrinsics.source': source,
            'extrinsics.path': rig.calibration,
        },
        [
            f'image:={COLOR}',
            f'camera_info:={COLOR_INFO}',
            f'sensor_depth/image:={DEPTH}',
            f'sensor_depth/camera_info:={DEPTH_INFO}',
        ],
    )
    node.wait_for_log('active: waiting')
    since_ns = client.now_ns()  # what is older came from another node

    def answered(topic):
        return next((m for m in client.received[topic] if stamp_ns(m) > since_ns), None)

    for topic in ('/depth/image', '/depth/prompt'):
        client.subscribe(Image, topic)
    client.wait_for(lambda: answered('/depth/image'), f'depth\n{node.log}')
    client.wait_for(lambda: answered('/depth/prompt'), f'a prompt\n{node.log}')
    prompt = pixels(answered('/depth/prompt'), np.float32)
    assert prompt.shape == (soft.HEIGHT, soft.WIDTH)
    known = prompt[np.isfinite(prompt)]
    assert len(known) > 500
    assert np.median(known) == pytest.approx(1.5, abs=0.01)
    assert node.end() == 0


def set_parameter(client, name, value):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return client.call(SetParameters, '/camera/set_parameters', request).results[0]


def test_filters_change_while_the_camera_runs(rig, client):
    from sensor_msgs.msg import Image

    client.subscribe(Image, DEPTH)
    assert set_parameter(client, 'filters.decimation.enable', True).successful
    small = (soft.HEIGHT // 2, soft.WIDTH // 2)
    client.wait_for(
        lambda: client.received[DEPTH] and pixels(client.received[DEPTH][-1]).shape == small,
        'smaller depth',
    )
    assert set_parameter(client, 'filters.decimation.enable', False).successful
    refused = set_parameter(client, 'filters.threshold.max_m', 0.01)
    assert not refused.successful
    assert 'filters.threshold.min_m' in refused.reason


def test_a_stream_cannot_change_while_the_camera_runs(rig, client):
    refused = set_parameter(client, 'color.width', 1280)
    assert not refused.successful
    assert 'next configure' in refused.reason


def health_of(client):
    """Return the newest status of the camera."""
    statuses = [s for m in client.received['/diagnostics'] for s in m.status]
    return next((s for s in reversed(statuses) if s.name == 'camera: camera'), None)


def test_a_camera_that_is_unplugged_is_told_and_opened_again_when_it_is_back(rig, client):
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image

    client.subscribe(Image, COLOR)
    client.subscribe(DiagnosticArray, '/diagnostics')

    def level_is(level):
        status = health_of(client)
        return status is not None and status.level == level

    client.wait_for(lambda: level_is(b'\x00'), 'good health')
    assert health_of(client).hardware_id == '0042'
    rig.unplug()
    client.wait_for(
        lambda: level_is(b'\x02') and 'connected: none' in health_of(client).message, 'the loss'
    )
    rig.plug_in()
    client.received[COLOR].clear()
    client.wait_for(lambda: client.received[COLOR], 'color of the camera that is back')
    client.wait_for(lambda: level_is(b'\x00'), 'good health again')
    values = {v.key: v.value for v in health_of(client).values}
    assert int(values['opened']) >= 2


def test_transitions_close_and_open_the_camera(rig, client):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from sensor_msgs.msg import Image

    client.subscribe(Image, COLOR)

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert client.call(ChangeState, '/camera/change_state', request).success

    change(Transition.TRANSITION_DEACTIVATE)
    change(Transition.TRANSITION_CLEANUP)
    change(Transition.TRANSITION_CONFIGURE)
    client.received[COLOR].clear()
    change(Transition.TRANSITION_ACTIVATE)
    client.wait_for(lambda: client.received[COLOR], 'color')
