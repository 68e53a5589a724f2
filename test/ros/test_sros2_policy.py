# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy names what the live node has: no more is needed, nothing is missing."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from metric_depth_ros.resources import share_file
from metric_depth_ros.ros.inputs import input_topics
from metric_depth_ros.ros.outputs import OUTPUTS
from metric_depth_ros.ros.parameters import settings_from

NODE = '/depth'


def allowed(kind, attribute):
    root = ElementTree.parse(share_file('config/sros2/depth.policy.xml')).getroot()
    names = root.findall(f'.//{kind}s[@{attribute}="ALLOW"]/{kind}')
    texts = (name.text.strip() for name in names)
    return {resolved(text) for text in texts}


def resolved(name):
    if name.startswith('/'):
        return name
    return f'{NODE}{name[1:]}' if name.startswith('~') else f'/{name}'


def test_every_input_that_parameters_can_ask_for_may_be_subscribed():
    may = allowed('topic', 'subscribe')
    for transport, depth_transport in (('raw', 'raw'), ('compressed', 'compressedDepth')):
        settings = settings_from(
            {
                'image_transport': transport,
                'prompt.depth_transport': depth_transport,
                'prompt.sources': ['points', 'sensor_depth', 'radar'],
                'extrinsics.source': 'file',
                'extrinsics.path': '-',
            }
        )
        topics = {resolved(topic) for topic, _ in input_topics(settings).values()}
        assert topics <= may


def test_every_output_may_be_published():
    assert {resolved(topic) for topic in OUTPUTS} <= allowed('topic', 'publish')


@pytest.fixture(scope='module')
def node(start_node, client):
    node = start_node()
    client.connect()
    return node


def test_all_that_a_live_node_publishes_and_serves_is_allowed(node, client):
    published = {
        name for name, _ in client.node.get_publisher_names_and_types_by_node('depth', '/')
    }
    served = {name for name, _ in client.node.get_service_names_and_types_by_node('depth', '/')}
    assert published <= allowed('topic', 'publish')
    assert served <= allowed('service', 'reply')
    assert f'{NODE}/save_snapshot' in served


def test_a_node_without_keys_does_not_start_where_security_is_enforced(tmp_path):
    security = {
        'ROS_SECURITY_ENABLE': 'true',
        'ROS_SECURITY_STRATEGY': 'Enforce',
        'ROS_SECURITY_KEYSTORE': str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.nodes.depth'],
        env={**os.environ, **security},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert 'security' in done.stderr.lower()
    assert 'Traceback' not in done.stderr
