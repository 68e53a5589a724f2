# SPDX-License-Identifier: Apache-2.0
"""Estimators by name, and the least of them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators import registry
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import (
    create_estimator,
    refuse_unknown,
    unused_options,
)
from metric_depth_ros.types import Frame, SparsePrompt


def frame_with(depths: dict[tuple[int, int], float]) -> Frame:
    """Return a 6x4 frame with depth at some (column, row)."""
    n = len(depths)
    prompt = SparsePrompt(
        np.array(list(depths), np.float32).reshape(n, 2),
        np.array(list(depths.values()), np.float32),
        np.full(n, 0.01, np.float32),
        np.zeros(n, np.uint8),
    )
    return Frame(5, 'camera', np.zeros((4, 6, 3), np.uint8), None, prompt)


@pytest.mark.parametrize('spec', ['nearest', 'classical:fast', 'classical:quality'])
def test_an_estimator_is_named_by_its_specification(spec):
    assert create_estimator(spec).name == spec


def test_quality_is_the_default_of_classical():
    assert create_estimator('classical').name == 'classical:quality'


@pytest.mark.parametrize(
    ('spec', 'words'),
    [
        ('telepathy', r"'telepathy': expected one of classical, classical:fast, nearest"),
        ('clasical:fast', r'did you mean classical\?'),
        ('composd:compact_student', r'did you mean composed\?.* composed:PRIOR.* hf:ID'),
        ('classical:best', 'quality, fast'),
        ('nearest:2', 'no variant'),
        ('', 'unknown estimator'),
    ],
)
def test_an_unknown_estimator_is_refused_with_those_that_exist(spec, words):
    with pytest.raises(InputError, match=words):
        create_estimator(spec)


@pytest.mark.parametrize('spec', ['telepathy', 'composed:telepathy', 'teacher:telepathy'])
def test_an_unknown_estimator_is_refused_by_what_it_was_told_with(spec):
    with pytest.raises(InputError, match=r"'telepathy'.*\(key prior\)"):
        create_estimator(spec, named='key prior')


@pytest.mark.parametrize('spec', ['classical:fast', 'teacher', 'teacher:classical:fast', 'hf:a/b'])
def test_a_known_name_is_not_refused(spec):
    refuse_unknown(spec)


def test_nearest_takes_the_depth_of_the_nearest_prompt_pixel():
    estimate = create_estimator('nearest').estimate(frame_with({(0, 0): 2.0, (5, 3): 7.0}))
    assert estimate.depth[0, 1] == 2.0
    assert estimate.depth[3, 4] == 7.0
    assert estimate.confidence is not None
    assert estimate.confidence.sum() == 2.0


@pytest.mark.parametrize('spec', ['nearest', 'classical:fast', 'classical:quality'])
def test_without_a_prompt_nothing_is_known(spec):
    estimate = create_estimator(spec).estimate(frame_with({}))
    assert np.isnan(estimate.depth).all()
    assert estimate.confidence is not None
    assert not estimate.confidence.any()
    bare = Frame(5, 'camera', np.zeros((4, 6, 3), np.uint8))
    assert np.isnan(create_estimator(spec).estimate(bare).depth).all()


@pytest.mark.parametrize('spec', ['compact_teacher', 'nearest', 'composed:compact_student'])
def test_weights_of_a_network_that_does_not_exist_are_refused_with_those_that_do(spec):
    options = EstimatorOptions(weights='compact_techer=/nowhere/mine.safetensors')
    with pytest.raises(InputError, match=r'compact_techer.*compact_teacher, compact_student'):
        create_estimator(spec, options)


@pytest.mark.parametrize(
    ('spec', 'given'),
    [
        ('compact_student', 'compact_teacher'),
        ('composed:compact_student', 'compact_teacher'),
        ('teacher', 'compact_student'),
        ('teacher:composed:compact_student', 'depth_pro'),
        ('classical', 'compact_teacher'),
    ],
)
def test_weights_of_a_network_that_is_not_in_use_are_refused(spec, given):
    options = EstimatorOptions(weights=f'{given}=/nowhere/mine.safetensors')
    with pytest.raises(InputError, match=f"{spec} does not use weights '{given}=/nowhere/mine"):
        create_estimator(spec, options)


def test_only_the_weights_that_nothing_uses_are_told():
    options = EstimatorOptions(weights='compact_student=a.pt,compact_teacher=b.pt')
    said = unused_options('compact_student', options)
    assert "does not use weights 'compact_teacher=b.pt' (" in said


def test_weights_of_the_estimator_beside_may_be_named():
    options = EstimatorOptions(weights='compact_student=/nowhere/mine.safetensors')
    assert create_estimator('nearest', options, beside='composed:compact_student').name


def test_weights_of_an_estimator_of_another_package_may_be_named(monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, 'foreign', lambda variant, options: NearestFill())
    assert create_estimator('foreign', EstimatorOptions(weights='foreign=mine.pt')).name


def test_the_model_of_hf_is_not_told_by_the_weights(tmp_path):
    pytest.importorskip('transformers')
    with pytest.raises(InputError, match=r'nowhere\.safetensors.*hf:FOLDER'):
        create_estimator(f'hf:{tmp_path}', EstimatorOptions(weights='/nowhere.safetensors'))


@pytest.mark.parametrize('name', ['compact_teacher', 'compact_student'])
def test_a_compact_model_starts_without_the_packages_of_the_others(name):
    code = (
        'import sys; from metric_depth_ros.estimators.options import EstimatorOptions; '
        'from metric_depth_ros.estimators.registry import create_estimator; '
        f'create_estimator({name!r}, EstimatorOptions()); '
        'assert not {"transformers", "torch._dynamo"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=300)


@pytest.mark.parametrize(
    'name',
    [
        'compact_teacher',
        'compact_student',
        'student_depthmap',
        'student_pointmap',
        'depth_pro',
    ],
)
def test_a_network_of_one_kind_is_made_by_the_module_of_its_name(name, monkeypatch):
    pytest.importorskip('transformers')
    made = NearestFill()
    monkeypatch.setattr(f'metric_depth_ros.estimators.learned.{name}.create', lambda _: made)
    assert create_estimator(name) is made
    with pytest.raises(InputError, match='has no variant'):
        create_estimator(f'{name}:other')


def test_what_another_package_makes_must_be_an_estimator(monkeypatch):
    class Foreign:
        name = 'foreign'

    monkeypatch.setitem(registry._FACTORIES, 'foreign', lambda variant, options: Foreign())
    with pytest.raises(
        InputError, match=r"'foreign' returned an object of Foreign.*base\.Estimator"
    ):
        create_estimator('foreign')


@pytest.mark.parametrize('stated', [{}, {'name': None}, {'name': property(lambda _: 7)}])
def test_an_estimator_of_another_package_must_have_a_name(stated, monkeypatch):
    kind = type('Foreign', (Estimator,), {'estimate': lambda self, frame: None, **stated})
    monkeypatch.setitem(registry._FACTORIES, 'foreign', lambda variant, options: kind())
    with pytest.raises(InputError, match=r"Foreign .*for a name.*state name = 'foreign'"):
        create_estimator('foreign')


def test_an_estimator_of_another_package_must_estimate(monkeypatch):
    class Foreign(Estimator):
        name = 'foreign'

    monkeypatch.setitem(registry._FACTORIES, 'foreign', lambda variant, options: Foreign())
    with pytest.raises(InputError, match=r"as 'foreign' .*class Foreign .*estimate.*Define that"):
        create_estimator('foreign')


def test_a_defect_of_another_package_is_not_taken_for_a_refusal(monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, 'foreign', lambda variant, options: len(3))
    with pytest.raises(TypeError, match='has no len'):
        create_estimator('foreign')


GIVEN = {
    'weights': 'mine.pt',
    'revision': 'v1',
    'precision': 'fp16',
    'compile': True,
    'resolution_scale': 3.0,
    'backend': 'onnx',
    'preset': 'realtime',
}


@pytest.mark.parametrize('spec', ['classical', 'nearest', 'composed:classical:fast'])
@pytest.mark.parametrize('name', GIVEN)
def test_an_option_of_networks_is_refused_where_there_is_none(spec, name):
    words = rf'estimator {spec} does not use {name} .*--{name.replace("_", "-")}\): choose'
    with pytest.raises(InputError, match=words):
        create_estimator(spec, EstimatorOptions(**{name: GIVEN[name]}))


def test_all_options_that_nothing_uses_are_named_at_once():
    with pytest.raises(InputError) as refused:
        create_estimator('classical', EstimatorOptions(**GIVEN))
    assert all(f'{name} {value!r} (' in str(refused.value) for name, value in GIVEN.items())


def test_a_revision_of_weights_that_come_with_the_package_is_refused():
    with pytest.raises(InputError, match="estimator compact_teacher does not use revision 'v1'"):
        create_estimator('compact_teacher', EstimatorOptions(revision='v1'))
    fetched = EstimatorOptions(revision='v1', weights='owner/name')
    assert not unused_options('compact_teacher', fetched)
    assert not unused_options('composed:student_pointmap', EstimatorOptions(revision='v1'))


@pytest.mark.parametrize(
    'spec', ['compact_teacher', 'composed:student_depthmap', 'teacher', 'hf:a']
)
def test_a_network_is_asked_itself_what_it_uses(spec):
    assert not unused_options(spec, EstimatorOptions(**GIVEN))


def test_a_device_is_of_use_to_every_estimator():
    assert not unused_options('classical', EstimatorOptions(device='cuda'))


def test_an_estimator_beside_uses_what_is_handed_on_to_it():
    options = EstimatorOptions(weights='compact_student=a.pt', precision='bf16', compile=True)
    assert not unused_options('classical', options, 'compact_student')
    said = unused_options('classical', replace(options, preset='realtime'), 'compact_student')
    assert "estimator classical with compact_student does not use preset 'realtime' (" in said
