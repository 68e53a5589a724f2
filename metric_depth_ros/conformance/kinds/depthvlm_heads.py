# SPDX-License-Identifier: Apache-2.0
"""Goldens of DepthVLM's heads, at the widths of the released models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import Check, Golden, compare

if TYPE_CHECKING:
    from torch import Tensor

_LEVELS = 4


def matches(golden: Golden) -> bool:
    """Whether the golden is of DepthVLM's heads."""
    return {'4b', '8b', 'mlp', 'recipe'} <= golden.config.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Run the heads of both released widths, and the three of the ablation."""
    for size in ('4b', '8b'):
        yield from _dpt_checks(golden, size)
    for mode in ('llm_last', 'concat', 'sum'):
        yield from _mlp_checks(golden, mode)


def _dpt_checks(golden: Golden, size: str) -> Iterator[Check]:
    import torch

    from metric_depth_ros.networks.depthvlm_head import DptHead, DptHeadConfig

    described = golden.config[size]
    with torch.device('meta'):
        head = DptHead(described['dim_in'], DptHeadConfig())
    rng = np.random.RandomState(golden.config['seed'])
    shapes = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    state = {name: _drawn(rng, name, shapes[name]) for name in described['order']}
    state['scratch.output_conv2.2.bias'].fill_(1.5)
    state['scratch.output_conv2.2.weight'].mul_(np.float32(0.15))
    head.load_state_dict(state, strict=True, assign=True)
    rows, columns = described['grid_hw']
    tokens = [
        torch.from_numpy(_normal(rng, (rows * columns, described['dim_in'])))
        for _ in range(_LEVELS)
    ]
    with torch.inference_mode():
        depth, logits = head.eval()(tokens, (rows, columns))
        small = head(tokens, (rows, columns), (50, 70)).depth
    tolerance = golden.tolerance('tolerances', 'depth')
    for name, value in (('depth', depth), ('pre_softplus', logits), ('depth_50x70', small)):
        yield compare(size, name, value.numpy(), golden.outputs[f'{size}_{name}'], tolerance)


def _mlp_checks(golden: Golden, mode: str) -> Iterator[Check]:
    import torch

    from metric_depth_ros.networks.checkpoints import read_checkpoint
    from metric_depth_ros.networks.depthvlm_head import MlpHead, MlpHeadConfig

    described = golden.config['mlp']
    head = MlpHead(described['dim_in'], MlpHeadConfig(described['hidden'], mode)).eval()
    state = read_checkpoint(golden.folder / 'weights_mlp.safetensors').state
    head.load_state_dict(_of_mode(state, mode), strict=True)
    tokens = [torch.from_numpy(golden.outputs[f'mlp_in_f{i}'][0]) for i in range(_LEVELS)]
    grid = tuple(described['grid_hw'])
    with torch.inference_mode():
        for name, size in (('depth', None), ('depth_40x90', (40, 90))):
            value = head(tokens, grid, size).depth.numpy()
            reference = golden.outputs[f'mlp_{mode}_{name}']
            tolerance = golden.tolerance('tolerances', 'mlp')
            yield compare(f'mlp {mode}', name, value, reference, tolerance)


def _of_mode(state: Mapping[str, Tensor], mode: str) -> dict[str, Tensor]:
    prefix = f'{mode}.'
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _drawn(rng: Any, name: str, shape: tuple[int, ...]) -> Tensor:
    """Return weights as the recipe of the golden draws them."""
    import torch

    values = _normal(rng, shape)
    if name == 'norm.weight':
        values = 1 + np.float32(0.2) * values
    elif len(shape) == 1:
        values = np.float32(0.1) * values
    else:
        fan = shape[0] if name.startswith('resize_layers') else math.prod(shape[1:])
        values = values * np.float32(1.1 / math.sqrt(fan))
    return torch.from_numpy(values.astype(np.float32))


def _normal(rng: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(math.prod(shape)).astype(np.float32).reshape(shape)
