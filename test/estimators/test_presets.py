# SPDX-License-Identifier: Apache-2.0
"""The preset `realtime` of the crop-pyramid networks."""

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

from tiny_checkpoints import tiny_network, write_checkpoint

from metric_depth_ros.bench.arithmetic import count_flops
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.example import INFER, example_batch
from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.estimators.learned.presets import canvas_side, with_preset
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.types import CameraModel, Frame


@pytest.fixture
def frame(rng):
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    return Frame(0, 'camera', image, CameraModel.pinhole(64, 48, 50.0, 50.0, 31.5, 23.5))


@pytest.mark.parametrize('name', ['student_depthmap', 'teacher'])
def test_the_estimator_answers_in_real_time_with_the_same_weights(name, frame, tmp_path):
    weights = str(write_checkpoint(name, tmp_path))
    spec = 'teacher:classical' if name == 'teacher' else name
    full, quick = (
        create_estimator(spec, EstimatorOptions(device='cpu', weights=weights, preset=preset))
        .estimate(frame)
        .depth
        for preset in ('full', 'realtime')
    )
    assert quick.shape == full.shape
    assert np.isfinite(quick).all()
    assert not np.array_equal(quick, full)


def test_its_features_are_those_of_the_full_network(frame, tmp_path):
    weights = str(write_checkpoint('student_depthmap', tmp_path))
    full, quick = (
        create_estimator(
            'student_depthmap', EstimatorOptions(device='cpu', weights=weights, preset=preset)
        ).features(frame)
        for preset in ('full', 'realtime')
    )
    np.testing.assert_array_equal(quick, full)


@pytest.mark.parametrize('name', ['student_depthmap', 'teacher'])
def test_it_is_at_most_a_third_of_the_arithmetic_even_of_a_tiny_network(name):
    batch = example_batch(64, 48)
    full, quick = (
        count_flops(lambda n=network: INFER[name](n, batch, 1.0))
        for network in (
            tiny_network(name)[0],
            with_preset(name, tiny_network(name)[0], 'realtime'),
        )
    )
    assert quick < full / 3


@pytest.mark.parametrize('name', ['student_depthmap', 'teacher'])
def test_the_released_networks_see_a_canvas_of_640(name):
    network = with_preset(name, build_network(name), 'realtime')
    assert canvas_side(network, 1.0) == 640
    assert canvas_side(network, 9.0) == 1920


@pytest.mark.parametrize('name', ['depth_pro', 'student_pointmap', 'lingbot_depth'])
def test_networks_without_it_refuse_it_in_words(name, tmp_path):
    options = EstimatorOptions(
        device='cpu', weights=str(write_checkpoint(name, tmp_path)), preset='realtime'
    )
    with pytest.raises(InputError, match='only student_depthmap and teacher have'):
        create_estimator(name, options)
