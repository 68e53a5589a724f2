# SPDX-License-Identifier: Apache-2.0
"""What the papers' encoders know of every patch, before any depth is made of it. Torch, siblings.

A pyramid of crops has many views of an image. The one of the whole image is taken: its tokens
stand for the whole field of view, 576 in all as released (the paper does not say which it took).
Networks on a grid of patches give all of theirs, about 3600 as released.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.coarse_pyramid import CoarsePyramid
from metric_depth_ros.networks.images import batched, unit_range
from metric_depth_ros.networks.moge import MoGeEncoder, MoGeNetwork
from metric_depth_ros.networks.pyramid import PyramidEncoder, cut_crops
from metric_depth_ros.networks.pyramid_network import PyramidNetwork


def patch_features(network: nn.Module, images: Tensor) -> Tensor:
    """Return the encoder's last normalized patch tokens.

    Parameters
    ----------
    network
        `DepthPro`, `StudentDepthMap`, `Teacher`, `StudentPointMap` or `LingBotDepth`.
    images
        (3, H, W) or (B, 3, H, W) RGB, uint8 or float in [0, 1].

    Returns
    -------
    Tensor
        (B, N, C), patches row-major.

    Raises
    ------
    InputError
        The network has no encoder of patches.
    """
    images = batched(images)
    encoder = getattr(network, 'encoder', None)
    encoder = encoder.full if isinstance(encoder, CoarsePyramid) else encoder
    if isinstance(network, PyramidNetwork) and isinstance(encoder, PyramidEncoder):
        whole = cut_crops(network.prepare(images))[-len(images) :]
        tokens, _ = encoder.patch_encoder(whole, ())
        return tokens[:, -(math.isqrt(tokens.shape[1]) ** 2) :]
    if isinstance(network, MoGeNetwork) and isinstance(encoder, MoGeEncoder):
        height, width = images.shape[-2:]
        rows, columns = network.token_grid(width, height)
        prepared = encoder.prepare_image(unit_range(images), rows, columns)
        tokens, _ = encoder.backbone(prepared, ())
        return tokens[:, -(rows * columns) :]
    raise InputError(
        'features',
        f'{type(network).__name__} has no encoder of patches: features come from depth_pro, '
        'student_depthmap, teacher, student_pointmap and lingbot_depth.',
    )
