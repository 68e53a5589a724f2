# SPDX-License-Identifier: Apache-2.0
"""Tiny random networks in the live node: from image to depth, cloud and CameraInfo."""

import subprocess
import sys

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz

WIDTH, HEIGHT = 64, 48
EVERYTHING = ('image', 'camera_info', 'points')
OUTPUTS = {'depth/image': Image, 'depth/camera_info': CameraInfo, 'depth/points': PointCloud2}


@pytest.fixture
def live(start_node, client_in, tmp_path):
    """Return a function that starts a node with tiny checkpoints, and a client beside it."""
    pytest.importorskip('torch')
    pytest.importorskip('transformers')
    from tiny_checkpoints import write_checkpoint

    nodes = []

    def start(networks, **parameters):
        namespace = f'tiny_{networks[0]}'
        weights = ','.join(f'{name}={write_checkpoint(name, tmp_path)}' for name in networks)
        given = {
            'model.weights': weights,
            'device': 'cpu',
            'diagnostics.period_s': 0.2,
            'max_frame_age_s': 0.0,
            **{name.replace('__', '.'): value for name, value in parameters.items()},
        }
        node = start_node(given, [f'__ns:=/{namespace}'])
        client = client_in(namespace)
        nodes.append(node)
        for topic, kind in OUTPUTS.items():
            client.subscribe(kind, topic)
        client.subscribe(DiagnosticStatus, 'depth/status')
        node.wait_for_log('active')
        assert all(f'{name}: weights' in node.log and 'sha256' in node.log for name in networks)
        for topic in (*OUTPUTS, 'depth/status'):
            client.wait_for(lambda t=topic: client.node.count_publishers(t), topic)
        return client

    yield start
    for node in nodes:
        node.end()


def answers(client, *topics):
    """Send new frames of these topics until one is answered; return its outputs by topic."""
    sent = []

    def send():
        whole = client.frame()
        sent.append({topic: whole[topic] for topic in topics})
        client.send(sent[-1])

    def complete():
        found = (outputs_of(client, frame['image'].header.stamp) for frame in sent)
        return next((outputs for outputs in found if all(outputs.values())), None)

    return client.repeat(send, complete, 'depth, cloud, CameraInfo and status')


def outputs_of(client, stamp):
    """Return what has come of a frame by topic, None for what has not."""
    outputs = {
        topic: next((m for m in client.received[topic] if m.header.stamp == stamp), None)
        for topic in OUTPUTS
    }
    stamp_ns = str(stamp.sec * 1_000_000_000 + stamp.nanosec)
    statuses = client.received['depth/status']
    outputs['status'] = next((s for s in statuses if value(s, 'stamp_ns') == stamp_ns), None)
    return outputs


def value(status, key):
    return next(pair.value for pair in status.values if pair.key == key)


def method(outputs):
    return value(outputs['status'], 'method')


def check(outputs, focal_px):
    """Check that depth, cloud and CameraInfo belong together; return the depth."""
    depth = decode_depth(outputs['depth/image'])
    info = outputs['depth/camera_info']
    xyz = decode_xyz(outputs['depth/points']).reshape(HEIGHT, WIDTH, 3)
    assert depth.shape == (HEIGHT, WIDTH)
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert info.k[0] == pytest.approx(focal_px, rel=1e-3)
    assert np.isfinite(depth).all()
    np.testing.assert_allclose(xyz[..., 2], depth, rtol=1e-6)
    np.testing.assert_allclose(
        xyz[:, -1, 0], depth[:, -1] * (WIDTH - 1 - info.k[2]) / info.k[0], rtol=1e-5
    )
    return depth


def test_a_network_that_needs_the_focal_length_takes_it_from_camera_info(live):
    client = live(['student_depthmap'], estimator='student_depthmap', prompt__sources='[]')
    outputs = answers(client, 'image', 'camera_info')
    check(outputs, 50.0)
    assert method(outputs) == 'student_depthmap'
    assert outputs['status'].level == DiagnosticStatus.OK


def test_a_camera_without_camera_info_gets_one_from_its_image(live):
    client = live(['depth_pro'], estimator='depth_pro', prompt__sources='[]')
    from tiny_checkpoints import FOV_DEG

    check(answers(client, 'image'), 0.5 * WIDTH / np.tan(np.radians(0.5 * FOV_DEG)))
    client.subscribe(DiagnosticArray, '/diagnostics')
    client.repeat(
        lambda: client.send({'image': client.frame()['image']}),
        lambda: any(
            s.level == DiagnosticStatus.OK and 'frames' in s.name
            for m in client.received['/diagnostics']
            for s in m.status
        ),
        'good health although no CameraInfo comes',
    )


def test_the_teacher_refines_a_prior_that_is_aligned_to_the_points(live):
    client = live(['teacher'], estimator='teacher:classical')
    outputs = answers(client, *EVERYTHING)
    check(outputs, 50.0)
    assert method(outputs).startswith('teacher:classical')


def test_the_prompted_network_answers_while_there_are_points_and_the_monocular_one_else(live):
    client = live(
        ['lingbot_depth', 'student_pointmap'],
        estimator='lingbot_depth',
        fallback_estimator='student_pointmap',
        prompt__max_age_s=0.1,
    )
    client.subscribe(DiagnosticArray, '/diagnostics')
    prompted, silent = 'lingbot_depth', 'student_pointmap (fallback: no prompt)'

    def until(wanted, *topics):
        """Send frames until this method answers one; return its outputs."""
        return client.wait_for(
            lambda: (found := answers(client, *topics)) and method(found) == wanted and found,
            wanted,
        )

    check(until(silent, 'image'), 0.5 * np.hypot(WIDTH, HEIGHT))  # no CameraInfo, no points
    check(until(prompted, *EVERYTHING), 50.0)
    depth = check(until(silent, 'image'), 50.0)
    np.testing.assert_allclose(depth, depth.mean(), rtol=1e-3)  # its plane, in one scale
    client.wait_for(lambda: silent in health(client), 'the switch on /diagnostics')
    check(until(prompted, *EVERYTHING), 50.0)


def health(client):
    return ' '.join(s.message for m in client.received['/diagnostics'] for s in m.status)


def test_weights_that_are_not_here_fail_the_configuration_in_words(start_node):
    pytest.importorskip('torch')
    node = start_node({'estimator': 'teacher:nearest'}, ['__ns:=/no_weights'])
    node.wait_for_log('cannot configure')
    assert 'unreleased' in node.log
    assert 'Traceback' not in node.log


def test_importing_the_node_loads_no_torch():
    code = (
        'import sys, metric_depth_ros.ros.depth_node; '
        'assert not {"torch", "transformers", "open3d"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
