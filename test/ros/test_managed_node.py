# SPDX-License-Identifier: Apache-2.0
"""What every node says of itself in each state, without a process of its own."""

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from metric_depth_ros.ros.depth_node import DepthNode
from metric_depth_ros.ros.query_node import QueryNode

INACTIVE = 'The node is not active.'


@pytest.fixture(params=[DepthNode, QueryNode])
def node(request):
    rclpy.init(args=['--ros-args', '-p', 'prompt.sources:=[]'])
    made = request.param()
    assert made.trigger_configure() == TransitionCallbackReturn.SUCCESS
    yield made
    made.release()
    made.destroy_node()
    rclpy.try_shutdown()


def test_a_node_says_that_it_is_not_active_until_it_is_and_once_it_is_no_more(node):
    assert [s.message for s in node._health()] == [INACTIVE]
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert INACTIVE not in node._health()[0].message
    node.trigger_deactivate()
    assert [s.message for s in node._health()] == [INACTIVE]


def test_a_node_that_cannot_be_activated_stays_inactive(node, monkeypatch):
    def fail():
        raise RuntimeError('no')

    monkeypatch.setattr(node, '_activate', fail)
    node.trigger_activate()
    assert not node._active


def test_health_shows_every_fault_by_topic_and_kind(node):
    node._faults.report('/image', 'stamp_old', 'words')
    shown = {v.key: v.value for v in node._health()[0].values}
    assert shown['/image stamp_old'] == '1'
