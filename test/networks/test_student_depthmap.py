# SPDX-License-Identifier: Apache-2.0
"""Student-DepthMap beside what its goldens hold."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.conformance.golden import Golden  # noqa: E402
from metric_depth_ros.conformance.run import run_golden  # noqa: E402
from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count, released_keys  # noqa: E402
from metric_depth_ros.networks.student_depthmap import (  # noqa: E402
    StudentDepthMap,
    StudentDepthMapConfig,
)

CONFIG = StudentDepthMapConfig(
    backbone=DinoV3Config(16, 4, 1, 40, patch_size=4),
    taps=(0, 1, 2, 3),
    widths=(8, 8, 8, 8),
    decoder_width=8,
    head_width=4,
    canvas=128,
)


def small_network(**changes):
    torch.manual_seed(5)
    return with_depth(StudentDepthMap(replace(CONFIG, **changes)).eval())


@pytest.fixture(scope='module')
def small():
    return small_network()


def with_depth(network):
    """Random weights whose head does not answer 0 everywhere."""
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(std=0.3)
        network.head[-2].bias.fill_(1.0)
    return network


def test_a_network_of_another_make_is_not_mistaken_for_this_one(shared):
    golden = Golden.open(shared / 'goldens/student_depthmap/tiny')
    other = replace(
        golden, config={**golden.config, 'config': {**golden.config['config'], 'norm_eps': 1e-6}}
    )
    with pytest.raises(InputError, match=r"not supported: {'norm_eps': 1e-06}"):
        list(run_golden(other))


def test_the_released_checkpoint_fits_key_by_key(shared):
    with torch.device('meta'):
        network = StudentDepthMap(StudentDepthMapConfig())
    listed = json.loads((shared / 'goldens/student_depthmap/released_keys.json').read_text())
    assert released_keys(network) == {key: tuple(shape) for key, shape in listed.items()}
    assert parameter_count(network) == 876_664_001


def test_every_image_of_a_batch_is_scaled_by_its_own_focal_length(small):
    images = torch.randint(256, (2, 3, 40, 60), dtype=torch.uint8)
    with torch.inference_mode():
        both = small.infer(images, torch.tensor([45.0, 90.0]))['depth']
        at_45, at_90 = (small.infer(images, focal)['depth'] for focal in (45.0, 90.0))
    assert torch.equal(both, torch.stack([at_45[0], at_90[1]]))
    torch.testing.assert_close(at_90, 2 * at_45)


def test_a_wrong_number_of_focal_lengths_is_refused(small):
    with pytest.raises(InputError, match=r'3 numbers .* for 2 images'):
        small.infer(torch.zeros(2, 3, 40, 60), torch.ones(3))


def test_floats_in_the_unit_range_mean_the_same_as_bytes(small):
    image = torch.randint(256, (3, 40, 60), dtype=torch.uint8)
    with torch.inference_mode():
        from_bytes = small.infer(image)['depth']
        from_floats = small.infer(image.float() / 255)['depth']
    assert torch.equal(from_bytes, from_floats)


def test_fewer_crops_at_once_give_the_same_depth(small):
    image = torch.randint(256, (3, 40, 60), dtype=torch.uint8)
    with torch.inference_mode():
        at_once = small.infer(image)['depth']
        in_portions = small.infer(image, max_crops_per_batch=8)['depth']
    torch.testing.assert_close(in_portions, at_once, rtol=1e-5, atol=1e-5)


def test_another_canvas_gives_the_same_resolution(small):
    with torch.inference_mode():
        assert small.infer(torch.rand(3, 40, 60), canvas=256)['depth'].shape == (1, 40, 60)


def test_half_precision_answers_in_float32(small):
    image = torch.rand(3, 40, 60)
    with torch.inference_mode():
        exact = small.infer(image)['depth']
        small.bfloat16()
        rough = small.infer(image)['depth']
        small.float()
    assert rough.dtype == torch.float32
    assert ((rough - exact).abs() / exact).mean() < 0.05


def levels_of(network):
    """Return the encoder's maps, and what the decoder gets of them, fine to coarse."""
    seen = {}
    network.encoder.register_forward_hook(lambda _, given, maps: seen.update(maps=maps))
    network.decoder.register_forward_pre_hook(lambda _, given: seen.update(levels=given[0]))
    with torch.inference_mode():
        network(torch.rand(1, 3, CONFIG.canvas, CONFIG.canvas))
    maps = seen['maps']
    order = [next(i for i, m in enumerate(maps) if m is level) for level in seen['levels']]
    return order, [level.shape[-1] for level in seen['levels']]


def test_the_last_features_are_next_to_the_output_and_in_the_twin_the_earliest_ones():
    inverted, sizes = levels_of(small_network())
    unet, sizes_of_twin = levels_of(small_network(skips='unet'))
    # Maps 0 to 3 are of the taps, early to late; 4 to 6 of the last block, fine to coarse.
    assert inverted == [4, 3, 2, 1, 0, 5, 6]
    assert unet == [0, 1, 2, 3, 4, 5, 6]
    assert sizes == sizes_of_twin


def test_the_twin_has_parts_of_the_same_kinds():
    with torch.device('meta'):
        network, twin = (
            StudentDepthMap(StudentDepthMapConfig(skips=skips)) for skips in ('inverted', 'unet')
        )
    assert len(released_keys(network)) == len(released_keys(twin))
    added = 2 * 4 * (320**2 - 256**2)  # two doublings are of the taps now, not of the last map
    assert parameter_count(twin) == parameter_count(network) + added


def answering(answer, **changes):
    """Return a network whose head answers one value everywhere."""
    network = small_network(head_param='dlog', **changes)
    with torch.no_grad():
        network.head[-2].weight.zero_()
        network.head[-2].bias.fill_(answer)
    return network


@pytest.mark.parametrize(('answer', 'canonical_m'), [(0.5, 10.0), (1.0, 1.0), (1.5, 0.1)])
def test_a_head_of_dlog_answers_the_logarithm_of_canonical_depth(answer, canonical_m):
    with torch.inference_mode():
        depth = answering(answer, farthest_m=100.0).infer(torch.rand(3, 40, 60), 90.0)['depth']
    torch.testing.assert_close(depth, torch.full_like(depth, canonical_m * 90.0 / 60.0))


@pytest.mark.parametrize(('focal_px', 'end_m'), [(30.0, 50.0), (60.0, 100.0), (900.0, 1000.0)])
def test_the_range_of_a_head_of_dlog_ends_with_its_constant(focal_px, end_m):
    with torch.inference_mode():
        seen = answering(-1.0, farthest_m=100.0).infer(torch.rand(3, 40, 60), focal_px)
    assert seen['farthest_m'].item() == pytest.approx(end_m)
    torch.testing.assert_close(seen['depth'], torch.full_like(seen['depth'], end_m))


def test_the_range_of_the_released_head_is_that_of_its_authors(small):
    with torch.inference_mode():
        assert small.infer(torch.rand(3, 40, 60), 30.0)['farthest_m'].item() == 1000.0


def test_bf16_does_not_round_what_the_head_of_dlog_answers():
    network = small_network(head_param='dlog')
    torch.nn.init.constant_(network.head[-2].bias, 1.0037)  # nothing that bf16 has
    features = torch.rand(1, 4, 8, 8).bfloat16()
    with torch.inference_mode():
        exact = network.head[-2:](features.float())
        network.bfloat16()
        with torch.autocast('cpu', torch.bfloat16):
            answer = network.head[-2:](features)
    assert next(network.encoder.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(answer, exact, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(
    'changes',
    [
        {'skips': 'none'},
        {'head_param': 'log'},
        {'farthest_m': 1.0},
        {'farthest_m': float('nan')},
        {'farthest_m': 1e5},
    ],
)
def test_a_configuration_that_no_network_has_is_refused_by_name(changes):
    with pytest.raises(InputError, match=f'{next(iter(changes))} is .*, expected'):
        replace(CONFIG, **changes)
