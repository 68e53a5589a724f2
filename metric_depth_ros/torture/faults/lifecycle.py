# SPDX-License-Identifier: Apache-2.0
"""Transitions in every order, and parameters that cannot be, while the node runs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from lifecycle_msgs.msg import State, Transition

from metric_depth_ros.ros.parameter_table import Parameter
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.rig import NotObservedError, Rig

_UNCONFIGURED = int(State.PRIMARY_STATE_UNCONFIGURED)
_INACTIVE = int(State.PRIMARY_STATE_INACTIVE)
_ACTIVE = int(State.PRIMARY_STATE_ACTIVE)
_CONFIGURE = int(Transition.TRANSITION_CONFIGURE)
_CLEANUP = int(Transition.TRANSITION_CLEANUP)
_ACTIVATE = int(Transition.TRANSITION_ACTIVATE)
_DEACTIVATE = int(Transition.TRANSITION_DEACTIVATE)
_LEADS_TO = {
    (_UNCONFIGURED, _CONFIGURE): _INACTIVE,
    (_INACTIVE, _CLEANUP): _UNCONFIGURED,
    (_INACTIVE, _ACTIVATE): _ACTIVE,
    (_ACTIVE, _DEACTIVATE): _INACTIVE,
}
_ALL = (_CONFIGURE, _CLEANUP, _ACTIVATE, _DEACTIVATE)


def _walk(rig: Rig, steps: int) -> str:
    """Ask for transitions at random, those included that the state does not have."""
    rng = random.Random(5)
    state, made = rig.state(), 0
    for _ in range(steps):
        transition = rng.choice(_ALL)
        leads_to = _LEADS_TO.get((state, transition))
        succeeded = rig.change_state(transition)
        if succeeded != (leads_to is not None):
            raise NotObservedError(f'transition {transition} from state {state}: {succeeded}')
        state, made = leads_to or state, made + succeeded
    for transition in (_CONFIGURE, _ACTIVATE):
        if (state, transition) in _LEADS_TO:
            rig.change_state(transition)
            state = _LEADS_TO[state, transition]
    if not rig.is_active():
        raise NotObservedError('the node is not active at the end')
    return f'{made} transitions made, {steps - made} refused'


def _bad_values(row: Parameter) -> Iterator[object]:
    if row.kind in (int, float):
        assert row.minimum is not None
        assert row.maximum is not None
        step = row.kind(1)
        yield row.kind(row.minimum) - step
        yield row.kind(row.maximum) + step
        yield 'a word'
    if row.kind is float:
        yield float('nan')
        yield float('inf')
    if row.kind is bool:
        yield 3
    if row.choices:
        yield ['none of these'] if row.kind is tuple else 'none of these'
    if row.kind is str:
        yield 17


def _bad_parameters(rig: Rig) -> str:
    refused = 0
    for row in DEPTH_NODE.rows.values():
        for value in _bad_values(row):
            result = rig.set_parameter(row.name, value)
            if result.successful:
                raise NotObservedError(f'{row.name} = {value!r} was accepted')
            if not result.reason:
                raise NotObservedError(f'{row.name} = {value!r} was refused without a reason')
            refused += 1
    return f'{refused} values refused in words'


def _no_such_estimator(rig: Rig) -> str:
    result = rig.set_parameter('estimator', 'magic')
    if result.successful:
        raise NotObservedError('estimator magic was accepted')
    return str(result.reason)[:160]


def _estimators_in_turn(rig: Rig) -> str:
    names = ('classical:fast', 'nearest', 'faulty:nearest')
    for name in names:
        result = rig.set_parameter('estimator', name)
        if not result.successful:
            raise NotObservedError(f'{name}: {result.reason}')
    return f'{", ".join(names)} in turn, the node was never deactivated'


FAULTS: tuple[Fault, ...] = (
    Fault('lifecycle', 'transitions in every order, 20 times', 'valid ones made, others refused',
          lambda rig: _walk(rig, 20)),
    Fault('lifecycle', 'transitions in every order, 200 times', 'valid ones made, others refused',
          lambda rig: _walk(rig, 200), is_quick=False),
    Fault('lifecycle', 'parameters out of range while running', 'each refused in words',
          _bad_parameters),
    Fault('lifecycle', 'an estimator that does not exist', 'refused, the old one answers',
          _no_such_estimator),
    Fault('lifecycle', 'other estimators while running', 'each answers, nothing is restarted',
          _estimators_in_turn),
)  # fmt: skip
