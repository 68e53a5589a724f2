# SPDX-License-Identifier: Apache-2.0
"""DINOv3 vision transformer from transformers, loadable from Meta's own checkpoints.

Imports torch, transformers and siblings. Three things differ from transformers' whole model:
block outputs are tapped without keeping all of them, state-dict names do not depend on the
version of transformers, and the rotary periods come from the checkpoint.

Source: Siméoni et al., "DINOv3" (2025), and its reference code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from metric_depth_ros.networks.backbones import Backbone, check_shape
from metric_depth_ros.networks.key_names import State, inverted, renamed, split_block

ROPE_BASE = 100.0


@dataclass(frozen=True)
class DinoV3Config:
    """Shape of a DINOv3 vision transformer with gated MLP; the default is ViT-H+/16.

    Attributes
    ----------
    embed_dim, depth, num_heads
        Channels of a token, number of blocks, attention heads.
    hidden_dim
        Channels of the SwiGLU hidden layer.
    patch_size
        Side of a patch in pixels.
    num_registers
        Tokens between the class token and the patches.
    """

    embed_dim: int = 1280
    depth: int = 32
    num_heads: int = 20
    hidden_dim: int = 5120
    patch_size: int = 16
    num_registers: int = 4

    def __post_init__(self) -> None:
        # Rotary positions take two angles for each of a row and a column.
        check_shape(self.embed_dim, self.depth, self.num_heads, self.patch_size, head_multiple=4)


def swiglu_hidden_dim(embed_dim: int, ffn_ratio: float) -> int:
    """Width of the authors' SwiGLU layer: two thirds, rounded up to a multiple of 8."""
    return -(-int(int(embed_dim * ffn_ratio) * 2 / 3) // 8) * 8


class RotaryTable(nn.Module):
    """Cosines and sines that rotate queries and keys by patch position.

    Transformers recomputes the periods and casts them along with the model. The released periods
    were rounded to bfloat16 at training time; recomputing them moves inverse depth by 1e-2. So
    they are state here, and stay float32 whatever the model is cast to.

    Parameters
    ----------
    head_dim
        Channels of one attention head, a multiple of 4.
    """

    periods: Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        exponents = torch.arange(head_dim // 4, dtype=torch.float32) / (head_dim // 4)
        self.register_buffer('periods', ROPE_BASE**exponents)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        exact = self.periods
        super()._apply(fn, recurse)
        if self.periods.dtype != exact.dtype:
            self.periods = exact.to(self.periods.device)
        return self

    def forward(self, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Tables (rows * columns, head_dim), patches row-major, computed in float32."""
        device = self.periods.device
        y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) / rows
        x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) / columns
        centers = torch.stack(torch.meshgrid(y, x, indexing='ij'), dim=-1).flatten(0, 1)
        turns = (2 * centers - 1)[:, :, None] / self.periods
        angles = (2 * math.pi * turns).flatten(1).tile(2)
        return angles.cos().to(dtype), angles.sin().to(dtype)


class DinoV3(Backbone):
    """DINOv3 vision transformer; tokens are [class, registers, patches row-major].

    Parameters
    ----------
    config
        Shape of the transformer.
    """

    def __init__(self, config: DinoV3Config) -> None:
        super().__init__()
        self.config = config
        self.embed_dim = config.embed_dim
        self.patch_size = config.patch_size
        self.prefix_tokens = 1 + config.num_registers
        model = DINOv3ViTModel._from_config(
            _transformers_config(config), attn_implementation='sdpa'
        )
        self.embeddings = model.embeddings
        # Transformers 4 keeps the blocks in `layer`, transformers 5 in `model.layer`.
        self.blocks = model.layer if hasattr(model, 'layer') else model.model.layer
        self.norm = model.norm
        self.rope = RotaryTable(config.embed_dim // config.num_heads)

    def forward(self, images: Tensor, taps: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """Encode normalized images; see `Backbone`."""
        rows, columns = (side // self.patch_size for side in images.shape[-2:])
        tokens = self.embeddings(images)
        rotation = self.rope(rows, columns, tokens.dtype)
        tapped = {}
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, position_embeddings=rotation)
            if index in taps:
                tapped[index] = tokens
        return self.norm(tokens), [tapped[index] for index in taps]

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give Meta's state dict this module's names; unknown keys stay as they are.

        The fused projection is split in three, and its bias is multiplied with its mask, as
        Meta's code does in every forward pass; that silences the keys.
        """
        ours: dict[str, Tensor] = {}
        for key, value in state.items():
            block, inner = split_block(key)
            if not block:
                ours[renamed(key, _OUTER_NAMES)] = value[None] if key == 'mask_token' else value
            elif inner == 'attn.qkv.weight':
                ours.update(_split_projection(block, 'weight', value))
            elif inner == 'attn.qkv.bias':
                mask = state.get(f'{block}attn.qkv.bias_mask', torch.ones_like(value))
                ours.update(_split_projection(block, 'bias', value * mask))
            elif inner != 'attn.qkv.bias_mask':
                ours[block + renamed(inner, _BLOCK_NAMES)] = value
        return ours

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict Meta's names and shapes."""
        outer_names, block_names = inverted(_OUTER_NAMES), inverted(_BLOCK_NAMES)
        official: dict[str, Tensor] = {}
        for key, value in state.items():
            block, inner = split_block(key)
            if not block:
                name = renamed(key, outer_names)
                official[name] = value[0] if name == 'mask_token' else value
            elif inner == 'attention.q_proj.weight':
                official[f'{block}attn.qkv.weight'] = _fused_projection(state, block, 'weight')
            elif inner == 'attention.q_proj.bias':
                official[f'{block}attn.qkv.bias'] = _fused_projection(state, block, 'bias')
                heard, silent = torch.ones_like(value), torch.zeros_like(value)
                official[f'{block}attn.qkv.bias_mask'] = torch.cat([heard, silent, heard])
            elif not inner.startswith(_PROJECTIONS):
                official[block + renamed(inner, block_names)] = value
        return official


_PROJECTIONS = ('attention.q_proj.', 'attention.k_proj.', 'attention.v_proj.')

# Meta's name to the name here, by prefix.
_OUTER_NAMES = {
    'cls_token': 'embeddings.cls_token',
    'storage_tokens': 'embeddings.register_tokens',
    'mask_token': 'embeddings.mask_token',
    'patch_embed.proj.': 'embeddings.patch_embeddings.',
    'rope_embed.periods': 'rope.periods',
}
_BLOCK_NAMES = {
    'attn.proj.': 'attention.o_proj.',
    'ls1.gamma': 'layer_scale1.lambda1',
    'ls2.gamma': 'layer_scale2.lambda1',
    'mlp.w1.': 'mlp.gate_proj.',
    'mlp.w2.': 'mlp.up_proj.',
    'mlp.w3.': 'mlp.down_proj.',
}


def _transformers_config(config: DinoV3Config) -> DINOv3ViTConfig:
    return DINOv3ViTConfig(
        hidden_size=config.embed_dim,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        intermediate_size=config.hidden_dim,
        patch_size=config.patch_size,
        num_register_tokens=config.num_registers,
        use_gated_mlp=True,
        hidden_act='silu',
        layer_norm_eps=1e-5,
        rope_theta=ROPE_BASE,
        query_bias=True,
        key_bias=True,
        value_bias=True,
        proj_bias=True,
        mlp_bias=True,
    )


def _split_projection(block: str, kind: str, fused: Tensor) -> dict[str, Tensor]:
    names = [f'{block}attention.{part}_proj.{kind}' for part in 'qkv']
    return dict(zip(names, fused.chunk(3), strict=True))


def _fused_projection(state: State, block: str, kind: str) -> Tensor:
    return torch.cat([state[f'{block}attention.{part}_proj.{kind}'] for part in 'qkv'])
