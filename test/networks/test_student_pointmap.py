# SPDX-License-Identifier: Apache-2.0
"""Student-PointMap: its released architecture and what `infer` promises."""

import json
import logging
import math
from dataclasses import asdict, replace

import pytest
import torch
from official_weights import official_state

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import (
    Checkpoint,
    parameter_count,
    read_checkpoint,
    released_keys,
)
from metric_depth_ros.networks.convstack import ConvStackConfig
from metric_depth_ros.networks.student_pointmap import StudentPointMap, StudentPointMapConfig

DIMS = (16, 12, 8, 6, 4)
RESAMPLERS = ('conv_transpose', 'conv_transpose', 'conv_transpose', 'bilinear')


def stack(dim_in, dim_out=None):
    return {
        'dim_in': list(dim_in),
        'dim_out': [None, None, None, None, dim_out],
        'dim_res_blocks': list(DIMS),
        'num_res_blocks': [0, 1, 1, 1, 0],
        'res_block_in_norm': 'none',
        'res_block_hidden_norm': 'none',
        'resamplers': list(RESAMPLERS),
    }


BACKBONE = {'embed_dim': 24, 'depth': 3, 'num_heads': 2, 'native_grid': 5}
MODEL_CONFIG = {
    'encoder': {'backbone': BACKBONE, 'intermediate_layers': 2, 'dim_out': 16},
    'neck': stack((18, 2, 2, 2, 2)),
    'points_head': stack(DIMS, 3),
    'mask_head': stack(DIMS, 1),
    'normal_head': stack(DIMS, 3),
    'scale_head': {'dims': [24, 8, 1]},
    'remap_output': 'exp',
    'num_tokens_range': [12, 30],
}


def build(**changes):
    config = StudentPointMapConfig.from_model_config(MODEL_CONFIG)
    torch.manual_seed(3)
    network = StudentPointMap(replace(config, **changes)).eval()
    with torch.no_grad():  # transformers starts the position embedding and others at almost 0
        network.encoder.backbone.embeddings.position_embeddings.normal_(std=0.5)
        network.points_head.output_blocks[4].bias[2] = 1.0
        network.mask_head.output_blocks[4].bias.zero_()
    return network


@pytest.fixture(scope='module')
def network():
    return build()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (2, 3, 60, 80), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ('normals', 'keys', 'config', 'parameters', 'entries'),
    [
        (False, 'released_keys.json', 'released_model_config.json', 326_209_221, 483),
        (
            True,
            'moge2_vitl_normal_keys.json',
            'moge2_vitl_normal_model_config.json',
            330_901_544,
            521,
        ),
    ],
)
def test_the_released_architecture_has_the_released_keys(
    shared, normals, keys, config, parameters, entries
):
    folder = shared / 'goldens/student_pointmap'
    expected = json.loads((folder / keys).read_text())
    model_config = json.loads((folder / config).read_text())
    released = StudentPointMapConfig.released(normals=normals)
    with torch.device('meta'):
        network = StudentPointMap(released)

    assert StudentPointMapConfig.from_model_config(model_config) == released
    assert released_keys(network) == {key: tuple(shape) for key, shape in expected.items()}
    assert len(expected) == entries
    assert parameter_count(network) == parameters


def test_a_checkpoint_makes_the_network_it_describes(tmp_path, images):
    original = build()
    path = tmp_path / 'model.pt'
    torch.save({'model_config': MODEL_CONFIG, 'model': official_state(original)}, path)

    loaded = StudentPointMap.from_checkpoint(read_checkpoint(path))

    with torch.inference_mode():
        expected, got = original.infer(images), loaded.infer(images)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


def test_a_checkpoint_without_a_config_is_refused(tmp_path, network):
    with pytest.raises(InputError, match='no model_config'):
        StudentPointMap.from_checkpoint(Checkpoint(tmp_path, '', official_state(network)))


@pytest.mark.parametrize(
    'change',
    [
        {'neck': stack((19, 2, 2, 2, 2))},
        {'neck': {**stack((18, 2, 2, 2, 2)), 'res_block_hidden_norm': 'group_norm'}},
        {'points_head': stack((16, 12, 8, 6, 5), 3)},
        {'points_head': stack(DIMS, 2)},
        {'mask_head': stack(DIMS, 3)},
        {'scale_head': {'dims': [23, 8, 1]}},
        {'scale_head': {'dims': [24, 8, 2]}},
        {'encoder': {**MODEL_CONFIG['encoder'], 'dim_out': 17}},
        {'encoder': {**MODEL_CONFIG['encoder'], 'backbone': {**BACKBONE, 'num_heads': 5}}},
        {'encoder': {**MODEL_CONFIG['encoder'], 'backbone': {**BACKBONE, 'depth': 60_000}}},
    ],
)
def test_a_config_whose_parts_do_not_fit_each_other_is_refused(tmp_path, change):
    checkpoint = Checkpoint(tmp_path, '', {}, {**MODEL_CONFIG, **change})

    with pytest.raises(InputError) as refused:
        StudentPointMap.from_checkpoint(checkpoint)

    assert refused.value.fault == 'checkpoint_config'


@pytest.mark.parametrize('missing', ['encoder', 'neck', 'points_head', 'scale_head'])
def test_a_config_without_a_needed_part_is_refused_by_name(missing):
    config = {key: value for key, value in MODEL_CONFIG.items() if key != missing}

    with pytest.raises(InputError, match=missing):
        StudentPointMapConfig.from_model_config(config)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('remap_output', 'square'),
        ('num_tokens_range', [3]),
        ('num_tokens_range', [9, 3]),
        ('num_tokens_range', 'many'),
        ('scale_head', {'dims': [1, -1]}),
        ('encoder', {**MODEL_CONFIG['encoder'], 'backbone': 'dinov2_vitg14'}),
        ('encoder', {**MODEL_CONFIG['encoder'], 'backbone': {'embed_dim': 24, 'depth': 3}}),
        ('encoder', {**MODEL_CONFIG['encoder'], 'backbone': {**BACKBONE, 'registers': 4}}),
        ('encoder', {**MODEL_CONFIG['encoder'], 'backbone': {**BACKBONE, 'depth': '3'}}),
        ('encoder', {'backbone': BACKBONE, 'intermediate_layers': 2.5, 'dim_out': 16}),
        ('encoder', {'backbone': BACKBONE, 'intermediate_layers': [1], 'dim_out': None}),
    ],
)
def test_a_config_with_a_bad_value_is_refused(key, value):
    with pytest.raises(InputError) as refused:
        StudentPointMapConfig.from_model_config({**MODEL_CONFIG, key: value})

    assert refused.value.fault == 'checkpoint_config'


def test_unknown_keys_of_a_config_are_reported_and_ignored(caplog):
    with caplog.at_level(logging.WARNING):
        config = StudentPointMapConfig.from_model_config({**MODEL_CONFIG, 'extra': 1})

    assert 'extra' in caplog.text
    assert config == StudentPointMapConfig.from_model_config(MODEL_CONFIG)


@torch.inference_mode()
def test_returns_maps_of_the_images_size(network, images):
    result = network.infer(images)

    assert {name: tuple(value.shape) for name, value in result.items()} == {
        'points': (2, 60, 80, 3),
        'depth': (2, 60, 80),
        'intrinsics': (2, 3, 3),
        'mask': (2, 60, 80),
        'normal': (2, 60, 80, 3),
    }
    assert result['mask'].dtype == torch.bool


@torch.inference_mode()
def test_one_image_needs_no_batch(network, images):
    alone, batch = network.infer(images[0]), network.infer(images[:1])

    assert all(torch.equal(alone[name], batch[name][0]) for name in batch)


@torch.inference_mode()
def test_images_of_a_batch_do_not_touch_each_other(network, images):
    batch = network.infer(images, apply_mask=False)

    for index, image in enumerate(images):
        alone = network.infer(image, apply_mask=False)
        for name in ('depth', 'intrinsics', 'points'):
            torch.testing.assert_close(batch[name][index], alone[name], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_fields_of_view_of_a_batch_are_each_images_own(network, images):
    degrees = torch.tensor([40.0, 75.0])
    result = network.infer(images, fov_x_deg=degrees, apply_mask=False)

    recovered = 2 * torch.atan(0.5 / result['intrinsics'][:, 0, 0]).rad2deg()
    torch.testing.assert_close(recovered, degrees)
    for index, image in enumerate(images):
        alone = network.infer(image, fov_x_deg=float(degrees[index]), apply_mask=False)
        torch.testing.assert_close(result['depth'][index], alone['depth'], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_pixels_are_square_and_the_principal_point_is_central(network, images):
    fx, fy = network.infer(images)['intrinsics'][:, (0, 1), (0, 1)].T

    torch.testing.assert_close(fx * 80, fy * 60)
    assert network.infer(images)['intrinsics'][0, :2, 2].tolist() == [0.5, 0.5]


@torch.inference_mode()
def test_points_project_onto_their_pixels(network, images):
    result = network.infer(images, apply_mask=False)
    x, y, z = result['points'].unbind(-1)
    fx, fy = result['intrinsics'][:, 0, 0, None, None], result['intrinsics'][:, 1, 1, None, None]

    torch.testing.assert_close(fx * x / z + 0.5, ((torch.arange(80) + 0.5) / 80).expand(2, 60, 80))
    rows = ((torch.arange(60) + 0.5) / 60)[:, None]
    torch.testing.assert_close(fy * y / z + 0.5, rows.expand(2, 60, 80))


@torch.inference_mode()
def test_masked_pixels_are_infinitely_far_and_have_no_normal(images):
    network = build()
    undecided = network(images / 255, (5, 6))['mask'].median().logit()
    network.mask_head.output_blocks[4].bias -= undecided
    result = network.infer(images)
    outside = ~result['mask']

    assert 0 < outside.sum() < outside.numel()
    assert (result['depth'][outside] == math.inf).all()
    assert (result['points'][outside] == math.inf).all()
    assert (result['normal'][outside] == 0).all()
    assert result['depth'][result['mask']].isfinite().all()


@torch.inference_mode()
def test_normals_have_unit_length(network, images):
    normal = network.infer(images, apply_mask=False)['normal']

    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(2, 60, 80))


@torch.inference_mode()
def test_heads_are_optional(images):
    network = build(normal_head=None)
    network.mask_head = None

    assert network.infer(images[0]).keys() == {'points', 'depth', 'intrinsics'}


@torch.inference_mode()
@pytest.mark.parametrize('remap', ['exp', 'linear', 'sinh', 'sinh_exp'])
def test_every_remapping_runs(images, remap):
    points = build(remap_output=remap)(images / 255, (3, 4))['points']

    assert points.isfinite().all()


def test_the_resolution_level_sets_the_number_of_patches(network):
    rows, columns = network.token_grid(80, 60)
    fewest = network.token_grid(80, 60, resolution_level=0)

    assert (rows, columns) == (5, 6)
    assert fewest == (3, 4)
    assert network.token_grid(80, 60, num_tokens=300, resolution_level=0) == (15, 20)


@torch.inference_mode()
def test_runs_in_bfloat16_with_results_in_float32(images):
    network = build()
    exact = network(images / 255, (3, 4))['points']
    half = network.to(torch.bfloat16)(images / 255, (3, 4))['points']

    assert half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.1 * exact.abs().mean()


def test_configs_of_the_stacks_are_plain_values():
    assert asdict(StudentPointMapConfig.released())['neck'] == asdict(
        ConvStackConfig(
            dim_in=(1026, 2, 2, 2, 2),
            dim_out=(None,) * 5,
            dim_res_blocks=(1024, 256, 128, 64, 32),
            num_res_blocks=(0, 2, 2, 2, 0),
            resamplers=RESAMPLERS,
            in_norm='none',
            hidden_norm='none',
        )
    )


def test_can_be_exported_whole(network, images):
    exported = torch.export.export(Fixed(network), (images / 255,)).module()

    with torch.inference_mode():
        expected, got = network(images / 255, (3, 4)), exported(images / 255)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


class Fixed(torch.nn.Module):
    """The network at one grid."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image, (3, 4))
