# SPDX-License-Identifier: Apache-2.0
"""What the released language models cost: counted, not measured.

The networks are built without memory (meta device) and their parameters counted. A multiplication
and an addition for each parameter and token, and those of attention, are the arithmetic of a pass;
the weights, read once for each word, are what an answer waits for. Over the rates of the data
sheet of a GPU both are floors that no implementation is below: real times are several times that.
Run from the repository root: python scripts/language_model_costs.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from torch import nn

from metric_depth_ros.bench.arithmetic import count_flops
from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.networks.depthlm_images import unify_unseen
from metric_depth_ros.networks.depthvlm_images import (
    MERGE,
    PATCH_PX,
    canonical_size,
    network_size,
    staged_size,
)

_BYTES = 2  # bf16
_FOCAL_PX, _PATCH_PX = 750.0, 16  # of DepthLM and the Pixtral that it is
_WORDS = 64  # about the tokens of a question


@dataclass(frozen=True)
class Cost:
    """Counted figures of one model and one image size."""

    name: str
    parameters: int
    tokens: int
    flops: float
    cache_bytes: float


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--focal', type=float, default=525.0, help='px')
    parser.add_argument('--flops', type=float, default=989e12, help='bf16 a second; H200: 989e12')
    parser.add_argument('--bandwidth', type=float, default=4.8e12, help='bytes/s; H200: 4.8e12')
    args = parser.parse_args()
    size = args.width, args.height
    print(
        '| model | weights, bf16 | tokens | cache | one pass | pass, no less than '
        '| word, no less than |\n|---|---:|---:|---:|---:|---:|---:|'
    )
    costs = [_depthvlm(name, size, args.focal) for name in ('depthvlm', 'depthvlm_8b')]
    for cost in (*costs, _depthlm(size, args.focal)):
        weights = _BYTES * cost.parameters
        print(
            f'| `{cost.name}` | {weights / 1e9:.1f} GB | {cost.tokens} | '
            f'{cost.cache_bytes / 1e9:.2f} GB | {cost.flops / 1e12:.1f} TFLOP | '
            f'{1e3 * cost.flops / args.flops:.0f} ms | {1e3 * weights / args.bandwidth:.1f} ms |'
        )


def _depthvlm(name: str, size: tuple[int, int], focal_px: float) -> Cost:
    network: Any = build_network(name)
    width, height = network_size(staged_size(canonical_size(size, focal_px)))
    patches = (width // PATCH_PX) * (height // PATCH_PX)
    model, config = network.language.model, network.language.config
    grid = height // PATCH_PX // MERGE, width // PATCH_PX // MERGE
    width_of_tokens = config.text_config.hidden_size
    tokens = [model.visual.pos_embed.weight.new_empty(grid[0] * grid[1], width_of_tokens)] * 4
    head = count_flops(lambda: network.depth_head(tokens, grid))
    return _cost(name, network, model.visual, config, patches, grid[0] * grid[1], head)


def _depthlm(size: tuple[int, int], focal_px: float) -> Cost:
    network: Any = build_network('depthlm')
    center = 0.5 * (size[0] - 1), 0.5 * (size[1] - 1)
    seen = unify_unseen(size, (focal_px, focal_px, *center), _FOCAL_PX)
    rows, columns = (-(-side // _PATCH_PX) for side in seen.resized.shape[:2])
    config = network.language.config
    tower = network.language.model.vision_tower
    return _cost('depthlm', network, tower, config, rows * columns, rows * (columns + 1), 0)


def _cost(
    name: str,
    network: nn.Module,
    eyes: nn.Module,
    config: Any,
    patches: int,
    image_tokens: int,
    head_flops: int,
) -> Cost:
    model: Any = network
    text, vision = config.text_config, config.vision_config
    language = model.language.model.language_model
    layers = _parameters(language) - _parameters(language.embed_tokens)
    tokens = image_tokens + _WORDS
    depth = getattr(vision, 'depth', None) or vision.num_hidden_layers
    attended = text.num_hidden_layers * text.num_attention_heads * text.head_dim
    flops = (
        2.0 * layers * tokens
        + 2.0 * attended * tokens**2  # causal: half of the pairs
        + 2.0 * _parameters(eyes) * patches
        + 4.0 * depth * vision.hidden_size * patches**2
        + head_flops
    )
    cache = 2 * _BYTES * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * tokens
    return Cost(name, _parameters(network), tokens, flops, cache)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == '__main__':
    main()
