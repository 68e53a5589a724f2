# SPDX-License-Identifier: Apache-2.0
"""Cutting a canvas into overlapping crops, and putting their tokens together again."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from metric_depth_ros.conformance.pyramid_recording import (  # noqa: E402
    record_intermediates,
)
from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.backbones.dinov3 import DinoV3, DinoV3Config  # noqa: E402
from metric_depth_ros.networks.pyramid import (  # noqa: E402
    CropMerge,
    PyramidEncoder,
    Upsampling,
    cut_crops,
    encode_crops,
)

PATCH = 2
PREFIX = 5


class PatchMeans(nn.Module):
    """A transformer stand-in whose token is the mean of its patch."""

    embed_dim, patch_size, prefix_tokens = 3, PATCH, PREFIX

    def forward(self, images, taps=()):
        patches = functional.avg_pool2d(images, PATCH).flatten(2).transpose(1, 2)
        tokens = functional.pad(patches, (0, 0, PREFIX, 0), value=torch.nan)
        return tokens, [tokens * (index + 1) for index in taps]


@pytest.mark.parametrize('grid', [8, 16, 24])
@pytest.mark.parametrize('batch', [1, 3])
def test_merging_the_crops_of_an_image_gives_the_image(grid, batch):
    images = torch.rand(batch, 3, 4 * grid * PATCH, 4 * grid * PATCH)
    tokens, _ = PatchMeans()(cut_crops(images))
    high, middle, low = tokens.split([25 * batch, 9 * batch, batch])
    for merge, part, scale in (
        (CropMerge(5, overlap=0.25), high, 1.0),
        (CropMerge(3, overlap=0.5), middle, 0.5),
        (CropMerge(1, overlap=0.0), low, 0.25),
    ):
        level = images
        if scale < 1:
            level = functional.interpolate(images, scale_factor=scale, mode='bilinear')
        torch.testing.assert_close(merge(part, batch), functional.avg_pool2d(level, PATCH))


def test_merged_maps_lie_channels_last_in_memory():
    merged = CropMerge(5, overlap=0.25)(torch.rand(50, 8 * 8 + 1, 6), 2)
    assert merged.is_contiguous(memory_format=torch.channels_last)


def test_crops_stand_crop_by_crop_and_row_by_row():
    images = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)])
    images[1, :, 0:16, 12:28] = 7
    crops = cut_crops(images)
    assert crops.shape == (70, 3, 16, 16)
    assert (crops[0::2] == 0).all()
    assert (crops[3] == 7).all()


@pytest.mark.parametrize('portion', [1, 7, 25, 30, 70])
def test_portions_change_nothing(portion):
    crops = torch.rand(70, 3, 16, 16)
    whole = encode_crops(PatchMeans(), crops, (1, 0), 50, None)
    parts = encode_crops(PatchMeans(), crops, (1, 0), 50, portion)
    for expected, found in zip([whole[0], *whole[1]], [parts[0], *parts[1]], strict=True):
        assert torch.equal(expected[:, PREFIX:], found[:, PREFIX:])
    assert [len(tap) for tap in parts[1]] == [50, 50]


@pytest.mark.parametrize('size', [(128, 96), (100, 100), (64, 64)])
def test_a_canvas_that_cannot_be_cut_is_refused(size):
    encoder = small_encoder()
    with pytest.raises(InputError, match='a square whose side is a multiple of 128'):
        encoder(torch.rand(1, 3, *size))


def test_recording_leaves_no_hooks_behind():
    network = nn.Module()
    network.encoder = small_encoder()
    network.decoder = nn.Identity()
    with record_intermediates(network):
        pass
    assert not any(module._forward_hooks for module in network.modules())


def small_encoder():
    width = Upsampling(4, 4, 1)
    backbone = DinoV3(DinoV3Config(16, 1, 1, 16, patch_size=4))
    return PyramidEncoder(backbone, (0,), latents=[width], high=width, middle=width, low=width)
