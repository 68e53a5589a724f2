# SPDX-License-Identifier: Apache-2.0
"""Goldens of Depth Pro networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metric_depth_ros.conformance.golden import Check, Golden
from metric_depth_ros.conformance.pyramid_family import (
    check_case,
    refuse_other_networks,
)

if TYPE_CHECKING:
    from metric_depth_ros.networks.depth_pro import DepthProConfig

_FIXED = {'norm_eps': 1e-6, 'mlp_ratio': 4, 'layerscale': True, 'use_fov_head': True}


def matches(golden: Golden) -> bool:
    """Whether the golden is of a Depth Pro network."""
    return golden.config.get('model') == 'DepthPro'


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.conformance.pyramid_recording import record_intermediates
    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.depth_pro import DepthPro
    from metric_depth_ros.networks.images import batched

    refuse_other_networks(golden, _FIXED)
    network = DepthPro(_config(golden)).eval()
    load_strict(network, golden.weights())
    for index, case in enumerate(golden.config['cases']):
        name = f'case{index}'
        images = torch.from_numpy(golden.inputs[f'{name}_image'])
        focal_px = case['infer_kwargs'].get('f_px')
        with torch.inference_mode():
            with record_intermediates(network) as computed:
                # A known focal length spares `infer` the field-of-view head; the authors' code
                # always runs it.
                answer = (
                    network.infer(images)
                    if focal_px is None
                    else network(network.prepare(batched(images)))
                )
            computed |= answer if focal_px is None else network.infer(images, focal_px)
        yield from check_case(golden, name, computed)


def _config(golden: Golden) -> DepthProConfig:
    """Return the architecture that the golden describes."""
    from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config
    from metric_depth_ros.networks.depth_pro import DepthProConfig

    config = golden.config['config']
    vit = config['vit']
    return DepthProConfig(
        backbone=DinoV2Config(
            vit['embed_dim'],
            vit['depth'],
            vit['num_heads'],
            patch_size=vit['patch_size'],
            native_grid=vit['img_size'] // vit['patch_size'],
            mask_token=False,
        ),
        taps=(config['hook_block_ids'][0], config['hook_block_ids'][1]),
        widths=tuple(config['dims_encoder']),
        decoder_width=config['decoder_features'],
        head_width=config['last_dims'][0],
        canvas=config['network_input'],
    )
