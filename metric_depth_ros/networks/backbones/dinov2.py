# SPDX-License-Identifier: Apache-2.0
"""DINOv2 vision transformer from transformers, loadable from Meta's own checkpoints.

Imports torch, transformers, `errors` and siblings. Three things differ from transformers' whole
model: the position embedding is resampled with the authors' scale of ``(n + 0.1) / 37``
(transformers resizes to n), block outputs are tapped without keeping all of them, and keys can be
masked.

Source: Oquab et al., "DINOv2" (TMLR 2024), and its reference code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import Dinov2Config, Dinov2Model

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones import Backbone, check_shape
from metric_depth_ros.networks.key_names import State, inverted, renamed, split_block

_POSITION_OFFSET = 0.1


@dataclass(frozen=True)
class DinoV2Config:
    """Shape of a DINOv2 vision transformer.

    Parameters
    ----------
    embed_dim, depth, num_heads
        Channels of a token, number of blocks, attention heads.
    patch_size
        Side of a patch in pixels.
    native_grid
        Rows (and columns) of patches that the position embedding is stored for.
    mask_token
        Whether checkpoints hold one; it serves training only.
    """

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int = 14
    native_grid: int = 37
    mask_token: bool = True

    def __post_init__(self) -> None:
        check_shape(self.embed_dim, self.depth, self.num_heads, self.patch_size)


NAMED_CONFIGS: Mapping[str, DinoV2Config] = {
    'dinov2_vits14': DinoV2Config(384, 12, 6),
    'dinov2_vitb14': DinoV2Config(768, 12, 12),
    'dinov2_vitl14': DinoV2Config(1024, 24, 16),
}

# Query, key, value and output projections of a block, which transformers 5 renamed.
_ATTENTION_NAMES = (
    ('attention.q_proj', 'attention.k_proj', 'attention.v_proj', 'attention.o_proj'),
    (
        'attention.attention.query',
        'attention.attention.key',
        'attention.attention.value',
        'attention.output.dense',
    ),
)

# Official name to the name here, by prefix.
_OUTER_NAMES = {
    'cls_token': 'embeddings.cls_token',
    'pos_embed': 'embeddings.position_embeddings',
    'mask_token': 'embeddings.mask_token',
    'patch_embed.proj.': 'embeddings.patch_embeddings.projection.',
}
_LAYER_SCALES = {
    'ls1.gamma': 'layer_scale1.lambda1',
    'ls2.gamma': 'layer_scale2.lambda1',
}


class DinoV2(Backbone):
    """DINOv2 vision transformer; tokens are [class, patches row-major].

    Parameters
    ----------
    config
        Its shape.
    """

    prefix_tokens = 1

    def __init__(self, config: DinoV2Config) -> None:
        super().__init__()
        self.config = config
        self.embed_dim = config.embed_dim
        self.patch_size = config.patch_size
        model = Dinov2Model._from_config(_transformers_config(config), attn_implementation='sdpa')
        self.embeddings = model.embeddings
        self.blocks = model.encoder.layer
        self.norm = model.layernorm
        self._takes_mask = 'attention_mask' in inspect.signature(self.blocks[0].forward).parameters

    def position_embedding(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding (1, 1 + rows * columns, C) of a grid of patches.

        The scale factor enters the sampling positions, so that the result differs from a plain
        resize to the same size (by up to 10 % in depth). Computed in float32.
        """
        stored = self.embeddings.position_embeddings
        side = self.config.native_grid
        if rows == columns == side:
            return stored
        grid = stored[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
        scale = ((rows + _POSITION_OFFSET) / side, (columns + _POSITION_OFFSET) / side)
        grid = interpolate(grid, scale_factor=scale, mode='bicubic')
        patches = grid.flatten(2).transpose(1, 2).to(stored.dtype)
        return torch.cat((stored[:, :1], patches), dim=1)

    def embed_image(self, images: Tensor) -> Tensor:
        """Return the tokens (N, 1 + patches, C) that enter the first block."""
        rows, columns = (side // self.patch_size for side in images.shape[-2:])
        patches = self.embeddings.patch_embeddings(images)
        class_token = self.embeddings.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat((class_token, patches), dim=1)
        return tokens + self.position_embedding(rows, columns)

    def run_blocks(
        self, tokens: Tensor, taps: Sequence[int], key_mask: Tensor | None = None
    ) -> list[Tensor]:
        """Run all blocks on tokens (N, T, C).

        Parameters
        ----------
        tokens
            What enters the first block.
        taps
            Blocks to listen to.
        key_mask
            (N, T) bool, False for tokens that no token may look at. What becomes of those tokens
            themselves means nothing.

        Returns
        -------
        list
            Raw outputs (N, T, C) of the tapped blocks in the order of `taps`, then of the last.
        """
        if key_mask is not None and not self._takes_mask:
            return self._run_each_sample(tokens, taps, key_mask)
        arguments = {} if key_mask is None else {'attention_mask': key_mask[:, None, None, :]}
        tapped = {}
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, **arguments)
            if index in taps:
                tapped[index] = tokens
        return [*(tapped[index] for index in taps), tokens]

    def forward(self, images: Tensor, taps: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """Encode normalized images; see `Backbone`."""
        *tapped, last = self.run_blocks(self.embed_image(images), taps)
        return self.norm(last), tapped

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        return translate(state, self._attention_names(), to_official=False)

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names and shapes."""
        return translate(state, self._attention_names(), to_official=True)

    def _attention_names(self) -> tuple[str, str, str, str]:
        return find_attention_names(self.blocks[0].state_dict())

    def _run_each_sample(
        self, tokens: Tensor, taps: Sequence[int], key_mask: Tensor
    ) -> list[Tensor]:
        """Do as `run_blocks` where blocks take no mask (transformers 4): sample by sample."""
        outputs = [torch.zeros_like(tokens) for _ in range(len(taps) + 1)]
        for sample, keep in enumerate(key_mask):
            alone = self.run_blocks(tokens[sample : sample + 1, keep], taps)
            for whole, part in zip(outputs, alone, strict=True):
                whole[sample, keep] = part[0]
        return outputs


def find_attention_names(block_keys: Iterable[str]) -> tuple[str, str, str, str]:
    """Return how this version of transformers names query, key, value and output projections.

    Parameters
    ----------
    block_keys
        Keys of the state of one block.
    """
    keys = set(block_keys)
    for names in _ATTENTION_NAMES:
        if all(f'{name}.weight' in keys for name in names):
            return names
    found = ', '.join(sorted(key for key in keys if key.startswith('attention')))
    raise RuntimeError(f'this version of transformers has new names in Dinov2: {found}')


def translate(
    state: State, attention: tuple[str, str, str, str], *, to_official: bool
) -> dict[str, Tensor]:
    """Translate keys of a DINOv2 and split, or fuse, its query, key and value projections.

    Parameters
    ----------
    state
        State dict of a transformer, with official names or with those of `DinoV2`.
    attention
        Names of the projections in `DinoV2`; see `find_attention_names`.
    to_official
        Direction; keys of neither naming stay as they are.
    """
    *parts, output = attention
    block_names = {**_LAYER_SCALES, 'attn.proj.': f'{output}.'}
    outer_names = _OUTER_NAMES
    if to_official:
        block_names, outer_names = inverted(block_names), inverted(outer_names)
    translated: dict[str, Tensor] = {}
    for key, value in state.items():
        block, inner = split_block(key)
        name, _, kind = inner.rpartition('.')
        if not block:
            translated[renamed(inner, outer_names)] = value
        elif name == 'attn.qkv' and not to_official:
            names = [f'{block}{part}.{kind}' for part in parts]
            translated.update(zip(names, value.chunk(3), strict=True))
        elif name == parts[0] and to_official:
            fused = [state[f'{block}{part}.{kind}'] for part in parts]
            translated[f'{block}attn.qkv.{kind}'] = torch.cat(fused)
        elif not (name in parts and to_official):
            translated[block + renamed(inner, block_names)] = value
    return translated


def named_config(name: str) -> DinoV2Config:
    """Return the shape of a backbone by its name in the authors' configurations."""
    if name not in NAMED_CONFIGS:
        raise InputError(
            'checkpoint_config',
            f'the backbone {name!r} is not known, expected one of {", ".join(NAMED_CONFIGS)}.',
        )
    return NAMED_CONFIGS[name]


def _transformers_config(config: DinoV2Config) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=config.embed_dim,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        image_size=config.native_grid * config.patch_size,
        patch_size=config.patch_size,
        use_mask_token=config.mask_token,
        mlp_ratio=4,
        layer_norm_eps=1e-6,
        layerscale_value=1.0,
    )
