# SPDX-License-Identifier: Apache-2.0
"""The compact student sees depth in one image, each image by itself."""

from dataclasses import replace

import pytest
import torch

from metric_depth_ros.networks.checkpoints import parameter_count
from metric_depth_ros.networks.compact_student import (
    MULTIPLE_PX,
    SKIPS,
    CompactStudent,
    CompactStudentConfig,
    evened,
)

TINY = CompactStudentConfig(width=16, blocks=4, expansion=2, taps=(0, 1, 2, 3), decoder_width=8)
WIDTH, HEIGHT = 3 * MULTIPLE_PX, 2 * MULTIPLE_PX


def _trained(config: CompactStudentConfig = TINY) -> CompactStudent:
    """Return a network whose every weight counts."""
    torch.manual_seed(0)
    network = CompactStudent(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def _images(count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=generator)


def test_every_pixel_is_answered_and_the_image_has_one_focal_length():
    *maps, log_focal = _trained()(_images(2))

    assert [part.shape for part in maps] == [(2, 1, HEIGHT, WIDTH)] * 3
    assert log_focal.shape == (2,)


def test_an_image_is_answered_alike_alone_and_in_a_batch():
    network = _trained()
    images = _images(3)

    for together, alone in zip(network(images), network(images[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


def test_an_untrained_network_answers_a_flat_scene_some_meters_away():
    answer = CompactStudent(TINY)(_images())

    depth = (answer.log_focal - answer.log_inverse).exp()
    assert 1.0 < depth.min() == depth.max() < 20.0


@pytest.mark.parametrize('skips', SKIPS)
def test_every_tap_reaches_the_answer(skips):
    network = _trained(replace(TINY, skips=skips))

    network(_images()).log_inverse.sum().backward()

    projections = [conv.weight.grad for conv in network.decoder.convs]
    assert all(gradient.abs().sum() > 0 for gradient in projections)


def test_both_orders_of_skips_have_the_same_parts_and_other_answers():
    inverted, unet = (_trained(replace(TINY, skips=skips)) for skips in SKIPS)
    unet.load_state_dict(inverted.state_dict())

    assert (inverted(_images()).log_inverse - unet(_images()).log_inverse).abs().max() > 1e-3


def test_the_earliest_tap_enters_at_the_coarse_end_where_skips_are_inverted():
    network = _trained()
    network.norms[0].weight.data.zero_()
    network.norms[0].bias.data.fill_(5.0)  # the earliest tap, marked
    seen = []
    network.decoder.convs[-1].register_forward_hook(lambda _, given, out: seen.append(given[0]))

    network(_images())

    assert (seen[0] == 5.0).all()


def test_exposure_and_contrast_do_not_matter():
    image = 0.2 + 0.5 * _images()

    torch.testing.assert_close(evened(0.5 * image + 0.1), evened(image), rtol=0, atol=0.2)
    assert evened(torch.full((1, 3, 4, 4), 0.7)).abs().max() < 1e-4


def test_bytes_and_shares_are_the_same_image():
    levels = (255 * _images()).to(torch.uint8)

    torch.testing.assert_close(evened(levels), evened(levels / 255.0))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'skips': 'none'}, 'inverted, unet'),
        ({'taps': (0, 1, 2, 4)}, '4 of 0 to 3'),
        ({'taps': (0, 2, 1, 3)}, 'rising'),
        ({'taps': (1, 2, 3)}, 'expected 4'),
        ({'blocks': 10**5}, 'blocks is 100000, expected 4 to 256'),
        ({'canvas_px': 0}, 'canvas_px is 0, expected 1024'),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(TINY, **change)


def test_the_network_is_small_enough_to_ship():
    with torch.device('meta'):
        network = CompactStudent(CompactStudentConfig())

    assert parameter_count(network) < 2.5e6
