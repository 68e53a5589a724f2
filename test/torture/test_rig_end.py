# SPDX-License-Identifier: Apache-2.0
"""What a rig has started ends, the node before who listens to it, answered or not."""

import os
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from metric_depth_ros.torture import rig as rigs


@pytest.fixture
def ended(monkeypatch):
    """Return what of a rig without a node has ended, in its order."""
    order = []

    def stop():
        is_sending = any(t.name == 'torture-stream' for t in threading.enumerate())
        order.append('node before the stream' if is_sending else 'node')

    @contextmanager
    def spinning_node(name, domain):
        assert os.environ['ROS_DOMAIN_ID'] == str(domain)
        try:
            yield MagicMock()
        finally:
            assert os.environ['ROS_DOMAIN_ID'] == str(domain)
            order.append('listener')

    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    monkeypatch.setattr(rigs, 'spinning_node', spinning_node)
    monkeypatch.setattr(rigs.Rig, 'start_node', lambda self: SimpleNamespace(stop=stop))
    monkeypatch.setattr(rigs.Rig, 'send', lambda self, messages: None)
    return order


def test_the_node_ends_after_the_stream_and_before_who_listens_to_it(ended, tmp_path, monkeypatch):
    monkeypatch.setattr(rigs.Rig, 'until', lambda self, *condition: True)
    with rigs.Rig(tmp_path):
        assert ended == []
    assert ended == ['node', 'listener']
    assert 'ROS_DOMAIN_ID' not in os.environ


def test_a_node_that_never_answers_is_ended(ended, tmp_path, monkeypatch):
    def until(self, *condition):
        raise rigs.NotObservedError('no answer')

    monkeypatch.setattr(rigs.Rig, 'until', until)
    with pytest.raises(rigs.NotObservedError), rigs.Rig(tmp_path):
        pass
    assert ended == ['node', 'listener']
    assert 'ROS_DOMAIN_ID' not in os.environ


def test_a_node_that_a_fault_has_replaced_is_the_one_that_is_ended(ended, tmp_path, monkeypatch):
    monkeypatch.setattr(rigs.Rig, 'until', lambda self, *condition: True)
    with rigs.Rig(tmp_path) as rig:
        rig.node = SimpleNamespace(stop=lambda: ended.append('other node'))
    assert ended == ['other node', 'listener']
