# SPDX-License-Identifier: Apache-2.0
"""A pyramid of ten crops instead of 35."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from tiny_checkpoints import tiny_network  # noqa: E402
from torch.nn import functional  # noqa: E402

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.coarse_pyramid import CoarsePyramid, cut_coarse_crops  # noqa: E402


def encoder(name):
    return tiny_network(name)[0].encoder


def test_crops_stand_row_by_row_and_the_whole_image_is_last():
    images = torch.rand(2, 3, 64, 64)
    crops = cut_coarse_crops(images)
    assert crops.shape == (20, 3, 32, 32)
    assert torch.equal(crops[2 * 5 + 1], images[1, :, 16:48, 32:64])
    whole = functional.interpolate(images, scale_factor=0.5, mode='bilinear')
    assert torch.equal(crops[18:], whole)


@pytest.mark.parametrize('name', ['student_depthmap', 'teacher', 'depth_pro'])
def test_the_maps_have_the_sizes_that_the_canvas_asks_for(name):
    full = encoder(name)
    side = 192 if name == 'depth_pro' else 128
    with torch.inference_mode():
        expected = [tuple(one.shape) for one in full(torch.rand(1, 3, side, side))]
        maps = CoarsePyramid(full)(torch.rand(1, 3, side, side))
    assert [tuple(one.shape) for one in maps] == expected


def test_ten_crops_go_through_the_transformer():
    full, seen = encoder('student_depthmap'), []
    full.patch_encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    with torch.inference_mode():
        CoarsePyramid(full)(torch.rand(2, 3, 64, 64))
    assert seen == [20]


def test_portions_change_nothing():
    coarse = CoarsePyramid(encoder('student_depthmap')).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        for whole, parts in zip(coarse(images), coarse(images, 3), strict=True):
            torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize('size', [(64, 32), (48, 48)])
def test_a_canvas_that_cannot_be_cut_is_refused(size):
    with pytest.raises(InputError, match='a square whose side is a multiple of 32'):
        CoarsePyramid(encoder('student_depthmap'))(torch.rand(1, 3, *size))
