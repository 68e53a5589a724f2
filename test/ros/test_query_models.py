# SPDX-License-Identifier: Apache-2.0
"""The models of the query node: which are refused before any question."""

import logging
from dataclasses import replace

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators import registry
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.ros.parameters import ModelSettings
from metric_depth_ros.ros.query_models import models_from
from metric_depth_ros.ros.query_parameters import QueryNodeSettings


@pytest.mark.parametrize('spec', ['classical', 'classical:fast', 'nearest'])
def test_an_estimator_that_needs_a_prompt_is_refused_with_those_that_need_none(spec):
    with pytest.raises(InputError, match=r'without a prompt.*dense.*student_pointmap') as refusal:
        models_from(QueryNodeSettings(estimator=spec))
    assert f"parameter estimator is '{spec}'" in str(refusal.value)
    assert refusal.value.fault == 'parameter'


class Monocular(Estimator):
    name = 'monocular'

    def estimate(self, frame):
        raise AssertionError('nobody asks it')


def test_an_estimator_that_says_nothing_of_prompts_is_taken(monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, 'monocular', lambda variant, options: Monocular())
    assert models_from(QueryNodeSettings(estimator='monocular')).estimator.name == 'monocular'


def test_weights_of_the_language_model_may_be_named_beside_an_estimator(monkeypatch, caplog):
    monkeypatch.setitem(registry._FACTORIES, 'depthvlm', lambda variant, options: Monocular())
    settings = QueryNodeSettings(
        estimator='hf:a/b', language_model='depthvlm',
        model=ModelSettings(weights='depthvlm=/nowhere'),
    )  # fmt: skip
    monkeypatch.setitem(registry._FACTORIES, 'hf', lambda variant, options: Monocular())
    with pytest.raises(InputError, match='which answers no questions'):
        models_from(settings)
    assert not caplog.messages
    assert models_from(replace(settings, language_model='')).estimator is not None
    assert "does not use weights 'depthvlm=/nowhere'" in caplog.text


@pytest.mark.parametrize('pixels', ['compact_student', 'depthlm'])
def test_weights_that_are_left_of_another_model_are_told_once(pixels, monkeypatch, caplog):
    for name in ('compact_student', 'depthlm'):
        monkeypatch.setitem(registry._FACTORIES, name, lambda variant, options: Speaking())
    model = ModelSettings(weights='depth_pro=/nowhere')
    models_from(QueryNodeSettings(estimator=pixels, language_model='depthlm', model=model))
    (told,) = caplog.messages
    assert "does not use weights 'depth_pro=/nowhere'" in told


class Speaking(Monocular):
    def answer(self, image, question):
        raise AssertionError('nobody asks it')


@pytest.mark.parametrize('said', [False, True])
def test_an_option_is_told_as_unused_only_where_no_language_model_uses_it(
    said, monkeypatch, caplog
):
    revisions = []

    def make(variant, options):
        revisions.append(options.revision)
        return Speaking()

    for name in ('compact_student', 'depthlm'):
        monkeypatch.setitem(registry._FACTORIES, name, make)
    settings = QueryNodeSettings(
        estimator='compact_student', language_model='' if said else 'depthlm',
        model=ModelSettings(revision='v2'),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        models_from(settings)
    assert set(revisions) == {'v2'}
    assert ("does not use revision 'v2'" in caplog.text) is said


def test_networks_and_priors_say_whether_they_need_a_prompt():
    pytest.importorskip('transformers')
    from metric_depth_ros.estimators.composed import ComposedEstimator
    from metric_depth_ros.estimators.learned.compact_teacher import CompactTeacherAdapter
    from metric_depth_ros.estimators.learned.huggingface import HuggingFaceAdapter

    assert CompactTeacherAdapter().needs_prompt
    assert ComposedEstimator(NearestFill()).needs_prompt
    assert not ComposedEstimator(Monocular()).needs_prompt
    for prompted in (True, False):
        adapter = HuggingFaceAdapter(None, prompted=prompted, sees_field_of_view=False)
        assert adapter.needs_prompt == prompted
