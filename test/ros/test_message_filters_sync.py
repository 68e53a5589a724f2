# SPDX-License-Identifier: Apache-2.0
"""sync.policy exact and approximate, with the real message_filters and real topics."""

import importlib.util
import time

import depth_contract
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.diagnostics import Counters
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.inputs import Inputs, create_assembly
from metric_depth_ros.ros.parameters import DEPTH_NODE

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('message_filters') is None,
    reason='message_filters of a ROS distribution is missing',
)
MS = 1_000_000
S = 1000 * MS
MESSAGES = {
    'image': (Image, depth_contract.image_message),
    'camera_info': (CameraInfo, depth_contract.camera_info_message),
    'sensor_depth/image': (Image, depth_contract.depth_image_message),
}


class Rig:
    """A camera that publishes, and the inputs of the node that listen to it."""

    def __init__(self, node, executor, parameters):
        settings = DEPTH_NODE.settings(
            {'extrinsics.source': 'file', 'extrinsics.path': '-'} | parameters
        )
        self.warnings = []
        self.assembly: Assembly = create_assembly(settings)
        self._executor = executor
        self.inputs = Inputs(
            node, settings, self.assembly, Counters(), FaultLog(self.warnings.append, 0.0)
        )
        self.inputs.open(settings)
        topics = ['image', 'camera_info']
        topics += ['sensor_depth/image'] if 'sensor_depth' in self.inputs.topics else []
        self._publishers = {t: node.create_publisher(MESSAGES[t][0], t, 20) for t in topics}
        self.spin_until(lambda: all(p.get_subscription_count() for p in self._publishers.values()))
        self._began_ns = node.get_clock().now().nanoseconds

    def spin_until(self, condition, deadline_s=20.0):
        ends = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < ends, f'waited in vain; warnings: {self.warnings}'
            self._executor.spin_once(0.02)

    def send(self, stamps_ms):
        """Publish a message per topic, stamped in ms since the test began, until all arrived."""
        sent_s = time.monotonic()
        for topic, stamp_ms in stamps_ms.items():
            sec, nanosec = divmod(self._began_ns + int(stamp_ms * MS), S)
            self._publishers[topic].publish(MESSAGES[topic][1](Time(sec=sec, nanosec=nanosec)))
        self.spin_until(lambda: all(self._heard_since(topic, sent_s) for topic in stamps_ms))

    def paired(self, stamps_ms):
        """Send messages and return the bundle that they make."""
        self.send(stamps_ms)
        # The assembly has no way to ask for an image without waiting: the worker always waits.
        self.spin_until(lambda: self.assembly._image is not None)
        bundle = self.assembly.take()
        assert bundle.image.stamp_ns == self._began_ns + int(stamps_ms['image'] * MS)
        return bundle

    def _heard_since(self, topic, sent_s):
        silent_s = self.assembly.silent_s('sensor_depth' if topic.startswith('sensor') else topic)
        return silent_s is not None and time.monotonic() - silent_s >= sent_s


@pytest.fixture
def rig():
    with idle_node('test_message_filters_sync') as (node, executor):
        yield lambda **parameters: Rig(
            node, executor, {name.replace('__', '.'): value for name, value in parameters.items()}
        )


def test_exact_pairs_equal_stamps(rig):
    rig = rig(sync__policy='exact')
    for stamp_ms in (0, 100, 200):
        bundle = rig.paired({'camera_info': stamp_ms, 'image': stamp_ms})
        assert bundle.measurements['camera_info'].stamp_ns == bundle.image.stamp_ns


def test_exact_reports_images_without_partner_and_takes_the_next_good_pair(rig):
    rig = rig(sync__policy='exact')
    for stamp_ms in range(0, 800, 100):
        rig.send({'camera_info': stamp_ms + 5, 'image': stamp_ms})
    rig.spin_until(lambda: rig.warnings)
    assert '/image [unpaired]' in rig.warnings[0]
    assert 'set sync.policy to approximate' in rig.warnings[0]
    assert rig.assembly.silent_s('image') < 20.0
    rig.paired({'camera_info': 900, 'image': 900})


def test_approximate_pairs_stamps_within_the_slop(rig):
    rig = rig(sync__policy='approximate', sync__slop_s=0.02)
    bundle = rig.paired({'camera_info': 5, 'image': 0})
    assert bundle.measurements['camera_info'].stamp_ns == bundle.image.stamp_ns + 5 * MS


def test_approximate_does_not_pair_stamps_beyond_the_slop(rig):
    rig = rig(sync__policy='approximate', sync__slop_s=0.02)
    rig.send({'camera_info': 50, 'image': 0})
    bundle = rig.paired({'camera_info': 100, 'image': 110})
    assert bundle.measurements['camera_info'].stamp_ns == bundle.image.stamp_ns - 10 * MS


def test_sensor_depth_is_paired_too(rig):
    rig = rig(sync__policy='exact', prompt__sources=['sensor_depth'])
    bundle = rig.paired({'camera_info': 0, 'sensor_depth/image': 0, 'image': 0})
    assert bundle.measurements['sensor_depth'].stamp_ns == bundle.image.stamp_ns


@pytest.mark.parametrize('policy', ['exact', 'approximate'])
def test_after_a_jump_back_what_was_left_over_does_not_block(rig, policy):
    rig = rig(sync__policy=policy, max_frame_age_s=0.0)
    for i in range(8):  # more than may wait for partners, and all newer than what follows
        rig.send({'image': 60_000 + 100 * i})
    rig.spin_until(lambda: rig.warnings)
    for i in range(3):
        rig.paired({'camera_info': 100 * i, 'image': 100 * i})
