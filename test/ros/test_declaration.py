# SPDX-License-Identifier: Apache-2.0
"""Values set while a node is configured: changed at once, prepared, or refused."""

import pytest
from rclpy.parameter import Parameter

from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.ros.declaration import DeclaredParameters
from metric_depth_ros.ros.parameters import DEPTH_NODE


@pytest.fixture(scope='module')
def declared():
    """Return a node with the parameters of the depth node, configured, and what it prepared."""
    prepared = []
    with idle_node('test_declaration') as (node, _):
        parameters = DeclaredParameters(node, DEPTH_NODE, prepared.append)
        parameters.configured = True
        yield node, prepared


def set_all(node, **values):
    given = [Parameter(name.replace('__', '.'), value=v) for name, v in values.items()]
    return node.set_parameters_atomically(given)


def test_what_takes_effect_at_configure_may_be_set_to_what_it_is(declared):
    node, prepared = declared
    same = {'image_transport': 'raw', 'prompt__sources': ['points'], 'sync__slop_s': 0.02}
    assert set_all(node, depth__max_range_m=80.0, **same).successful
    assert node.get_parameter('depth.max_range_m').value == 80.0
    assert prepared == []


@pytest.mark.parametrize(
    'change', [{'image_transport': 'compressed'}, {'prompt__sources': ['points', 'radar']}]
)
def test_what_takes_effect_at_configure_cannot_change_before(declared, change):
    node, _ = declared
    before = node.get_parameter('depth.max_range_m').value
    result = set_all(node, depth__max_range_m=70.0, **change)
    assert not result.successful
    assert next(iter(change)).replace('__', '.') in result.reason
    assert 'clean up the node first' in result.reason
    assert node.get_parameter('depth.max_range_m').value == before


def test_another_estimator_is_made_once_and_the_same_one_not_at_all(declared):
    node, prepared = declared
    prepared.clear()
    assert set_all(node, estimator='nearest', device='cpu').successful
    assert [settings.estimator for settings in prepared] == ['nearest']
    assert set_all(node, estimator='nearest', device='cpu').successful
    assert len(prepared) == 1
