# SPDX-License-Identifier: Apache-2.0
"""Goldens of LingBot-Depth networks."""

from __future__ import annotations

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

    from metric_depth_ros.networks.lingbot_depth import LingBotDepth

# Constants that the authors add to all channels of a token, see `ImageDepthEncoder.sequences`.
_IMAGE_OFFSET, _DEPTH_OFFSET = 1.0, 2.0


def matches(golden: Golden) -> bool:
    """Whether the golden is of a LingBot-Depth network."""
    config = golden.config.get('model_config', {})
    return 'depth_head' in config and 'img_depth_fuse_mode' in config.get('encoder', {})


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases of the golden."""
    import torch

    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.lingbot_depth import (
        LingBotDepth,
        LingBotDepthConfig,
        usable_state,
    )

    network = LingBotDepth(LingBotDepthConfig.from_model_config(model_config(golden))).eval()
    load_strict(network, usable_state(golden.weights())[0])
    for name, case in case_names(golden):
        inputs = {
            key.removeprefix(f'{name}_'): torch.from_numpy(value)
            for key, value in golden.inputs.items()
            if key.startswith(f'{name}_')
        }
        with torch.inference_mode():
            computed, margin = _compute(network, inputs, case['infer_kwargs'])
        yield from check_case(golden, name, computed, margin)


def _compute(
    network: LingBotDepth, inputs: Mapping[str, Tensor], arguments: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return quantity -> value, and how far the mask's probability is from undecided."""
    image, depth = inputs['image'], inputs['depth_in']
    heard: dict[str, Any] = {}
    with listen(network, ('encoder', 'neck', 'depth_head', 'mask_head', ''), heard):
        computed = network.infer(
            image, depth, intrinsics=inputs.get('intrinsics_normalised'), **arguments
        )
    features, class_token = heard['encoder']
    computed |= {
        'i_encoder_out': features,
        'i_encoder_cls': class_token,
        'i_depth_head_raw': heard['depth_head'][-1],
        **{f'i_neck_out{index}': level for index, level in enumerate(heard['neck'])},
        **_encoder_steps(network, image, depth, features, arguments),
    }
    if 'mask_head' not in heard:
        return computed, None
    computed['i_mask_head_raw'] = heard['mask_head'][-1]
    return computed, (_mask_probability(heard, image) - 0.5).abs()


def _encoder_steps(
    network: LingBotDepth,
    image: Tensor,
    depth: Tensor,
    features: Tensor,
    arguments: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Return the encoder's prepared inputs and its tokens, sample by sample."""
    from metric_depth_ros.networks.images import batched, unit_range

    encoder = network.encoder
    grid = (features.shape[-2], features.shape[-1])
    image_14 = encoder.prepare_image(unit_range(batched(image)), *grid)
    depth_14 = encoder.prepare_depth(depth, *grid)
    keep = encoder.kept_patches(depth_14) if arguments.get('enable_depth_mask', True) else None
    tokens, key_mask = encoder.sequences(image_14, depth_14, keep)
    *raw, _ = encoder.backbone.run_blocks(tokens, encoder.taps, key_mask)
    taps = [encoder.backbone.norm(tap) for tap in raw]
    as_authors = tokens.clone()
    as_authors[:, 1:] += _IMAGE_OFFSET
    as_authors[:, 1 + grid[0] * grid[1] :] += _DEPTH_OFFSET - _IMAGE_OFFSET
    steps = {'i_image_14': image_14, 'i_depth_14': depth_14}
    for sample in range(len(tokens)):
        length = tokens.shape[1] if key_mask is None else int(key_mask[sample].sum())
        one = slice(sample, sample + 1)
        steps[f'i_prepared_b{sample}'] = as_authors[one, :length]
        for index, tap in enumerate(taps):
            steps[f'i_tap{index}_b{sample}_tokens'] = tap[one, 1:length]
            steps[f'i_tap{index}_b{sample}_cls'] = tap[one, 0]
    return steps


def _mask_probability(heard: Mapping[str, Any], image: Tensor) -> Tensor:
    from metric_depth_ros.networks.moge import at_image_size

    height, width = image.shape[-2:]
    return at_image_size(heard['mask_head'][-1], height, width).squeeze(1).sigmoid()
