# SPDX-License-Identifier: Apache-2.0
"""Options of learned estimators."""

import argparse
from types import SimpleNamespace

import pytest

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.ros.parameters import ModelSettings


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('device', 'tpu'),
        ('device', 'cuda:x'),
        ('device', 'cuda:300'),
        ('device', 'cuda:99999999999999'),
        ('precision', 'int3'),
        ('backend', 'tensorflow'),
        ('preset', 'fast'),
        ('resolution_scale', 0.0),
        ('resolution_scale', float('nan')),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(option, value):
    with pytest.raises(InputError, match=option):
        EstimatorOptions(**{option: value})


def test_one_checkpoint_is_of_whatever_network_is_asked_for():
    assert EstimatorOptions(weights='a/b.pt').weights_of('teacher') == 'a/b.pt'
    assert EstimatorOptions().weights_of('teacher') == ''


def test_checkpoints_by_name_are_of_these_networks():
    options = EstimatorOptions(weights='own.pt, depth_pro=prior.pt')
    assert options.weights_of('depth_pro') == 'prior.pt'
    assert options.weights_of('teacher') == 'own.pt'


def test_a_companion_takes_only_weights_given_by_name():
    companion = EstimatorOptions(weights='own.pt,depth_pro=prior.pt', device='cpu').for_companion()
    assert companion.weights_of('depth_pro') == 'prior.pt'
    assert companion.weights_of('student_pointmap') == ''
    assert companion.device == 'cpu'


def test_a_companion_runs_as_released():
    options = EstimatorOptions(resolution_scale=3.0, preset='realtime', precision='bf16')
    assert options.for_companion() == EstimatorOptions(precision='bf16')


def test_a_companion_is_of_its_own_repository_and_backend():
    options = EstimatorOptions(weights='own.onnx', revision='v1', backend='onnx')
    assert options.for_companion() == EstimatorOptions()


@pytest.mark.parametrize(
    ('weights', 'backend'),
    [
        ('teacher=own.onnx', 'torch'),
        ('teacher=own.onnx,depth_pro=prior.pt', 'torch'),
        ('teacher=own.onnx,depth_pro=prior.onnx', 'onnx'),
    ],
)
def test_an_exported_companion_runs_as_that(weights, backend):
    options = EstimatorOptions(weights=weights, backend='onnx')
    assert options.backend_of('teacher') == 'onnx'
    assert options.for_companion().backend_of('depth_pro') == backend


def test_two_checkpoints_without_a_name_are_refused():
    with pytest.raises(InputError, match='weights'):
        EstimatorOptions(weights='a.pt,b.pt').weights_of('teacher')


def test_a_refused_option_is_named_as_parameter_and_as_option():
    with pytest.raises(
        InputError, match=r'parameter model\.resolution_scale, option --resolution-'
    ):
        EstimatorOptions(resolution_scale=0.0)


def test_options_are_read_under_their_own_names():
    source = SimpleNamespace(**vars(EstimatorOptions(precision='bf16', weights='own.pt')))
    assert EstimatorOptions.of(source) == EstimatorOptions(precision='bf16', weights='own.pt')
    del source.device
    assert EstimatorOptions.of(source, device='cpu').device == 'cpu'


def test_every_option_is_on_the_command_line():
    parser = argparse.ArgumentParser()
    add_estimator_arguments(parser)
    assert EstimatorOptions.of(parser.parse_args([])) == EstimatorOptions()


def test_every_option_is_a_parameter():
    assert EstimatorOptions.of(ModelSettings(), device='auto') == EstimatorOptions()
