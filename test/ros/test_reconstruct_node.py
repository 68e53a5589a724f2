# SPDX-License-Identifier: Apache-2.0
"""The reconstruct node over real DDS: a camera that looks at a wall 2 m ahead while it moves."""

import importlib.util
import itertools
from array import array

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.codecs.stamps import stamp_ns as stamp_ns_of

# A skip while the module is imported would skip its whole folder under launch_testing's plugin.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('open3d') is None, reason='open3d is missing'
)
HAS_TF2 = importlib.util.find_spec('tf2_ros') is not None
WIDTH, HEIGHT = 64, 48
S = 1_000_000_000
DEPTH_TOPIC, INFO_TOPIC = '/robot/depth/image', '/robot/depth/camera_info'
SETTINGS = {
    'pose.source': 'odometry',
    'pose.max_wait_s': 2.0,
    'fusion.max_rate_hz': 0.0,
    'fusion.device': 'cpu',
    'cloud.rate_hz': 50.0,
    'diagnostics.period_s': 0.2,
}
# The camera looks along x of the robot, half a meter above it.
MOUNT = """
transforms:
  - {parent: base_link, child: camera, matrix: [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0.5]]}
"""


def stamped(message, stamp_ns, frame_id):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)
    message.header.frame_id = frame_id
    return message


def depth_image(stamp_ns, meters=2.0):
    image = Image(height=HEIGHT, width=WIDTH, encoding='32FC1', step=4 * WIDTH)
    image.data = array('B', np.full(HEIGHT * WIDTH, meters, '<f4').tobytes())
    return stamped(image, stamp_ns, 'camera')


def camera_info(stamp_ns):
    info = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model='plumb_bob')
    info.k = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    return stamped(info, stamp_ns, 'camera')


def odometry(stamp_ns, x):
    from nav_msgs.msg import Odometry

    message = stamped(Odometry(child_frame_id='base_link'), stamp_ns, 'odom')
    message.pose.pose.position.x = x
    message.pose.pose.orientation.w = 1.0
    return message


class Drive:
    """A client that publishes depth and odometry, and listens to the cloud."""

    def __init__(self, client, node, name):
        self.client = client
        self.node = node
        self.clouds = client.received['reconstruction/points']
        self._name = f'/{name}/reconstruct'
        self._now_ns = 0
        client.subscribe(PointCloud2, 'reconstruction/points')
        client.subscribe(DiagnosticArray, '/diagnostics')
        node.wait_for_log('active')

    def later(self):
        """Return a stamp long after all others."""
        self._now_ns += 1000 * S
        return self._now_ns

    def depth(self, stamp_ns, meters=2.0):
        for topic, message in (
            ('depth/camera_info', camera_info(stamp_ns)),
            ('depth/image', depth_image(stamp_ns, meters)),
        ):
            self.client.publisher(type(message), topic).publish(message)

    def place(self, stamp_ns, x=0.0):
        """Send odometry just before and after a stamp."""
        for at_ns in (stamp_ns - S // 10, stamp_ns + S // 10):
            message = odometry(at_ns, x)
            self.client.publisher(type(message), 'odometry').publish(message)

    def see(self, stamp_ns, x):
        """Send views with their poses until a cloud of them comes; return its points."""
        stamps = itertools.count(stamp_ns, S // 100)
        end_ns = stamp_ns + 500 * S

        def send():
            now_ns = next(stamps)
            self.place(now_ns, x)
            self.depth(now_ns)

        def own():  # the node may still be publishing what it was sent before
            return [c for c in self.clouds if stamp_ns <= stamp_ns_of(c.header.stamp) < end_ns]

        self.clouds.clear()
        self.client.repeat(send, own, 'a cloud')
        return decode_xyz(own()[0])

    def statuses(self):
        """Return what the node has told of itself, oldest first."""
        return [
            status
            for message in self.client.received['/diagnostics']
            for status in message.status
            if status.hardware_id == self._name
        ]

    def count(self, name):
        """Return a count of the newest report."""
        return next(
            (float(v.value) for s in self.statuses()[-1:] for v in s.values if v.key == name), 0.0
        )


@pytest.fixture(scope='module')
def start_drive(start_node, lasting_client_in, tmp_path_factory):
    def start(name, folder, **parameters):
        mount = tmp_path_factory.mktemp('mount') / 'mount.yaml'
        mount.write_text(MOUNT)
        given = {**SETTINGS, 'extrinsics.path': mount, 'save.folder': folder}
        given |= {key.replace('__', '.'): value for key, value in parameters.items()}
        node = start_node(given, [f'__ns:=/{name}'], 'reconstruct')
        return Drive(lasting_client_in(name), node, name)

    return start


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp('saved')


@pytest.fixture(scope='module')
def robot(start_drive, saved):
    return start_drive('robot', saved, save__on_shutdown=True)


def test_health_names_the_topics_that_are_silent(robot):
    status = robot.client.wait_for(lambda: robot.statuses()[:1], 'a report')[0]
    assert 'depth/image never sent' in status.message
    assert status.level == DiagnosticStatus.WARN


def test_depth_is_fused_where_odometry_says_that_the_camera_was(robot):
    xyz = robot.see(robot.later(), x=1.0)
    assert robot.clouds[0].header.frame_id == 'odom'
    assert len(xyz) > 100
    # The wall is 2 m ahead of x = 1 m; the camera sits half a meter high.
    np.testing.assert_allclose(xyz[:, 0], 3.0, atol=0.02)
    assert xyz[:, 2].mean() == pytest.approx(0.5, abs=0.05)


def test_a_pose_that_comes_late_is_waited_for(robot):
    robot.see(robot.later(), x=0.0)
    robot.clouds.clear()
    stamp_ns = robot.later()
    robot.depth(stamp_ns)

    def seen():
        return any(decode_xyz(cloud)[:, 0].max() > 30.0 for cloud in robot.clouds)

    robot.client.repeat(lambda: robot.place(stamp_ns, 30.0), seen, 'the wall 32 m away')


def test_depth_without_a_pose_is_dropped_counted_and_told(robot):
    robot.see(robot.later(), x=0.0)
    before = robot.count('no_pose')
    robot.client.repeat(
        lambda: robot.depth(robot.later()), lambda: robot.count('no_pose') > before, 'a drop'
    )
    assert 'pose.max_wait_s' in robot.node.wait_for_log('pose_missing')


def test_a_service_writes_mesh_and_cloud(robot, saved):
    robot.see(robot.later(), x=0.0)
    before = set(saved.iterdir())
    answers = []

    def save():
        answers.append(robot.client.call(Trigger, 'reconstruct/save', Trigger.Request()))

    # It is refused while one of the frames just sent is still being fused.
    robot.client.repeat(save, lambda: answers[-1].success, 'a written surface')
    kinds = {path.name.split('_')[0] for path in set(saved.iterdir()) - before}
    assert kinds == {'mesh', 'cloud'}


def test_a_bag_that_begins_anew_begins_a_new_surface(robot, saved):
    stamp_ns = robot.later()
    robot.see(stamp_ns, x=0.0)
    before = len(set(saved.iterdir()))
    again = robot.see(stamp_ns - 500 * S, x=100.0)
    robot.node.wait_for_log('stamp_backward')
    assert again[:, 0].min() > 100.0
    assert len(set(saved.iterdir())) == before + 2  # the old one is not lost


def test_depth_whose_camera_info_has_other_stamps_is_told(robot):
    topics = f'{DEPTH_TOPIC} had no {INFO_TOPIC} of the same stamp'

    def send():
        stamp_ns = robot.later()
        for topic, message in (
            ('depth/camera_info', camera_info(stamp_ns + 1)),
            ('depth/image', depth_image(stamp_ns)),
        ):
            robot.client.publisher(type(message), topic).publish(message)

    def told():
        return [s for s in robot.statuses() if topics in s.message]

    robot.client.repeat(send, told, 'depth that has no CameraInfo')
    assert told()[0].level == DiagnosticStatus.WARN


def test_confidence_of_another_size_costs_its_image_only(robot):
    before = robot.count('bad_input')
    small = Image(height=2, width=2, encoding='32FC1', step=8, data=array('B', bytes(16)))

    def send():
        stamp_ns = robot.later()
        robot.place(stamp_ns)
        message = stamped(small, stamp_ns, 'camera')
        robot.client.publisher(Image, 'depth/confidence').publish(message)
        robot.depth(stamp_ns)

    robot.client.repeat(send, lambda: robot.count('bad_input') > before, 'a refusal')
    robot.node.wait_for_log('dense_size')
    assert len(robot.see(robot.later(), x=0.0))


def test_an_interrupted_node_writes_its_surface_and_ends_well(robot, saved):
    robot.see(robot.later(), x=0.0)
    before = len(set(saved.iterdir()))
    assert robot.node.end() == 0
    assert len(set(saved.iterdir())) == before + 2


def test_poses_may_be_those_of_the_camera_itself(start_drive, tmp_path):
    robot = start_drive('posed', tmp_path, pose__source='pose')
    response = robot.client.call(Trigger, 'reconstruct/save', Trigger.Request())
    assert not response.success
    assert 'no depth image' in response.message

    def send():
        for stamp_ns in (9 * S, 10 * S):
            pose = stamped(PoseStamped(), stamp_ns, 'map')
            pose.pose.position.z, pose.pose.orientation.w = 1.0, 1.0
            robot.client.publisher(PoseStamped, 'pose').publish(pose)
        robot.depth(9_500_000_000)

    robot.client.repeat(send, lambda: robot.clouds, 'a cloud')
    assert robot.clouds[0].header.frame_id == 'map'
    np.testing.assert_allclose(decode_xyz(robot.clouds[0])[:, 2], 3.0, atol=0.02)


@pytest.mark.skipif(HAS_TF2, reason='tf2_ros is installed')
def test_tf2_without_its_package_is_refused_with_what_else_there_is(start_node, tmp_path):
    given = {'pose.source': 'tf2', 'save.folder': tmp_path}
    node = start_node(given, ['__ns:=/no_tf2'], 'reconstruct')
    assert 'odometry' in node.wait_for_log('cannot configure')
    assert node.end() == 0


@pytest.mark.skipif(not HAS_TF2, reason='tf2_ros of a ROS distribution is missing')
def test_poses_come_from_the_transform_tree(start_drive, tmp_path):
    from geometry_msgs.msg import TransformStamped
    from tf2_ros import TransformBroadcaster

    robot = start_drive('tree', tmp_path, pose__source='tf2')
    broadcaster = TransformBroadcaster(robot.client.node)

    def send():
        for stamp_ns in (9 * S, 10 * S):
            transform = stamped(TransformStamped(child_frame_id='camera'), stamp_ns, 'odom')
            transform.transform.translation.z = transform.transform.rotation.w = 1.0
            broadcaster.sendTransform(transform)
        robot.depth(9_500_000_000)

    robot.client.repeat(send, lambda: robot.clouds, 'a cloud')
    assert robot.clouds[0].header.frame_id == 'odom'
    np.testing.assert_allclose(decode_xyz(robot.clouds[0])[:, 2], 3.0, atol=0.02)
