# SPDX-License-Identifier: Apache-2.0
"""Goldens of Student-PointMap and MoGe-2 networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from metric_depth_ros.conformance.golden import Check, Golden
from metric_depth_ros.conformance.moge_family import (
    case_names,
    check_case,
    listen,
    model_config,
)

if TYPE_CHECKING:
    from torch import Tensor

    from metric_depth_ros.networks.student_pointmap import StudentPointMap


def matches(golden: Golden) -> bool:
    """Whether the golden is of a MoGe-2 network."""
    return 'points_head' in golden.config.get('model_config', {})


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.student_pointmap import StudentPointMap, StudentPointMapConfig

    network = StudentPointMap(StudentPointMapConfig.from_model_config(model_config(golden))).eval()
    load_strict(network, golden.weights())
    for name, case in case_names(golden):
        image = torch.from_numpy(golden.inputs[f'{name}_image'])
        with torch.inference_mode():
            computed, margin = _compute(network, image, case['infer_kwargs'])
        yield from check_case(golden, name, computed, margin)


def _compute(
    network: StudentPointMap, image: Tensor, arguments: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return quantity -> value, and how far the mask's probability is from undecided."""
    from metric_depth_ros.networks.student_pointmap import solve_camera

    arguments = dict(arguments)
    fov_x_deg = arguments.pop('fov_x', None)
    heard: dict[str, Any] = {}
    with (
        listen(network, ('encoder', 'encoder.backbone', 'neck', 'scale_head'), heard),
        listen(network, ('points_head', 'mask_head', 'normal_head', ''), heard),
    ):
        computed = network.infer(image, fov_x_deg=fov_x_deg, **arguments)
    maps = heard['']
    mask = maps.get('mask')
    focal, shift = solve_camera(maps['points'], None if mask is None else mask > 0.5, fov_x_deg)
    computed |= {
        'i_backbone_input': heard['encoder.backbone/input'],
        'i_encoder_out': heard['encoder'][0],
        'i_scale_head_raw': heard['scale_head'],
        'i_solver_focal': focal,
        'i_solver_shift': shift,
        'i_affine_points': maps['points'],
    }
    for index, raw in enumerate(heard['encoder.backbone'][1]):
        tap = network.encoder.backbone.norm(raw)
        computed |= {f'i_tap{index}_patch': tap[:, 1:], f'i_tap{index}_cls': tap[:, 0]}
    for index, features in enumerate(heard['neck']):
        computed[f'i_neck_out{index}'] = features
    for name in heard:
        if re.fullmatch(r'\w+_head', name) and name != 'scale_head':
            computed[f'i_{name}_raw'] = heard[name][-1]
    if mask is None:
        return computed, None
    margin = (mask - 0.5).abs()
    return computed, margin if image.dim() == 4 else margin[0]
