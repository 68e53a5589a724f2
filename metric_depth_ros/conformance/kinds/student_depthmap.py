# SPDX-License-Identifier: Apache-2.0
"""Goldens of Student-DepthMap networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metric_depth_ros.conformance.golden import Check, Golden
from metric_depth_ros.conformance.pyramid_family import (
    check_case,
    refuse_other_networks,
)

if TYPE_CHECKING:
    from metric_depth_ros.networks.student_depthmap import StudentDepthMapConfig

_FIXED = {'norm_eps': 1e-5, 'ffn': 'swiglu', 'rope_normalize_coords': 'separate'}


def matches(golden: Golden) -> bool:
    """Whether the golden is of a Student-DepthMap network."""
    return golden.config.get('model') == 'MetricAnythingDepthMap'


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.conformance.pyramid_recording import record_intermediates
    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.student_depthmap import StudentDepthMap

    refuse_other_networks(golden, _FIXED)
    network = StudentDepthMap(_config(golden)).eval()
    load_strict(network, golden.weights())
    for index, case in enumerate(golden.config['cases']):
        name = f'case{index}'
        images = torch.from_numpy(golden.inputs[f'{name}_image'])
        with torch.inference_mode(), record_intermediates(network) as computed:
            computed |= network.infer(images, case['infer_kwargs'].get('f_px'))
        yield from check_case(golden, name, computed)


def _config(golden: Golden) -> StudentDepthMapConfig:
    """Return the architecture that the golden describes."""
    from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config, swiglu_hidden_dim
    from metric_depth_ros.networks.student_depthmap import StudentDepthMapConfig

    config = golden.config['config']
    vit = config['vit']
    return StudentDepthMapConfig(
        backbone=DinoV3Config(
            embed_dim=vit['embed_dim'],
            depth=vit['depth'],
            num_heads=vit['num_heads'],
            hidden_dim=swiglu_hidden_dim(vit['embed_dim'], vit['ffn_ratio']),
            patch_size=vit['patch_size'],
            num_registers=vit['n_storage_tokens'],
        ),
        taps=tuple(config['hook_block_ids']),
        widths=tuple(config['dims_encoder']),
        decoder_width=config['decoder_features'],
        head_width=config['last_dims'][0],
        canvas=config['network_input'],
    )
