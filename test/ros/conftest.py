# SPDX-License-Identifier: Apache-2.0
"""Real nodes over real DDS: a client in this process, the node as a process of its own."""

import signal
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from metric_depth_ros.replay.service_calls import response_to

DEADLINE_S = 30.0  # discovery takes up to 3 s on an idle machine, and machines are not idle
SIZE = (64, 48)
CALIBRATION = """
transforms:
  - {parent: camera, child: lidar, matrix: [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]}
"""


@pytest.fixture(scope='session')
def calibration(tmp_path_factory):
    path = tmp_path_factory.mktemp('calibration') / 'rig.yaml'
    path.write_text(CALIBRATION)
    return path


class NodeProcess:
    """A node as a user starts it, or a script that runs one, with its log."""

    def __init__(self, log_path, parameters, remaps, executable='depth'):
        arguments = [f'-p{name}:={value}' for name, value in parameters.items()]
        split = [part for a in arguments for part in ('-p', a[2:])]
        split += [part for remap in remaps for part in ('-r', remap)]
        self._log_path = log_path
        script = isinstance(executable, Path)
        program = [executable] if script else ['-m', f'metric_depth_ros.nodes.{executable}']
        with log_path.open('wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, '--ros-args', *split],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self):
        return self._log_path.read_text(errors='replace')

    def wait_for_log(self, text, since=0):
        """Wait until a line after position `since` holds `text`; return the whole log."""
        end_s = time.monotonic() + DEADLINE_S
        while text not in self.log[since:]:
            assert self.process.poll() is None, f'the node ended:\n{self.log}'
            assert time.monotonic() < end_s, f'no {text!r} in the log:\n{self.log}'
            time.sleep(0.02)
        return self.log

    def end(self, number=signal.SIGINT, times=1):
        """Signal the process and return its exit code."""
        for _ in range(times):
            if self.process.poll() is None:
                self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        if code:
            print(self.log)  # shown with the failure: the stack of a crash is in it
        return code


@pytest.fixture(scope='module')
def start_node(tmp_path_factory, calibration):
    """Return a function that starts a node; all end with the module."""
    started = []

    def start(parameters=(), remaps=(), executable='depth'):
        defaults = {
            'extrinsics.source': 'file',
            'extrinsics.path': calibration,
            'log_throttle_s': 0.0,
        }
        if executable == 'depth':
            defaults['estimator'] = 'nearest'
        log_path = tmp_path_factory.mktemp('node') / 'log.txt'
        node = NodeProcess(log_path, {**defaults, **dict(parameters)}, remaps, executable)
        started.append(node)
        return node

    yield start
    for node in started:
        node.end()  # not killed: a killed participant haunts the domain until its lease ends


class Client:
    """Everything around the depth node: a camera, a LiDAR, and a listener."""

    def __init__(self, namespace=''):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('client', context=self.context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._publishers = {}
        self._callers = {}
        self.received = defaultdict(list)
        self._last_ns = 0

    def close(self):
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def wait_for(self, condition, what='condition'):
        """Spin until the condition holds; return its value."""
        end_s = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < end_s, f'waited in vain for {what}'
            self._executor.spin_once(0.02)
        return value

    def waits_for(self, condition, limit_s):
        """Spin until the condition holds or the time is over; tell whether it held."""
        end_s = time.monotonic() + limit_s
        while not condition() and time.monotonic() < end_s:
            self._executor.spin_once(0.02)
        return bool(condition())

    def subscribe(self, kind, topic, qos=10):
        """Collect what a topic brings in `received`."""
        self.node.create_subscription(kind, topic, self.received[topic].append, qos)

    def listen(self, kind, topic, qos=10):
        """Subscribe to a topic and wait for its publisher."""
        self.subscribe(kind, topic, qos)
        self.wait_for(lambda: self.node.count_publishers(topic), f'a publisher of {topic}')

    def warm_up(self, kind, topic):
        """Subscribe to an output, and send frames until it answers one."""
        if topic not in self.received:
            self.subscribe(kind, topic)
        self.repeat(lambda: self.send(self.frame()), lambda: self.received[topic], f'any {topic}')

    def repeat(self, action, condition, what):
        """Do something until the condition holds: what is sent before discovery ends is lost."""
        last_s = 0.0

        def tried():
            nonlocal last_s
            if time.monotonic() - last_s > 0.3:
                last_s = time.monotonic()
                action()
            return condition()

        return self.wait_for(tried, what)

    def connect(self):
        """Publish the inputs and listen to the depth image."""
        from sensor_msgs.msg import Image

        self.warm_up(Image, 'depth/image')

    def publisher(self, kind, topic, qos=10):
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
        publisher = self._publishers[topic]
        self.wait_for(publisher.get_subscription_count, f'a subscriber of {topic}')
        return publisher

    def now_ns(self):
        """Return a stamp that is later than any before."""
        now = self.node.get_clock().now().nanoseconds
        self._last_ns = max(now, self._last_ns + 1)
        return self._last_ns

    def frame(self, stamp_ns=None):
        """Return the messages of one good frame: a wall 5 m ahead, half of it seen."""
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        width, height = SIZE
        image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        image.data = array('B', bytes(3 * width * height))
        info = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
        info.k = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
        y, z = np.meshgrid(np.linspace(-2, 2, 30), np.linspace(-2, 0, 10))
        xyz = np.stack((np.full(y.shape, 5.0), y, z), axis=-1).reshape(-1, 3).astype('<f4')
        cloud = PointCloud2(height=1, width=len(xyz), point_step=12, row_step=12 * len(xyz))
        cloud.fields = [
            PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate('xyz')
        ]
        cloud.data = array('B', xyz.tobytes())
        for message, frame_id in ((image, 'camera'), (info, 'camera'), (cloud, 'lidar')):
            message.header.frame_id = frame_id
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(
                stamp_ns, 1_000_000_000
            )
        return {'image': image, 'camera_info': info, 'points': cloud}

    def send(self, frame):
        """Publish what a frame holds, measurements first."""
        for topic in sorted(frame, key=lambda topic: topic.endswith('image')):
            self.publisher(type(frame[topic]), topic).publish(frame[topic])

    def answer(self, frame, topic='depth/image'):
        """Publish a frame and wait for the output of its stamp."""
        self.send(frame)
        stamp = frame['image'].header.stamp

        def found():
            return next((m for m in self.received[topic] if m.header.stamp == stamp), None)

        return self.wait_for(found, f'{topic} of {stamp}')

    def call(self, kind, service, request):
        """Call a service and return its response.

        The response to a client that the server has not discovered yet is lost. Hence one client
        a service for the whole session, and requests that change nothing are sent again.
        """
        from lifecycle_msgs.srv import ChangeState, GetState

        if service not in self._callers:
            self._callers[service] = self.node.create_client(kind, service)
            if kind is ChangeState:
                # Sent once only: whoever answers this one by now knows the other client, too.
                asked = service.replace('change_state', 'get_state')
                self.call(GetState, asked, GetState.Request())
        caller = self._callers[service]
        self.wait_for(caller.service_is_ready, service)
        response = response_to(caller, request, repeats=kind is not ChangeState)
        return self.wait_for(response, f'response of {service}')


@pytest.fixture(scope='module')
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def client_in():
    """Return a function that makes a client in a namespace; all end with the test."""
    yield from _clients()


@pytest.fixture(scope='module')
def lasting_client_in():
    """Return a function that makes a client in a namespace; all end with the module."""
    yield from _clients()


def _clients():
    clients = []

    def make(namespace):
        clients.append(Client(namespace))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
