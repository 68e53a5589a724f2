# SPDX-License-Identifier: Apache-2.0
"""Every recipe prepares, loses, learns and predicts; what each promises of its own."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tiny_checkpoints import tiny_network
from tiny_training import example

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.loading import network_from, skeleton
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.networks.lingbot_depth import LingBotDepthConfig
from metric_depth_ros.networks.student_depthmap import StudentDepthMap
from metric_depth_ros.training.checkpoints import write_weights
from metric_depth_ros.training.config import RECIPES, OptimizerConfig
from metric_depth_ros.training.losses import QUANTITIES, absolute_error
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.schedule import parameter_groups
from metric_depth_ros.types import Source, SparsePrompt

POINTS = {
    'view_px': [96 * 64, 96 * 64],
    'aspect': [1.5, 1.5],
    'samples': 8,
    'patches': [[4, 6, 6], [8, 6, 4]],
}
TOKENS = {'side': 32, 'width': 4, 'halvings': 2, 'codes': 16, 'code_width': 8}
COMPACT = {'widths': [4, 8, 8, 8, 8], 'blocks': [1, 1, 1, 1, 1]}


def shape_of(name):
    return tiny_network(name)[1]


def small_pyramid(name):
    """Return the shape of a pyramid network for crops of 16 pixels."""
    shape = shape_of(name)
    return {**shape, 'backbone': {**shape['backbone'], 'patch_size': 2}, 'canvas': 64}


def tiny_recipe(name, **options):
    """Return a recipe of a network with few parameters."""
    settings = {
        'compact': lambda: (COMPACT, {'sizes': [[64, 64]]}),
        'compact_student': lambda: ({'width': 16, 'decoder_width': 8}, {'sizes': [[64, 64]]}),
        'teacher': lambda: (small_pyramid('teacher'), {'prior': 'nearest'}),
        'radar': lambda: (small_pyramid('teacher'), {'prior': 'nearest'}),
        'student': lambda: (small_pyramid('student_depthmap'), {}),
        'pointmap': lambda: (shape_of('student_pointmap'), POINTS),
        'masked': lambda: (shape_of('lingbot_depth'), {'sizes': [[96, 64]], 'num_tokens': 24}),
        'depth_tokens': lambda: (TOKENS, {}),
    }
    network, defaults = settings[name]()
    return create_recipe(name, network, {**defaults, **options}, 'test')


def with_radar(seen):
    lidar = seen.sensors['lidar']
    radar = replace(lidar, source=np.full(len(lidar), Source.RADAR, np.uint8))
    return replace(seen, sensors={**seen.sensors, 'radar': radar})


def batch_of(recipe, count=2, real=False, augment=False):
    rng = np.random.default_rng(5)
    size = recipe.view_size(rng)
    prepared = [
        recipe.prepare(with_radar(example(seed)), size, rng, real=real, augment=augment)
        for seed in range(count)
    ]
    return prepared, recipe.collate(prepared)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)
    torch.set_num_threads(1)


# Points that fit the truth with no positive scale yet cost nothing: test_pointmap_recipe.
@pytest.mark.parametrize('name', [name for name in RECIPES if name != 'pointmap'])
def test_loss_falls_on_a_batch_that_is_seen_again(name):
    recipe = tiny_recipe(name)
    network = recipe.build()
    _, batch = batch_of(recipe, count=1)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(4):
        loss = recipe.losses(network, batch)['loss']
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize('name', RECIPES)
def test_every_trained_weight_gets_a_gradient(name):
    """A process waits forever for a gradient that never comes."""
    recipe = tiny_recipe(name)
    network = recipe.build()
    _, batch = batch_of(recipe, count=1)
    recipe.losses(network, batch)['loss'].backward()
    named = network.named_parameters()
    assert [key for key, p in named if p.requires_grad and p.grad is None] == []


# Tokens are of a square of fixed size; validation brings it to the example's.
@pytest.mark.parametrize('name', [name for name in RECIPES if name != 'depth_tokens'])
def test_prediction_has_the_size_of_whole_examples(name):
    recipe = tiny_recipe(name)
    rng = np.random.default_rng(5)
    seen = with_radar(example(0))
    prepared = recipe.prepare(seen, None, rng, real=False, augment=False)
    with torch.inference_mode():
        (depth,) = recipe.predict(recipe.build().eval(), recipe.collate([prepared]))
    assert depth.shape == seen.depth.shape
    assert np.isfinite(depth).all()


@pytest.mark.parametrize('name', RECIPES)
def test_unknown_option_is_named(name):
    with pytest.raises(InputError, match='no_such_option'):
        tiny_recipe(name, no_such_option=1)


@pytest.mark.parametrize('name', ['teacher', 'student', 'pointmap', 'radar', 'masked'])
def test_example_without_depth_teaches_nothing(name):
    recipe = tiny_recipe(name)
    blind = replace(example(0), depth=np.full((64, 96), np.inf, np.float32), sensors={})
    rng = np.random.default_rng(0)
    assert recipe.prepare(blind, (96, 64), rng, real=False, augment=True) is None


@pytest.mark.parametrize('name', ['teacher', 'radar', 'masked'])
def test_example_whose_depth_is_all_beyond_the_farthest_teaches_nothing(name):
    recipe = tiny_recipe(name, farthest_m=1.0)  # the nearest of the example is 1.5 m away
    rng = np.random.default_rng(0)
    seen = with_radar(example(0))
    assert recipe.prepare(seen, (96, 64), rng, real=True, augment=False) is None


@pytest.mark.parametrize('name', ['teacher', 'student', 'pointmap', 'masked'])
def test_backbone_learns_at_its_own_rate(name):
    recipe = tiny_recipe(name)
    names = [key for key, _ in recipe.build().named_parameters()]
    of_backbone = [key for key in names if key.startswith(recipe.backbone_prefixes)]
    assert 0 < len(of_backbone) < len(names)


def test_embedding_of_depth_patches_learns_at_the_rate_of_the_backbone():
    recipe = tiny_recipe('masked')
    official = recipe.build().to_official(recipe.build().state_dict())
    config = OptimizerConfig(rate=1e-4, backbone_rate=1e-5)
    groups = parameter_groups(recipe.build(), config, recipe.backbone_prefixes)
    slow = {name for group in groups if group['peak'] == 1e-5 for name in group['names']}
    assert 'encoder.backbone.depth_patch_embed.proj.weight' in official  # as the authors name it
    assert {f'encoder.depth_patch_embed.proj.{kind}' for kind in ('weight', 'bias')} <= slow


def test_network_of_masked_depth_masks_nothing_before_it_has_learned_a_mask():
    network = tiny_recipe('masked').build().eval()
    with torch.inference_mode():
        maps = network(torch.rand(2, 3, 60, 80), torch.zeros(2, 60, 80), (3, 4))
    assert (maps['mask'] > 0.5).all()


def test_teacher_scales_with_its_prompt():
    recipe = tiny_recipe('teacher')
    prepared, batch = batch_of(recipe, count=1)
    network = recipe.build().eval()
    enlarged = [
        replace(frame, prompt=replace(frame.prompt, depth=2 * frame.prompt.depth))
        for frame in batch['frame']
    ]
    halved = [0.5 * prior for prior in batch['prior']]
    with torch.inference_mode():
        near = recipe.predict(network, batch)
        far = recipe.predict(network, {**batch, 'frame': enlarged, 'prior': halved})
    np.testing.assert_allclose(far[0], 2 * near[0], rtol=1e-4)
    assert len(prepared[0].prompt) > 0


def test_robust_loss_ignores_wrong_real_depth():
    recipe = tiny_recipe('teacher', masked_share=1.0)
    network = recipe.build()
    _, batch = batch_of(recipe, count=1, real=True)
    whole = recipe.losses(network, batch)['loss'].item()
    wrong = [truth.copy() for truth in batch['truth']]
    for truth in wrong:
        truth[10:20, 10:20] = 0.1
    assert recipe.losses(network, {**batch, 'truth': wrong})['loss'].item() < 1.1 * whole


def test_real_depth_has_no_loss_of_gradients_without_the_robust_loss_either():
    recipe = tiny_recipe('teacher', robust=False)
    truth = torch.rand(2, 16, 16) + 0.5
    answer, mask = truth + torch.rand(2, 16, 16), torch.rand(2, 16, 16) < 0.9
    loss = recipe.loss_of(answer, truth, mask, real=True)
    torch.testing.assert_close(loss, 15.0 * absolute_error(answer, truth, mask))
    assert (recipe.loss_of(answer, truth, mask, real=False) > loss).all()


def test_captured_example_costs_less_than_the_same_rendered_for_lack_of_gradients():
    recipe = tiny_recipe('teacher', robust=False)
    network = recipe.build()
    _, batch = batch_of(recipe, count=1)
    finite = [np.where(np.isfinite(truth), truth, np.nan) for truth in batch['truth']]
    rendered, captured = (
        recipe.losses(network, {**batch, 'truth': finite, 'real': [real]})['loss'].item()
        for real in (False, True)
    )
    assert captured < rendered


@pytest.mark.parametrize('seed', range(4))
def test_untrained_teacher_is_open_everywhere(seed):
    torch.manual_seed(seed)
    recipe = tiny_recipe('teacher')
    _, batch = batch_of(recipe, count=1)
    with torch.no_grad():
        answers, _ = recipe.answers(recipe.build(), batch)
    assert answers.min() > 0.5


def test_teacher_without_image_sees_gray_and_the_same_prompt():
    (whole,), _ = batch_of(tiny_recipe('teacher'), count=1)
    (blank,), _ = batch_of(tiny_recipe('teacher', image=False), count=1)
    assert np.ptp(blank.arrays['frame'].image) == 0
    np.testing.assert_array_equal(blank.prompt.depth, whole.prompt.depth)


@pytest.mark.parametrize(('option', 'channel'), [('pdsa', 0), ('gmdr', 1)])
def test_part_of_the_prompt_is_blank_when_off(option, channel):
    recipe = tiny_recipe('teacher', masked_share=1.0, **{option: False})
    _, batch = batch_of(recipe, count=1)
    (prompt,), _ = recipe.prompts(batch, torch.device('cpu'))
    blank = [bool((part == 0).all()) for part in prompt[0]]
    assert blank == [number == channel for number in range(3)]


def test_a_prompt_is_made_as_the_configuration_says():
    def prompts_of(**choices):
        network = {**small_pyramid('teacher'), **choices}
        options = {'prior': 'nearest', 'masked_share': 1.0}
        recipe = create_recipe('teacher', network, options, 'test')
        _, batch = batch_of(recipe, count=1)
        bent = {**batch, 'prior': [prior**2 for prior in batch['prior']]}
        (prompt,), unit_m = recipe.prompts(bent, torch.device('cpu'))
        return prompt, unit_m

    usual, unit_m = prompts_of()
    in_meters, one = prompts_of(prompt_norm='none')
    slow, _ = prompts_of(gmdr_mode='lwlr')
    assert unit_m != 1.0
    assert one == 1.0
    torch.testing.assert_close(in_meters[:, :2] * unit_m, usual[:, :2])
    assert not torch.equal(slow[:, 1], usual[:, 1])


def test_radar_sees_radar_only():
    prepared, _ = batch_of(tiny_recipe('radar'))
    assert all((one.prompt.source == Source.RADAR).all() for one in prepared)


@pytest.mark.parametrize('augment', [False, True])
def test_radar_returns_are_shown_as_they_are(augment):
    recipe = tiny_recipe('radar')
    seen = with_radar(example(0))
    returns = seen.sensors['radar']
    for seed in range(20):
        rng = np.random.default_rng(seed)
        prepared = recipe.prepare(seen, None, rng, real=True, augment=augment)
        np.testing.assert_array_equal(prepared.prompt.depth, returns.depth)
        columns = prepared.prompt.uv[:, 0]
        mirrored = 95.0 - returns.uv[:, 0]
        assert any(np.array_equal(columns, shown) for shown in (returns.uv[:, 0], mirrored))


def test_an_example_without_radar_returns_teaches_no_radar():
    recipe = tiny_recipe('radar')
    rng = np.random.default_rng(0)
    silent = replace(example(0), sensors={'radar': SparsePrompt.empty()})
    for seen in (example(0), silent):
        assert recipe.prepare(seen, None, rng, real=True, augment=False) is None


def test_an_image_sees_its_prompt_alike_alone_and_among_images_of_other_sizes():
    recipe = tiny_recipe('teacher', masked_share=1.0)
    network = recipe.build().eval()
    for branch in network.prompt_branches:
        torch.nn.init.normal_(branch.layers[-1].weight, std=0.2)
    rng = np.random.default_rng(5)
    prepared = [
        recipe.prepare(example(seed, *size), None, rng, real=False, augment=False)
        for seed, size in enumerate([(96, 64), (80, 112)])
    ]
    with torch.no_grad():
        alone = [recipe.answers(network, recipe.collate([one]))[0] for one in prepared]
        together, _ = recipe.answers(network, recipe.collate(prepared))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['teacher', 'student'])
def test_spread_of_the_gradients_loss_is_the_mean_unless_the_median_is_asked_for(name):
    truth = 1.0 + torch.rand(1, 64, 64) ** 4
    answer, mask = truth * (1.0 + 0.3 * torch.rand(1, 64, 64)), truth > 0
    losses = []
    for options in ({}, {'median_deviation': False}, {'median_deviation': True}):
        recipe = tiny_recipe(name, **options)
        given = {'real': False} if name == 'teacher' else {}
        losses.append(recipe.loss_of(answer, truth, mask, **given).item())
    assert losses[0] == losses[1] != losses[2]


def test_student_sees_no_prompt():
    prepared, batch = batch_of(tiny_recipe('student'))
    assert all(len(one.prompt) == 0 for one in prepared)
    assert set(batch) == {'frame', 'truth', 'real'}


@pytest.mark.parametrize('quantity', QUANTITIES)
def test_student_learns_every_quantity(quantity):
    recipe = tiny_recipe('student', quantity=quantity)
    network = recipe.build()
    _, batch = batch_of(recipe, count=1)
    loss = recipe.losses(network, batch)['loss']
    loss.backward()
    assert torch.isfinite(loss)


def test_student_depth_beyond_the_farthest_still_learns():
    recipe = tiny_recipe('student')
    inverse = torch.full((1, 4, 4), 1e-4, requires_grad=True)
    truth = torch.full((1, 4, 4), 5.0)
    recipe.loss_of(recipe.depth_of(inverse), truth, truth > 0).sum().backward()
    assert (inverse.grad < 0).all()


def closed(network):
    """Close the rectifier of a network everywhere."""
    torch.nn.init.constant_(network.head[-2].bias, -50.0)
    return network


def test_student_learns_where_its_rectifier_is_closed():
    recipe = tiny_recipe('student')
    network = closed(recipe.build())
    _, batch = batch_of(recipe, count=1)
    recipe.losses(network, batch)['loss'].backward()
    assert network.head[-2].bias.grad < 0  # it opens


def test_student_in_training_answers_as_the_released_network_does():
    recipe = tiny_recipe('student')
    trained = recipe.build()
    network = StudentDepthMap(trained.config)
    network.load_state_dict(trained.state_dict())
    middle = torch.rand(1, trained.config.decoder_width, 8, 8)
    with torch.no_grad():
        threshold = network.head[:-1](middle).median()
        for one in (trained, network):
            one.head[-2].bias -= threshold
        answer = trained.head(middle)
        assert torch.equal(answer, network.head(middle))
    assert 0 < (answer > 0).float().mean() < 1


def loss_of_sky(taken_for_m, sky_m=np.inf):
    """Return the student's loss, and its gradient to inverse depth where the truth is `sky_m`."""
    recipe = tiny_recipe('student')
    answer = torch.full((1, 1, 96, 96), 80.0 / 96.0 / 5.0)
    answer[..., :40, :] = 80.0 / 96.0 / taken_for_m
    answer.requires_grad_()
    truth = np.full((96, 96), 5.0, np.float32)
    truth[:40] = sky_m
    _, batch = batch_of(recipe, count=1)
    batch = {**batch, 'truth': [truth]}
    network = recipe.build()
    network.forward = lambda canvas: answer
    loss = recipe.losses(network, batch)['loss']
    loss.backward()
    return loss.item(), answer.grad[0, 0, :20]


@pytest.mark.parametrize('beyond_m', [np.inf, 450.0])
def test_student_learns_that_the_sky_is_far(beyond_m):
    losses = [loss_of_sky(meters, beyond_m)[0] for meters in (3.0, 30.0, 300.0, 4000.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3 * losses[0]
    assert losses[0] == pytest.approx(loss_of_sky(3.0, 400.0)[0], rel=1e-3)


def test_sky_that_the_student_takes_for_endless_is_not_pushed_farther():
    _, gradient = loss_of_sky(4000.0)
    assert (gradient <= 0).all()


def test_masked_depth_is_mostly_hidden():
    prepared, _ = batch_of(tiny_recipe('masked', camera_share=0.0))
    for one in prepared:
        assert 0.05 < (one.arrays['depth'] > 0).mean() < 0.45


def test_recorded_images_of_masked_depth_are_augmented_with_the_noise_of_a_camera():
    flat = replace(example(0), image=np.full_like(example(0).image, 120))
    recipe = tiny_recipe('masked')

    def varies(**how):
        prepared = recipe.prepare(flat, (96, 64), np.random.default_rng(2), **how)
        return prepared.arrays['image'].std(axis=(1, 2)).max() > 0.0

    assert varies(real=True, augment=True)
    assert not varies(real=False, augment=True)
    assert not varies(real=True, augment=False)


def test_an_enlarged_recording_of_a_depth_camera_has_no_holes_between_its_points():
    seen = example(3)
    everywhere = replace(seen, depth=np.full_like(seen.depth, 2.0))
    height, width = seen.depth.shape
    v, u = np.indices((height, width), np.float32).reshape(2, -1)
    camera = SparsePrompt(
        np.stack((u, v), axis=1),
        np.full(u.size, 2.0, np.float32),
        np.zeros(u.size, np.float32),
        np.zeros(u.size, np.uint8),
    )
    recipe = tiny_recipe('masked', sizes=[[2 * width, 2 * height]])
    recorded = replace(everywhere, sensors={'rgbd': camera})

    prepared = recipe.prepare(
        recorded, (2 * width, 2 * height), np.random.default_rng(0), real=True, augment=True
    )

    patch = recipe._config.backbone.patch_size
    depth = prepared.arrays['depth']
    patches = (depth > 0).reshape(depth.shape[0] // patch, patch, -1, patch).mean(axis=(1, 3))
    assert set(np.unique(patches)) == {0.0, 1.0}  # whole, or masked


@pytest.mark.parametrize('name', RECIPES)
def test_model_config_describes_the_whole_network(name):
    recipe = tiny_recipe(name)
    stored = json.loads(json.dumps(recipe.model_config()))
    again = create_recipe(name, stored, {}, 'test')
    assert asdict(again._config) == asdict(recipe._config)
    assert json.loads(json.dumps(again.model_config())) == stored


def test_released_masked_network_is_described_for_the_estimator():
    recipe = create_recipe('masked', {}, {}, 'test')
    stored = json.loads(json.dumps(recipe.model_config()))
    assert skeleton('lingbot_depth', stored).config == LingBotDepthConfig.released()
    assert stored['encoder']['backbone'] == 'dinov2_vitl14'  # as the authors' class takes it


@pytest.mark.parametrize(
    ('name', 'estimator'),
    [
        ('teacher', 'teacher'),
        ('student', 'student_depthmap'),
        ('pointmap', 'student_pointmap'),
        ('masked', 'lingbot_depth'),
    ],
)
def test_exported_weights_are_what_the_estimator_loads(tmp_path, name, estimator):
    recipe = tiny_recipe(name)
    network = recipe.build()
    path = tmp_path / 'weights.safetensors'
    about = {'model_config': recipe.model_config()}
    write_weights(path, network.to_official(network.state_dict()), about)
    loaded = network_from(estimator, read_checkpoint(path)).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in network.state_dict().items())


def test_prompt_free_teacher_uses_the_focal_length():
    recipe = tiny_recipe('teacher')
    _, batch = batch_of(recipe)
    frames = [replace(frame, prompt=SparsePrompt.empty()) for frame in batch['frame']]
    with torch.no_grad():
        _, units = recipe.prompts({**batch, 'frame': frames}, torch.device('cpu'))
    np.testing.assert_allclose(units.numpy(), 80.0 / 96.0, rtol=1e-6)


@pytest.mark.parametrize('name', ['teacher', 'student'])
def test_a_network_that_is_trained_from_nothing_begins_with_an_open_rectifier(name):
    recipe = tiny_recipe(name)
    for seed in range(6):
        torch.manual_seed(seed)
        network = recipe.build()
        answers = []
        network.head.register_forward_hook(
            lambda module, seen, answer, kept=answers: kept.append(answer.detach())
        )
        recipe.losses(network, batch_of(recipe)[1])
        assert (answers[0] > 0).float().mean() > 0.9
