# SPDX-License-Identifier: Apache-2.0
"""What the paper promises of the prompted teacher, on random weights."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config  # noqa: E402
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count  # noqa: E402
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig  # noqa: E402
from metric_depth_ros.networks.teacher import (  # noqa: E402
    Teacher,
    TeacherConfig,
    normalized_prompt,
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
def prompt():
    generator = torch.Generator().manual_seed(2)
    inverse = 0.05 + torch.rand(2, 1, 48, 64, generator=generator)
    mask = (torch.rand(2, 1, 48, 64, generator=generator) < 0.02).float()
    return torch.cat([inverse, inverse * 1.1 + 0.01, mask], dim=1)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_before_training_no_prompt_changes_any_bit(backbone, images, prompt):
    network = small_teacher(backbone)
    canvas = network.prepare(images)
    normalized, _ = normalized_prompt(prompt)
    with torch.inference_mode():
        without = network(canvas)
        assert without.std() > 0
        assert torch.equal(network(canvas, normalized), without)
        assert torch.equal(network(canvas, 1e3 * torch.randn(2, 3, 9, 500)), without)


@pytest.mark.parametrize('scale', [0.25, 2.0, 1024.0])
def test_a_prompt_twice_as_deep_makes_everything_twice_as_deep(teacher, images, prompt, scale):
    with torch.inference_mode():
        depth = teacher.infer(images, prompt)['depth']
        scaled = teacher.infer(images, scaled_prompt(prompt, scale))['depth']
    assert torch.equal(scaled, depth * scale)


@pytest.mark.parametrize('scale', [0.3, 3.0, 77.7])
def test_any_scale_of_the_prompt_scales_the_depth(teacher, images, prompt, scale):
    with torch.inference_mode():
        depth = teacher.infer(images, prompt)['depth']
        scaled = teacher.infer(images, scaled_prompt(prompt, scale))['depth']
    torch.testing.assert_close(scaled, depth * scale, rtol=1e-5, atol=0)


def scaled_prompt(prompt, scale):
    return torch.cat([prompt[:, :2] / scale, prompt[:, 2:]], dim=1)


def test_the_prompt_matters_once_trained(teacher, images, prompt):
    other = torch.cat([prompt[:, :2].flip(-1), prompt[:, 2:]], dim=1)
    with torch.inference_mode():
        depths = [teacher.infer(images, p)['depth'] for p in (prompt, other)]
    assert not torch.allclose(*depths)


def test_an_image_without_points_is_answered_as_without_a_prompt(teacher, images, prompt):
    prompt[1, 2] = 0
    with torch.inference_mode():
        mixed = teacher.infer(images, prompt)
        prompted = teacher.infer(images[:1], prompt[:1])
        free = teacher.infer(images[1:])
    assert mixed['prompted'].tolist() == [True, False]
    torch.testing.assert_close(mixed['depth'][0], prompted['depth'][0])
    torch.testing.assert_close(mixed['depth'][1], free['depth'][0])


def test_without_points_the_focal_length_sets_the_scale(teacher, images):
    with torch.inference_mode():
        as_wide = teacher.infer(images)['depth']
        given = teacher.infer(images, focal_px=[64.0, 128.0])['depth']
    torch.testing.assert_close(given[0], as_wide[0])
    torch.testing.assert_close(given[1], 2 * as_wide[1])


def test_the_focal_length_counts_for_nothing_where_there_are_points(teacher, images, prompt):
    with torch.inference_mode():
        depths = [teacher.infer(images, prompt, focal_px=f)['depth'] for f in (50.0, 500.0)]
    assert torch.equal(*depths)


def test_a_known_median_spares_the_search(teacher, images, prompt):
    median = torch.stack([p[0][p[2] > 0].median() for p in prompt])
    with torch.inference_mode():
        searched = teacher.infer(images, prompt)['depth']
        given = teacher.infer(images, prompt, prompt_median=median)['depth']
    assert torch.equal(searched, given)


def test_holes_in_the_maps_do_not_spread(teacher, images, prompt):
    prompt[0, 0, 3, 4] = torch.nan
    prompt[0, 1, 7, 7] = torch.inf
    with torch.inference_mode():
        assert teacher.infer(images, prompt)['depth'].isfinite().all()


def test_without_normalization_maps_stay_in_inverse_meters(prompt):
    normalized, unit = normalized_prompt(prompt, 'none')
    assert torch.equal(normalized, prompt)
    assert (unit == 1).all()


@pytest.mark.parametrize('size', [(6, 8), (5, 7), (96, 128)])
def test_no_point_is_lost_when_the_mask_shrinks(size):
    prompt = torch.zeros(1, 3, 48, 64)
    prompt[0, 2, 47, 63] = 1
    shrunk = resized_prompt(prompt, size)
    assert shrunk.shape == (1, 3, *size)
    assert shrunk[0, 2, -1, -1] == 1


def test_only_the_last_convolution_starts_at_zero(images, prompt):
    network = small_teacher()
    network(network.prepare(images), normalized_prompt(prompt)[0]).sum().backward()
    for branch in network.prompt_branches:
        assert branch.layers[-1].weight.grad.abs().sum() > 0
        assert branch.layers[0].weight.abs().sum() > 0


def test_a_prompt_of_the_wrong_shape_is_refused(teacher, images, prompt):
    with pytest.raises(InputError, match='two aligned maps and the mask'):
        teacher.infer(images, prompt[:, :2])
    with pytest.raises(InputError, match='two aligned maps and the mask'):
        teacher.infer(images, prompt[:1])


def test_the_sizes_are_those_of_the_document():
    with torch.device('meta'):
        huge, large = Teacher(TeacherConfig.vit_huge()), Teacher(TeacherConfig.vit_large())
    assert parameter_count(huge) == 888_657_217
    assert parameter_count(large) == 349_928_513
    assert parameter_count(huge.prompt_branches) == 5_936_640


def test_depth_pro_weights_fit_all_but_the_prompt_branches():
    with torch.device('meta'):
        large, depth_pro = Teacher(TeacherConfig.vit_large()), DepthPro(DepthProConfig.released())
    ours = {key: value.shape for key, value in large.state_dict().items()}
    theirs = {key: value.shape for key, value in depth_pro.state_dict().items()}
    new = {key for key in ours if ours[key] != theirs.get(key)}
    assert {key.split('.')[0] for key in new} == {'prompt_branches'}


def test_compiles_as_one_graph(teacher, images, prompt):
    canvas, normalized = teacher.prepare(images), normalized_prompt(prompt)[0]
    compiled = torch.compile(teacher, backend='eager', fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(canvas, normalized), teacher(canvas, normalized))
