# SPDX-License-Identifier: Apache-2.0
"""Several cameras in one node: names, a LiDAR that they share, and one that fails."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.inputs import SharedStreams, input_topics
from metric_depth_ros.ros.parameters import DEPTH_NODE, DepthNodeSettings

CAMERAS = ('front', 'left', 'rear')


@pytest.fixture(scope='module')
def node(start_node):
    return start_node({'cameras': f'[{", ".join(CAMERAS)}]', 'diagnostics.period_s': 0.2})


def send(client, names, stamp_ns=None, **wrong):
    """Publish a frame of each camera and one cloud; return the stamp."""
    stamp_ns = client.now_ns() if stamp_ns is None else stamp_ns
    frames = {name: client.frame(stamp_ns) for name in names}
    client.send({'points': next(iter(frames.values()))['points']})
    for name, frame in frames.items():
        for field, value in wrong.get(name, {}).items():
            setattr(frame['image'], field, value)
        for topic in ('camera_info', 'image'):
            client.publisher(type(frame[topic]), f'{name}/{topic}').publish(frame[topic])
    return stamp_ns


def stamps(client, name):
    return {
        m.header.stamp.sec * 10**9 + m.header.stamp.nanosec
        for m in client.received[f'{name}/depth/image']
    }


@pytest.fixture(scope='module')
def connected(node, client):
    for name in CAMERAS:
        client.subscribe(Image, f'{name}/depth/image')
    client.subscribe(DiagnosticArray, '/diagnostics')
    client.repeat(
        lambda: send(client, CAMERAS),
        lambda: all(client.received[f'{name}/depth/image'] for name in CAMERAS),
        'an answer of each camera',
    )
    return client


def test_every_camera_is_answered_under_its_name(connected):
    stamp = send(connected, CAMERAS)
    connected.wait_for(lambda: all(stamp in stamps(connected, n) for n in CAMERAS))


def test_a_camera_that_sends_nonsense_does_not_stop_the_others(connected, node):
    since = len(node.log)
    stamp = send(connected, CAMERAS, left={'encoding': 'nonsense'})
    connected.wait_for(lambda: all(stamp in stamps(connected, n) for n in ('front', 'rear')))
    assert '/left/image [image_encoding]' in node.wait_for_log('image_encoding', since)
    assert stamp not in stamps(connected, 'left')
    good = send(connected, CAMERAS)
    connected.wait_for(lambda: good in stamps(connected, 'left'), 'the good frame after it')


def test_a_silent_camera_does_not_stop_the_others(connected):
    stamp = send(connected, ('front', 'left'))
    connected.wait_for(lambda: all(stamp in stamps(connected, n) for n in ('front', 'left')))


def test_each_camera_has_its_health(connected):
    def named():
        return {status.name for m in connected.received['/diagnostics'] for status in m.status}

    connected.wait_for(lambda: {f'depth: {name}' for name in CAMERAS} <= named(), 'the health')


def test_clouds_are_subscribed_to_once(connected):
    assert connected.node.count_subscribers('points') == 1


def test_topics_begin_with_the_name_but_those_of_clouds_do_not():
    topics = {topic for topic, _ in input_topics(DepthNodeSettings(), 'front').values()}
    assert topics == {'front/image', 'front/camera_info', 'points'}


def test_a_shared_stream_reaches_everyone():
    shared, received = SharedStreams(), []
    passed_on = shared.join('/points', lambda m: received.append(('front', m)))
    assert shared.join('/points', lambda m: received.append(('left', m))) is None
    passed_on('cloud')
    assert received == [('front', 'cloud'), ('left', 'cloud')]


@pytest.mark.parametrize('name', ['', '/front', 'front/', '6', 'a b', '~', 'ö'])
def test_names_that_no_topic_can_begin_with_are_refused(name):
    with pytest.raises(InputError, match='names that topics can begin with'):
        DEPTH_NODE.settings({'cameras': [name]})


def test_one_transform_for_several_cameras_is_refused_at_configure(start_node):
    given = {'cameras': '[front, rear]', 'extrinsics.path': 'calib.txt'}
    node = start_node(given, ('__ns:=/kitti',))
    assert 'holds one transform' in node.wait_for_log('cannot configure')
    assert node.end() == 0
