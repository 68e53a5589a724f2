# SPDX-License-Identifier: Apache-2.0
"""The compact teacher corrects a guess, one image at a time."""

from dataclasses import replace

import pytest
import torch

from metric_depth_ros.networks import compact_blocks
from metric_depth_ros.networks.compact_blocks import planar, upsampled
from metric_depth_ros.networks.compact_teacher import (
    INPUT_CHANNELS,
    NEAREST_CHANNEL,
    SUBPIXELS,
    CompactTeacher,
    CompactTeacherConfig,
)

TINY = CompactTeacherConfig((4, 6, 8), (1, 1, 1))


def _trained(seed: int = 0) -> CompactTeacher:
    """Return a network whose every weight counts."""
    torch.manual_seed(seed)
    network = CompactTeacher(TINY).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def _inputs(images: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(images, INPUT_CHANNELS, 8, 12, generator=generator),
        torch.randn(images, 1, 16, 24, generator=generator),
    )


def test_an_untrained_network_answers_a_flat_guess_unchanged():
    guess = torch.full((1, 1, 16, 24), 0.7)

    answer = CompactTeacher(TINY)(torch.zeros(1, INPUT_CHANNELS, 8, 12), guess)

    torch.testing.assert_close(answer.log_depth, guess)


def test_a_pixel_may_take_the_guess_of_a_place_nearby():
    network = CompactTeacher(replace(TINY, rounds=0))
    with torch.no_grad():
        network.choice.bias.fill_(-30.0)
        network.choice.bias[2 + 4] = 30.0  # one place to the right
    step = torch.zeros(1, 1, 16, 24)
    step[..., 12:] = 1.0

    with torch.inference_mode():
        answer = network(torch.zeros(1, INPUT_CHANNELS, 8, 12), step).log_depth

    # What is enlarged is the change, over the 3 x 3 neighbors alike.
    assert float(answer[0, 0, 8, 4]) == pytest.approx(0.0, abs=1e-6)
    assert float(answer[0, 0, 8, 10]) == pytest.approx(1.0 / 3.0)


@pytest.mark.parametrize('rounds', [1, 3])
def test_an_answer_spreads_by_a_place_in_every_round(rounds):
    network = CompactTeacher(replace(TINY, rounds=rounds))
    with torch.no_grad():
        network.choice.bias[0] = 30.0
        network.spread.bias.fill_(-30.0)
        network.spread.bias[1 + 4] = 30.0  # one place to the right
    step = torch.zeros(1, 1, 16, 24)
    step[..., 16:] = 1.0

    with torch.inference_mode():
        change = network(torch.zeros(1, INPUT_CHANNELS, 8, 12), step).log_depth - step

    # What is enlarged is the change, over the 3 x 3 neighbors alike.
    changed = (change[0, 0, 8] > 0.2).nonzero().flatten().tolist()
    assert changed == list(range(2 * (8 - rounds - 1), 2 * (8 + 1)))


def test_a_pixel_may_take_the_nearest_point():
    network = CompactTeacher(TINY)
    with torch.no_grad():
        network.choice.bias.fill_(-30.0)
        network.choice.bias[1] = 30.0
    inputs = torch.zeros(1, INPUT_CHANNELS, 8, 12)
    inputs[:, NEAREST_CHANNEL] = 0.4

    answer = network(inputs, torch.full((1, 1, 16, 24), 0.7))

    torch.testing.assert_close(answer.log_depth, torch.full((1, 1, 16, 24), 1.1))


def test_the_answer_is_finer_than_the_input():
    answer = _trained()(*_inputs())

    assert answer.log_depth.shape == (1, 1, 8 * SUBPIXELS, 12 * SUBPIXELS)


def test_adding_to_the_guess_adds_to_the_answer():
    network = _trained()
    inputs, guess = _inputs()

    shift = network(inputs, guess + 1.5).log_depth - network(inputs, guess).log_depth

    torch.testing.assert_close(shift, torch.full_like(shift, 1.5), rtol=0, atol=1e-5)


def test_an_image_is_answered_alike_alone_and_in_a_batch():
    network = _trained()
    inputs, guess = _inputs(images=3)

    together = network(inputs, guess).log_depth[1:2]
    alone = network(inputs[1:2], guess[1:2]).log_depth

    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_enlarging_with_one_weight_copies_that_neighbor():
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    weights = torch.zeros(1, 9 * SUBPIXELS**2, 3, 4)
    weights.reshape(1, 9, SUBPIXELS**2, 3, 4)[:, 4] = 100.0  # the pixel itself

    enlarged = upsampled(maps, weights, SUBPIXELS)

    copied = maps.repeat_interleave(SUBPIXELS, 2).repeat_interleave(SUBPIXELS, 3)
    torch.testing.assert_close(enlarged, copied)


def test_bands_of_rows_answer_as_all_rows_at_once(monkeypatch):
    network = _trained()
    inputs, guess = _inputs(images=2)
    at_once = network(inputs, guess)

    monkeypatch.setattr(compact_blocks, '_BAND_VALUES', 1)  # one row each

    for banded, whole in zip(network(inputs, guess), at_once, strict=True):
        torch.testing.assert_close(banded, whole)


@pytest.mark.parametrize('images', [1, 2])
def test_maps_are_laid_out_channel_by_channel(images):
    maps = torch.randn(images, 5, 3, 4).contiguous(memory_format=torch.channels_last)

    laid_out = planar(maps)

    assert laid_out.is_contiguous()
    torch.testing.assert_close(laid_out, maps)


def test_the_input_must_be_a_multiple_of_the_coarsest_cell():
    assert TINY.multiple == 4
    assert CompactTeacherConfig().multiple == 16


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'rounds': 10**9}, 'rounds is 1000000000, expected 0 to 64'),
        ({'widths': (4, 6, 10**6)}, 'widths are .*, expected 1 to 4096'),
        ({'blocks': (1, 1, 10**5)}, 'blocks are .*, expected 0 to 64'),
        ({'widths': (4, 6)}, 'expected 1 to 10 of both'),
        ({'widths': (), 'blocks': ()}, 'expected 1 to 10 of both'),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(TINY, **change)
