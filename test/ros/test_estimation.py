# SPDX-License-Identifier: Apache-2.0
"""The estimator that the parameters ask for."""

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.fallback import FallbackEstimator
from metric_depth_ros.ros.estimation import apply_live, estimator_from
from metric_depth_ros.ros.parameters import DEPTH_NODE

BOTH = {'estimator': 'nearest', 'fallback_estimator': 'classical', 'extrinsics.source': 'tf2'}


def test_a_fallback_is_made_with_its_policy():
    estimator = estimator_from(DEPTH_NODE.settings({**BOTH, 'fallback_policy': 'prompted'}))
    assert isinstance(estimator, FallbackEstimator)
    assert estimator.policy == 'prompted'


def test_the_policy_changes_while_the_estimator_stays():
    estimator = estimator_from(DEPTH_NODE.settings(BOTH))
    assert estimator.policy == 'auto'
    apply_live(estimator, DEPTH_NODE.settings({**BOTH, 'fallback_policy': 'monocular'}))
    assert estimator.policy == 'monocular'


def test_without_a_fallback_there_is_no_policy_to_change():
    estimator = estimator_from(DEPTH_NODE.settings({'estimator': 'nearest'}))
    apply_live(
        estimator, DEPTH_NODE.settings({'estimator': 'nearest', 'fallback_policy': 'monocular'})
    )
    assert estimator.name == 'nearest'


def test_weights_by_name_are_of_the_estimator_or_of_the_fallback():
    pytest.importorskip('torch')
    parameters = {**BOTH, 'model.weights': 'compact_student=/nowhere/mine.pt'}
    for changed in ({'estimator': 'compact_student'}, {'fallback_estimator': 'compact_student'}):
        with pytest.raises(InputError, match=r'mine\.pt.* is neither a checkpoint file'):
            estimator_from(DEPTH_NODE.settings({**parameters, **changed}))


@pytest.mark.parametrize('fallback', ['', 'classical'])
@pytest.mark.parametrize('weights', ['mine.pt', 'compact_teacher=mine.pt'])
def test_options_left_over_from_another_estimator_are_told_and_stop_no_robot(
    fallback, weights, caplog
):
    left = {'model.weights': weights, 'model.precision': 'bf16', 'fallback_estimator': fallback}
    estimator = estimator_from(DEPTH_NODE.settings({**BOTH, **left}))
    assert estimator.name.startswith('nearest')
    told = caplog.messages[0]
    assert f'does not use weights {weights!r}' in told
    assert "precision 'bf16'" in told
    assert 'parameter model.precision' in told


def test_an_unknown_fallback_is_refused_by_its_parameter():
    with pytest.raises(InputError, match=r'unknown estimator .*parameter fallback_estimator'):
        estimator_from(DEPTH_NODE.settings({**BOTH, 'fallback_estimator': 'nowhere'}))
