# SPDX-License-Identifier: Apache-2.0
"""Goldens of Student-DepthMap networks."""

from __future__ import annotations

from collections.abc import Iterator

from metric_depth_ros.evaluation.conformance.golden import Check, Golden
from metric_depth_ros.evaluation.conformance.pyramid_family import (
    check_case,
    refuse_other_networks,
)

_FIXED = {'norm_eps': 1e-5, 'ffn': 'swiglu', 'rope_normalize_coords': 'separate'}


def matches(golden: Golden) -> bool:
    """Whether the golden is of a Student-DepthMap network."""
    return golden.config.get('model') == 'MetricAnythingDepthMap'


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.pyramid import record_intermediates
    from metric_depth_ros.networks.student_depthmap import StudentDepthMap, StudentDepthMapConfig

    refuse_other_networks(golden, _FIXED)
    network = StudentDepthMap(StudentDepthMapConfig.from_golden(golden.config['config'])).eval()
    load_strict(network, golden.weights())
    for index, case in enumerate(golden.config['cases']):
        name = f'case{index}'
        images = torch.from_numpy(golden.inputs[f'{name}_image'])
        with torch.inference_mode(), record_intermediates(network) as computed:
            computed |= network.infer(images, case['infer_kwargs'].get('f_px'))
        yield from check_case(golden, name, computed)
