# SPDX-License-Identifier: Apache-2.0
"""What the paper promises of the prompted teacher, on random weights."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.estimators.alignment import prompt_tensor  # noqa: E402
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config  # noqa: E402
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count  # noqa: E402
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig  # noqa: E402
from metric_depth_ros.networks.teacher import (  # noqa: E402
    Teacher,
    TeacherConfig,
    resized_prompt,
)

BACKBONES = {
    'dinov3': DinoV3Config(16, 2, 1, 40, patch_size=4),
    'dinov2': DinoV2Config(16, 2, 1, patch_size=4, native_grid=8, mask_token=False),
}


def small_teacher(backbone='dinov3', **changes):
    torch.manual_seed(7)
    config = TeacherConfig(
        backbone=BACKBONES[backbone],
        taps=(0, 1),
        widths=(8, 8, 8, 8),
        decoder_width=8,
        head_width=4,
        canvas=128,
        **changes,
    )
    network = Teacher(config).eval()
    with torch.no_grad():
        network.head[-2].bias.fill_(1.0)  # a random head must not answer 0 everywhere
    return network


def trained(network):
    """Random weights in place of the zeros that end the prompt branches."""
    with torch.no_grad():
        for branch in network.prompt_branches:
            branch.layers[-1].weight.normal_(std=0.2)
            branch.layers[-1].bias.normal_(std=0.2)
    return network


@pytest.fixture(scope='module')
def teacher():
    return trained(small_teacher())


@pytest.fixture
def images():
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def prior():
    return 0.05 + torch.rand(2, 48, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def points(prior):
    """Measured depth at 60 pixels of each image, 0 elsewhere, not quite what the prior says."""
    generator = torch.Generator().manual_seed(3)
    measured = torch.zeros(2, 48 * 64)
    where = torch.stack([torch.randperm(48 * 64, generator=generator)[:60] for _ in range(2)])
    noise = 1 + 0.1 * torch.rand(2, 60, generator=generator)
    return measured.scatter(1, where, noise / prior.flatten(1).gather(1, where)).view(2, 48, 64)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_before_training_no_prompt_changes_any_bit(backbone, images, prior, points):
    network = small_teacher(backbone)
    canvas = network.prepare(images)
    with torch.inference_mode():
        without = network(canvas)
        assert without.std() > 0
        assert torch.equal(network(canvas, prompt_tensor(prior, points).channels), without)
        assert torch.equal(network(canvas, 1e3 * torch.randn(2, 3, 9, 500)), without)


@pytest.mark.parametrize('scale', [0.25, 2.0, 1024.0])
def test_points_twice_as_far_make_every_depth_exactly_twice_as_large(
    teacher, images, prior, points, scale
):
    with torch.inference_mode():
        depth = teacher.infer(images, *prompt_tensor(prior, points))['depth']
        scaled = teacher.infer(images, *prompt_tensor(prior, points * scale))['depth']
    assert torch.equal(scaled, depth * scale)


@pytest.mark.parametrize('scale', [0.3, 3.0, 77.7])
def test_any_scale_of_the_points_scales_the_depth(teacher, images, prior, points, scale):
    channels, unit_m = prompt_tensor(prior, points)
    scaled_channels, scaled_unit_m = prompt_tensor(prior, points * scale)
    with torch.inference_mode():
        depth = teacher.infer(images, channels, unit_m)['depth']
        scaled = teacher.infer(images, scaled_channels, scaled_unit_m)['depth']
    torch.testing.assert_close(scaled, depth * scale, rtol=1e-5, atol=0)


def test_the_prompt_matters_once_trained(teacher, images, prior, points):
    with torch.inference_mode():
        depths = [
            teacher.infer(images, *prompt_tensor(prior, p))['depth'] for p in (points, 1 / points)
        ]
    assert not torch.allclose(*depths)


def test_an_image_without_points_is_answered_as_without_a_prompt(teacher, images, prior, points):
    points[1] = 0
    channels, unit_m = prompt_tensor(prior, points)
    with torch.inference_mode():
        mixed = teacher.infer(images, channels, unit_m)
        prompted = teacher.infer(images[0], channels[0], unit_m[:1])
        free = teacher.infer(images[1])
    assert mixed['prompted'].tolist() == [True, False]
    torch.testing.assert_close(mixed['depth'][0], prompted['depth'][0])
    torch.testing.assert_close(mixed['depth'][1], free['depth'][0])


def test_without_points_the_focal_length_sets_the_scale(teacher, images):
    with torch.inference_mode():
        as_wide = teacher.infer(images)['depth']
        given = teacher.infer(images, focal_px=[64.0, 128.0])['depth']
    torch.testing.assert_close(given[0], as_wide[0])
    torch.testing.assert_close(given[1], 2 * as_wide[1])


def test_the_focal_length_counts_for_nothing_where_there_are_points(
    teacher, images, prior, points
):
    prompt = prompt_tensor(prior, points)
    with torch.inference_mode():
        depths = [teacher.infer(images, *prompt, focal_px=f)['depth'] for f in (50.0, 500.0)]
    assert torch.equal(*depths)


def test_a_prompt_in_inverse_meters_is_answered_in_meters(teacher, images, prior, points):
    channels, unit_m = prompt_tensor(prior, points, norm='none')
    with torch.inference_mode():
        named = teacher.infer(images, channels, unit_m)['depth']
        unnamed = teacher.infer(images, channels)['depth']
    assert torch.equal(named, unnamed)


@pytest.mark.parametrize('size', [(6, 8), (5, 7), (96, 128)])
def test_no_point_is_lost_when_the_mask_shrinks(size):
    prompt = torch.zeros(1, 3, 48, 64)
    prompt[0, 2, 47, 63] = 1
    shrunk = resized_prompt(prompt, size)
    assert shrunk.shape == (1, 3, *size)
    assert shrunk[0, 2, -1, -1] == 1


def test_only_the_last_convolution_starts_at_zero(images, prior, points):
    network = small_teacher()
    network(network.prepare(images), prompt_tensor(prior, points).channels).sum().backward()
    for branch in network.prompt_branches:
        assert branch.layers[-1].weight.grad.abs().sum() > 0
        assert branch.layers[0].weight.abs().sum() > 0


@pytest.mark.parametrize('shape', [(2, 2, 48, 64), (3, 48, 64), (1, 3, 48, 64)])
def test_a_prompt_of_the_wrong_shape_is_refused(teacher, images, shape):
    with pytest.raises(InputError, match='two aligned maps and the mask'):
        teacher.infer(images, torch.zeros(shape))


def test_the_sizes_are_those_of_the_document():
    with torch.device('meta'):
        huge, large = Teacher(TeacherConfig()), Teacher(TeacherConfig.vit_large())
    assert parameter_count(huge) == 888_657_217
    assert parameter_count(large) == 349_928_513
    assert parameter_count(huge.prompt_branches) == 5_936_640


def test_depth_pro_weights_fit_all_but_the_prompt_branches():
    with torch.device('meta'):
        large, depth_pro = Teacher(TeacherConfig.vit_large()), DepthPro(DepthProConfig())
    ours = {key: value.shape for key, value in large.state_dict().items()}
    theirs = {key: value.shape for key, value in depth_pro.state_dict().items()}
    new = {key for key in ours if ours[key] != theirs.get(key)}
    assert {key.split('.')[0] for key in new} == {'prompt_branches'}


def test_compiles_as_one_graph(teacher, images, prior, points):
    canvas, prompt = teacher.prepare(images), prompt_tensor(prior, points).channels
    compiled = torch.compile(teacher, backend='eager', fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(canvas, prompt), teacher(canvas, prompt))
