# SPDX-License-Identifier: Apache-2.0
"""Presets of the crop-pyramid networks: as released, or quick enough for a live camera.

`realtime` looks at ten crops instead of 35, on a canvas of 640 pixels instead of 1536: about a
fifth of the arithmetic with the same weights. Imports torch and `networks`.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.coarse_pyramid import CoarsePyramid, coarse_canvas_multiple
from metric_depth_ros.networks.pyramid import canvas_multiple

FULL, REALTIME = 'full', 'realtime'
REALTIME_NETWORKS = ('student_depthmap', 'teacher')
_REALTIME_SIDE = 5 / 12  # of the trained canvas


def with_preset(name: str, network: nn.Module, preset: str) -> nn.Module:
    """Return the network as the preset has it; its parts are changed in place.

    Raises
    ------
    InputError
        A preset that the network does not have.
    """
    if preset == FULL:
        return network
    if name not in REALTIME_NETWORKS:
        raise InputError(
            'estimator_option',
            f'preset is {preset!r}, which only {" and ".join(REALTIME_NETWORKS)} have: set it to '
            f'{FULL!r}. student_pointmap and lingbot_depth are quicker with a resolution_scale of '
            '0.33, the fewest tokens that they were trained with.',
        )
    pyramid: Any = network
    pyramid.encoder = CoarsePyramid(pyramid.encoder)
    return network


def canvas_side(network: Any, scale: float) -> int:
    """Return the side of a canvas of `scale` times the preset's area, as near as crops allow.

    Parameters
    ----------
    network
        A crop-pyramid network.
    scale
        Multiple of the area.
    """
    patch_size = network.config.backbone.patch_size
    side = network.config.canvas * math.sqrt(scale)
    multiple = canvas_multiple(patch_size)
    if isinstance(network.encoder, CoarsePyramid):
        side *= _REALTIME_SIDE
        multiple = coarse_canvas_multiple(patch_size)
    return max(1, round(side / multiple)) * multiple
