# SPDX-License-Identifier: Apache-2.0
"""Goldens of PromptDA's fusion block and depth head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    not_computed,
)

if TYPE_CHECKING:
    from torch import Tensor

    from metric_depth_ros.conformance.promptda_fusion import PromptFusionBlock


def matches(golden: Golden) -> bool:
    """Whether the golden is of PromptDA's head."""
    return {'block_features', 'head_config', 'head_patch_hw'} <= golden.config.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Run the block's cases and the head."""
    import torch

    from metric_depth_ros.conformance.promptda_fusion import PromptFusionBlock
    from metric_depth_ros.networks.checkpoints import load_strict

    inputs = {key: torch.from_numpy(value) for key, value in golden.inputs.items()}
    block = PromptFusionBlock(golden.config['block_features']).eval()
    load_strict(block, _with_prefix(inputs, 'block.'))
    computed: dict[str, Tensor] = {}
    with torch.inference_mode():
        for index, case in enumerate(golden.config['cases']):
            name = f'case{index}_'
            computed |= {
                name + key: value
                for key, value in _run_block(
                    block, _with_prefix(inputs, name), case['size']
                ).items()
            }
        computed |= _run_head(golden, inputs)
    stated = golden.config['tolerance']
    tolerance = Tolerance(atol=stated['atol'], rtol=stated['rtol'])
    for key, reference in golden.outputs.items():
        case, _, quantity = key.partition('_')
        if key in computed:
            yield compare(
                case, quantity.removeprefix('i_'), computed[key].numpy(), reference, tolerance
            )
        else:
            yield not_computed(case, quantity)


def _run_block(
    block: PromptFusionBlock, inputs: Mapping[str, Tensor], size: list[int] | None
) -> dict[str, Tensor]:
    heard: dict[str, Tensor] = {}
    branch = block.layer.prompt_depth_layer
    hook = branch.register_forward_hook(
        lambda _, __, output: heard.update(i_depth_residual=output)
    )
    heard['out'] = block(inputs['x'], inputs.get('skip'), inputs.get('prompt'), size)
    hook.remove()
    return heard


def _run_head(golden: Golden, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    import torch

    from metric_depth_ros.conformance.promptda_fusion import (
        PromptHead,
        PromptHeadConfig,
        denormalize_depth,
        normalize_prompt,
    )
    from metric_depth_ros.networks.checkpoints import load_strict

    config = golden.config['head_config']
    head = PromptHead(
        PromptHeadConfig(config['in_channels'], config['features'], tuple(config['out_channels']))
    ).eval()
    load_strict(head, _with_prefix(inputs, 'head.'))
    prompt, nearest, farthest = normalize_prompt(inputs['head_prompt_m'])
    tokens = [inputs[f'head_feat{level}'] for level in range(len(config['out_channels']))]
    depth = head(tokens, *golden.config['head_patch_hw'], prompt)
    return {
        'head_prompt_norm': prompt,
        'head_prompt_minmax': torch.cat((nearest.flatten(), farthest.flatten())),
        'head_out': depth,
        'head_depth_m': denormalize_depth(depth, nearest, farthest),
    }


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }
