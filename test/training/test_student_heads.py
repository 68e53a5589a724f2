# SPDX-License-Identifier: Apache-2.0
"""The student with another head, or with skips in another order: from its training to its use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_checkpoints import tiny_network
from tiny_training import example, write_config

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.training.checkpoints import write_weights
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.types import Frame

SHAPE = tiny_network('student_depthmap')[1]
DLOG = {'head_param': 'dlog'}
VARIANTS = [DLOG, {'skips': 'unet'}]


def recipe_of(farthest_m=400.0, **changes):
    network = {**SHAPE, 'backbone': {**SHAPE['backbone'], 'patch_size': 2}, 'canvas': 64}
    options = {'farthest_m': farthest_m}
    return create_recipe(
        'student', network | {'farthest_m': farthest_m} | changes, options, 'test'
    )


def batch_of(recipe, view=None, **replaced):
    rng = np.random.default_rng(5)
    seen = recipe.prepare(view or example(0), None, rng, real=False, augment=False)
    return {**recipe.collate([seen]), **replaced}


def frame_of(view):
    return Frame(0, '', view.image, view.camera)


def estimate(weights, view):
    options = EstimatorOptions(device='cpu', precision='fp32', weights=str(weights))
    return create_estimator('student_depthmap', options).estimate(frame_of(view)).depth


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)
    torch.set_num_threads(1)


@pytest.mark.parametrize('changes', VARIANTS)
def test_it_learns_and_every_trained_weight_gets_a_gradient(changes):
    recipe = recipe_of(**changes)
    network = recipe.build()
    batch = batch_of(recipe)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = recipe.losses(network, batch)['loss']
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    named = network.named_parameters()
    assert [key for key, p in named if p.requires_grad and p.grad is None] == []
    assert losses[-1] < losses[0]


def test_an_untrained_head_of_dlog_answers_about_a_meter():
    recipe = recipe_of(**DLOG)
    network = recipe.build()
    with torch.no_grad():
        network.head[-2].weight.zero_()
        (depth,) = recipe.predict(network, batch_of(recipe))
    np.testing.assert_allclose(depth, 80.0 / 96.0, rtol=1e-5)  # canonical depth of 1 m


def loss_of(changes, taken_for_m, truth_m):
    """Return the student's loss where it takes everything for a canonical depth."""
    recipe = recipe_of(**changes)
    network = recipe.build()
    network.forward = lambda canvas: torch.full((1, 1, 64, 64), 1.0 / taken_for_m)
    truth = np.full((64, 96), truth_m, np.float32)
    return recipe.losses(network, batch_of(recipe, truth=[truth]))['loss'].item()


def test_a_head_of_dlog_is_compared_in_canonical_depth_up_to_its_constant():
    share = 80.0 / 96.0
    assert loss_of(DLOG, 5.0, 5.0 * share) == pytest.approx(0.0, abs=1e-5)
    # It has no answer beyond 400 m of canonical depth, which are 333 m for this camera.
    for truth_m in (350.0, 500.0, np.inf):
        assert loss_of(DLOG, 400.0, truth_m) == pytest.approx(0.0, abs=1e-5)
    assert loss_of({}, 400.0, 350.0) > 0.05  # the released head has one


def test_a_head_of_dlog_learns_where_it_answers_its_farthest_everywhere():
    recipe = recipe_of(**DLOG)
    network = recipe.build()
    torch.nn.init.constant_(network.head[-2].bias, -50.0)
    recipe.losses(network, batch_of(recipe))['loss'].backward()
    assert network.head[-2].bias.grad < 0  # it opens


def test_network_and_loss_with_constants_of_their_own_are_refused():
    message = r'farthest_m of the network is 200 and that of the options 400.*set both'
    given = {'farthest_m': 400.0}
    with pytest.raises(InputError, match=message):
        create_recipe('student', {**SHAPE, **DLOG, 'farthest_m': 200.0}, given, 'test')
    create_recipe('student', {**SHAPE, 'farthest_m': 200.0}, given, 'test')  # nothing uses it


def test_the_loss_has_the_constant_of_its_network_where_it_is_given_none():
    recipe = create_recipe('student', {**SHAPE, **DLOG, 'farthest_m': 200.0}, {}, 'test')
    assert recipe.plain_options['farthest_m'] == 200.0


def show_relief(recipe, network, batch):
    """Let the head of a random network answer about 0.7, and not the same everywhere."""
    last, answers = network.head[-2], []
    torch.nn.init.normal_(last.weight)
    hook = last.register_forward_hook(lambda _, given, answer: answers.append(answer))
    with torch.no_grad():
        recipe.predict(network, batch)
        hook.remove()
        share = 0.1 / answers[0].std()
        last.bias.copy_(0.7 - share * (answers[0].mean() - last.bias))
        last.weight *= share


@pytest.mark.parametrize('changes', [*VARIANTS, {**DLOG, 'skips': 'unet'}])
def test_an_estimator_answers_as_the_recipe_does(tmp_path, changes):
    recipe = recipe_of(farthest_m=200.0, **changes)
    network = recipe.build().eval()
    batch = batch_of(recipe, example(1))
    show_relief(recipe, network, batch)
    with torch.no_grad():
        (expected,) = recipe.predict(network, batch)
    path = tmp_path / 'weights.safetensors'
    about = {'model_config': recipe.model_config()}
    write_weights(path, network.to_official(network.state_dict()), about)
    depth = estimate(path, example(1))
    known = np.isfinite(depth)
    assert known.mean() > 0.5
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(depth[known], expected[known], rtol=1e-4)


def test_what_a_head_of_dlog_takes_for_its_farthest_is_beyond_range(tmp_path):
    recipe = recipe_of(farthest_m=100.0, **DLOG)
    network = recipe.build()
    torch.nn.init.constant_(network.head[-2].bias, -50.0)
    path = tmp_path / 'weights.safetensors'
    about = {'model_config': recipe.model_config()}
    write_weights(path, network.to_official(network.state_dict()), about)
    wide = example(1)
    camera = wide.camera
    tele = replace(wide, camera=replace(camera, K=camera.K * np.diag([4.0, 4.0, 1.0])))
    for view in (wide, tele):
        assert np.isposinf(estimate(path, view)).all()


@pytest.mark.parametrize('changes', VARIANTS)
def test_weights_of_a_training_tell_the_estimator_how_to_read_them(tmp_path, changes):
    pytest.importorskip(
        'accelerate', reason="training needs accelerate: pip install '.[training]'"
    )
    recipe = recipe_of(farthest_m=50.0, **changes)
    config = write_config(
        tmp_path,
        recipe='student',
        network=recipe.model_config(),
        options={'farthest_m': 50.0},
        steps=2,
        batch_size=1,
    )
    out = tmp_path / 'out'
    arguments = ['train', 'student', '--config', str(config), '--out', str(out)]
    assert main([*arguments, '--device', 'cpu']) == 0
    depth = estimate(out / 'weights.safetensors', example(0))
    assert np.isfinite(depth).all()
    assert 0.2 < np.median(depth) < 5.0  # it began with about a meter


def test_a_training_with_another_constant_is_resumed(tmp_path):
    pytest.importorskip(
        'accelerate', reason="training needs accelerate: pip install '.[training]'"
    )
    config = write_config(
        tmp_path,
        recipe='student',
        network={**SHAPE, **DLOG, 'farthest_m': 200.0},
        options={'farthest_m': 200.0},
        steps=2,
        batch_size=1,
    )
    arguments = ['train', 'student', '--config', str(config), '--out', str(tmp_path / 'out')]
    assert main([*arguments, '--device', 'cpu', '--until', '1']) == 0
    assert main([*arguments, '--device', 'cpu', '--resume']) == 0
