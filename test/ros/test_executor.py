# SPDX-License-Identifier: Apache-2.0
"""Whose callback an executor ran."""

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from metric_depth_ros.ros.executor import NamingExecutor


def _make_mistake():
    raise ZeroDivisionError


@pytest.mark.parametrize('guilty', [0, 1, 2])
def test_the_node_whose_callback_failed_is_known(guilty):
    context = Context()
    rclpy.init(context=context)
    try:
        nodes = [Node(f'node_{i}', context=context) for i in range(3)]
        executor = NamingExecutor(context=context)
        for node in nodes:
            executor.add_node(node)
        nodes[guilty].create_timer(0.01, _make_mistake)
        with pytest.raises(ZeroDivisionError):
            executor.spin()
        assert executor.last_node is nodes[guilty]
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
