# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policies name what the live nodes have: no more is needed, nothing is missing."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pytest

from metric_depth_ros.resources import share_file
from metric_depth_ros.ros.inputs import input_topics
from metric_depth_ros.ros.outputs import OUTPUTS
from metric_depth_ros.ros.parameter_document import NODES
from metric_depth_ros.ros.parameters import DEPTH_NODE

_OF_ROS = {'/clock', '/parameter_events'}  # subscribed by every node
_OF_TF2 = {'/tf', '/tf_static'}  # by those whose parameters ask for transforms of tf2


@dataclass(frozen=True)
class Executable:
    """A node with its policy."""

    name: str
    node: str
    arguments: list[str] = field(default_factory=list)
    ready: str = 'active: '  # in its log
    needs: str = ''


EXECUTABLES = (
    Executable('depth', 'depth', ['-p', 'estimator:=nearest', '-p', 'prompt.sources:=[radar]']),
    Executable('query', 'query', ['-p', 'target_frame:=base_link']),
    Executable('reconstruct', 'reconstruct', ['-p', 'pose.source:=odometry'], needs='torch'),
    # Without a camera it goes on looking for one, with all its publishers.
    Executable('realsense', 'camera', ready='camera_missing', needs='pyrealsense2'),
)


def allowed(executable, kind, attribute):
    root = ElementTree.parse(share_file(f'config/sros2/{executable.name}.policy.xml')).getroot()
    profile = root.find('.//profile')
    assert root.find('.//enclave').get('path') == f'/{executable.node}'
    assert profile.get('node') == executable.node
    names = profile.findall(f'{kind}s[@{attribute}="ALLOW"]/{kind}')
    return {resolved(executable.node, name.text.strip()) for name in names}


def resolved(node, name):
    if name.startswith('/'):
        return name
    return f'/{node}{name[1:]}' if name.startswith('~') else f'/{name}'


def test_inputs_that_parameters_can_ask_for_may_be_subscribed_and_no_others():
    depth = EXECUTABLES[0]
    topics = set()
    for transport, depth_transport in (('raw', 'raw'), ('compressed', 'compressedDepth')):
        settings = DEPTH_NODE.settings(
            {
                'image_transport': transport,
                'prompt.depth_transport': depth_transport,
                'prompt.sources': ['points', 'sensor_depth', 'radar'],
                'extrinsics.source': 'file',
                'extrinsics.path': '-',
            }
        )
        topics |= {resolved('depth', topic) for topic, _ in input_topics(settings).values()}
    assert topics == allowed(depth, 'topic', 'subscribe') - _OF_ROS - _OF_TF2


@pytest.mark.parametrize('executable', EXECUTABLES, ids=lambda executable: executable.name)
def test_nodes_that_tf2_may_be_chosen_for_may_listen_to_it_and_no_others(executable):
    choices = {choice for row in NODES[executable.name].rows.values() for choice in row.choices}
    expected = _OF_TF2 if 'tf2' in choices else set()
    assert allowed(executable, 'topic', 'subscribe') & _OF_TF2 == expected


def test_every_output_may_be_published():
    depth = EXECUTABLES[0]
    outputs = {resolved('depth', topic) for topic in OUTPUTS}
    assert outputs <= allowed(depth, 'topic', 'publish')


@pytest.mark.parametrize('executable', EXECUTABLES, ids=lambda executable: executable.name)
def test_all_that_a_live_node_has_is_allowed(executable, client, calibration, tmp_path):
    if executable.needs and importlib.util.find_spec(executable.needs) is None:
        pytest.skip(f'{executable.needs} is not installed')
    log = tmp_path / 'log.txt'
    # Where tf2 is installed, its listener is among what the node has.
    source = 'tf2' if importlib.util.find_spec('tf2_ros') else 'file'
    extrinsics = ['-p', f'extrinsics.source:={source}', '-p', f'extrinsics.path:={calibration}']
    with log.open('wb') as output:
        process = subprocess.Popen(
            [
                sys.executable, '-m', f'metric_depth_ros.nodes.{executable.name}', '--ros-args',
                *executable.arguments, *extrinsics,
            ],
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    graph = client.node
    served = f'/{executable.node}/change_state'

    def of_node(list_them):
        return {name for name, _ in list_them(executable.node, '/')}

    def is_known():
        return served in {name for name, _ in graph.get_service_names_and_types()}

    try:
        client.wait_for(is_known, f'the services of {executable.name}')
        client.wait_for(lambda: executable.ready in log.read_text(), executable.ready)
        client.waits_for(lambda: False, 0.5)  # what the graph learns last
        assert of_node(graph.get_publisher_names_and_types_by_node) <= allowed(
            executable, 'topic', 'publish'
        )
        assert of_node(graph.get_subscriber_names_and_types_by_node) <= allowed(
            executable, 'topic', 'subscribe'
        )
        assert of_node(graph.get_service_names_and_types_by_node) <= allowed(
            executable, 'service', 'reply'
        )
    finally:
        process.terminate()
        assert process.wait(30) == 0


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
