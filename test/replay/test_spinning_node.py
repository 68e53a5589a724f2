# SPDX-License-Identifier: Apache-2.0
"""Nodes beside a node under test: apart from others, and gone without a trace."""

import os
import threading

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

from std_msgs.msg import String

from metric_depth_ros.replay.spinning_node import (
    environment,
    idle_node,
    local_environment,
    random_domain,
    spinning_node,
)


def test_variables_are_as_before_after_a_failure(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE', raising=False)
    variables = {'ROS_DOMAIN_ID': '8', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    seen = {}

    def fail():
        seen.update(os.environ)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), environment(variables):
        fail()
    assert variables.items() <= seen.items()
    assert os.environ['ROS_DOMAIN_ID'] == '7'
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in os.environ


def test_a_variable_that_somebody_removed_meanwhile_stays_removed(monkeypatch):
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    with environment({'ROS_DOMAIN_ID': '8'}):
        del os.environ['ROS_DOMAIN_ID']
    assert 'ROS_DOMAIN_ID' not in os.environ


def test_a_spinning_node_hears_and_leaves_no_thread_behind():
    domain = random_domain()
    heard = threading.Event()
    before = set(threading.enumerate())
    with environment(local_environment()), spinning_node('ear', domain) as ear:
        ear.create_subscription(String, 'words', lambda message: heard.set(), 1)
        with idle_node('mouth', domain) as (mouth, _):
            publisher = mouth.create_publisher(String, 'words', 1)
            while not heard.wait(0.05):
                publisher.publish(String(data='word'))
        context = ear.context
    assert not context.ok()
    assert set(threading.enumerate()) <= before
