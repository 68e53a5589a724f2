# SPDX-License-Identifier: Apache-2.0
"""Student-DepthMap against its authors' code on shared random weights."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.evaluation.conformance.golden import Golden  # noqa: E402
from metric_depth_ros.evaluation.conformance.run import run_golden  # noqa: E402
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count, released_keys  # noqa: E402
from metric_depth_ros.networks.student_depthmap import (  # noqa: E402
    StudentDepthMap,
    StudentDepthMapConfig,
)


@pytest.fixture(scope='module')
def small():
    torch.manual_seed(5)
    config = StudentDepthMapConfig(
        backbone=DinoV3Config(16, 4, 1, 40, patch_size=4),
        taps=(0, 1, 2, 3),
        widths=(8, 8, 8, 8),
        decoder_width=8,
        head_width=4,
        canvas=128,
    )
    return with_depth(StudentDepthMap(config).eval())


def with_depth(network):
    """Random weights whose head does not answer 0 everywhere."""
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(std=0.3)
        network.head[-2].bias.fill_(1.0)
    return network


@pytest.mark.parametrize(('folder', 'quantities'), [('tiny', 46), ('tiny_1536', 30)])
def test_agrees_with_the_authors_code_at_every_step(shared, folder, quantities):
    golden = Golden.open(shared / 'goldens/student_depthmap' / folder)
    checks = list(run_golden(golden))
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == quantities


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
