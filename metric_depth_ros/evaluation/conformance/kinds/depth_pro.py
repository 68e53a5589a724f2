# SPDX-License-Identifier: Apache-2.0
"""Goldens of Depth Pro networks."""

from __future__ import annotations

from collections.abc import Iterator

from metric_depth_ros.evaluation.conformance.golden import Check, Golden
from metric_depth_ros.evaluation.conformance.pyramid_family import (
    check_case,
    refuse_other_networks,
)

_FIXED = {'norm_eps': 1e-6, 'mlp_ratio': 4, 'layerscale': True, 'use_fov_head': True}


def matches(golden: Golden) -> bool:
    """Whether the golden is of a Depth Pro network."""
    return golden.config.get('model') == 'DepthPro'


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.networks.canonical import batched
    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig
    from metric_depth_ros.networks.pyramid import record_intermediates

    refuse_other_networks(golden, _FIXED)
    network = DepthPro(DepthProConfig.from_golden(golden.config['config'])).eval()
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
