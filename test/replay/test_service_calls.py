# SPDX-License-Identifier: Apache-2.0
"""Requests whose first response is lost, as it is to a client that is not discovered yet."""

from types import SimpleNamespace

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from metric_depth_ros.replay import service_calls
from metric_depth_ros.replay.service_calls import response_to
from metric_depth_ros.torture.rig import Rig


@pytest.fixture
def sent(monkeypatch):
    """Return the requests that were sent; whatever is not answered is sent again at once."""
    monkeypatch.setattr(service_calls, '_AGAIN_S', -1.0)
    return []


def client(sent, lost, response='answered'):
    """Return a client whose first responses are lost."""

    def call_async(request):
        sent.append(request)
        is_done = len(sent) > lost
        return SimpleNamespace(done=lambda: is_done, result=lambda: response)

    return SimpleNamespace(service_is_ready=lambda: True, call_async=call_async)


def test_a_request_whose_response_is_lost_is_sent_again(sent):
    response = response_to(client(sent, lost=2), 'state?')
    assert [response() for _ in range(4)] == [None, None, 'answered', 'answered']
    assert sent == ['state?'] * 3


def test_a_request_that_changes_something_is_sent_once(sent):
    response = response_to(client(sent, lost=1), 'activate', repeats=False)
    assert response() is response() is None
    assert sent == ['activate']


@pytest.fixture
def rig(sent, tmp_path):
    """Return a rig whose node has not discovered its clients yet."""
    active = GetState.Response(current_state=State(id=State.PRIMARY_STATE_ACTIVE))
    rig = Rig(tmp_path)
    rig._clients = {
        'get_state': client(sent, 1, active),
        'change_state': client(sent, 0, ChangeState.Response(success=True)),
    }
    return rig


def test_a_rig_asks_a_node_again_whose_response_was_lost(rig, sent):
    assert rig.is_active()
    assert len(sent) == 2


def test_a_rig_asks_for_a_transition_once_when_the_node_knows_whom_to_answer(rig, sent):
    assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert [type(request) for request in sent] == [*[GetState.Request] * 2, ChangeState.Request]
