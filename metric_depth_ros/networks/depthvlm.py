# SPDX-License-Identifier: Apache-2.0
"""DepthVLM: Qwen3-VL with a dense head; one forward pass gives depth and text.

The language model is that of transformers, unchanged; its modules carry the names of the
released checkpoints, and the head is beside them. Imports torch and transformers, and siblings.

Source: DepthVLM (2026); the released models are of 4 and 8 thousand million parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionRotaryEmbedding,
)

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks import model_config as reading
from metric_depth_ros.networks.checkpoints import load_strict
from metric_depth_ros.networks.config_limits import refuse_excess
from metric_depth_ros.networks.depthvlm_head import (
    FEATURE_MODES,
    DptHeadConfig,
    HeadOutput,
    MlpHeadConfig,
    make_head,
)
from metric_depth_ros.networks.key_names import State

_HEAD = 'depth_head.'
_OUTPUT_WEIGHT = 'lm_head.weight'
_INPUT_WEIGHT = 'model.language_model.embed_tokens.weight'

_RELEASED_TEXT: Mapping[str, Any] = {
    'vocab_size': 151_936,
    'num_hidden_layers': 36,
    'num_attention_heads': 32,
    'num_key_value_heads': 8,
    'head_dim': 128,
    'rms_norm_eps': 1e-6,
    'max_position_embeddings': 262_144,
    'rope_parameters': {
        'rope_type': 'default',
        'rope_theta': 5_000_000,
        'mrope_section': [24, 20, 20],
        'mrope_interleaved': True,
    },
}
_RELEASED: Mapping[str, Mapping[str, Any]] = {
    '4b': {
        'text_config': {**_RELEASED_TEXT, 'hidden_size': 2560, 'intermediate_size': 9728},
        'vision_config': {
            'depth': 24,
            'hidden_size': 1024,
            'intermediate_size': 4096,
            'num_heads': 16,
            'out_hidden_size': 2560,
            'num_position_embeddings': 2304,
            'deepstack_visual_indexes': [5, 11, 17],
        },
        'tie_word_embeddings': True,
    },
    '8b': {
        'text_config': {**_RELEASED_TEXT, 'hidden_size': 4096, 'intermediate_size': 12288},
        'vision_config': {
            'depth': 27,
            'hidden_size': 1152,
            'intermediate_size': 4304,
            'num_heads': 16,
            'out_hidden_size': 4096,
            'num_position_embeddings': 2304,
            'deepstack_visual_indexes': [8, 16, 24],
        },
        'tie_word_embeddings': False,
    },
}


@dataclass(frozen=True)
class DepthVlmConfig:
    """Architecture.

    Parameters
    ----------
    language_model
        Values of transformers' `Qwen3VLConfig`.
    head
        Shape of the depth head.
    """

    language_model: Mapping[str, Any]
    head: DptHeadConfig | MlpHeadConfig = field(default_factory=DptHeadConfig)

    @property
    def tied(self) -> bool:
        """Whether words come in and go out by one and the same weight."""
        return bool(self.language_model.get('tie_word_embeddings', False))

    @classmethod
    def released(cls, size: str = '4b') -> DepthVlmConfig:
        """Return that of the released models, ``'4b'`` or ``'8b'``."""
        return cls(_RELEASED[size])

    @classmethod
    def from_model_config(cls, values: Mapping[str, Any]) -> DepthVlmConfig:
        """Read the ``config.json`` of a checkpoint's folder.

        Raises
        ------
        InputError
            `checkpoint_config`: not a Qwen3-VL, one that would take hours to build, or a head
            that is not known.
        """
        kind = values.get('model_type', 'qwen3_vl')
        if kind != 'qwen3_vl' or 'vision_config' not in values or 'text_config' not in values:
            raise InputError(
                'checkpoint_config',
                f'the configuration is of a {kind!r} with {sorted(values)[:8]}, expected a '
                "'qwen3_vl' with text_config and vision_config.",
            )
        for name in ('text_config', 'vision_config'):
            reading.part(values, name)
        refuse_excess(values, 'the model_config')
        return cls(values, _head_config(values))


def _head_config(values: Mapping[str, Any]) -> DptHeadConfig | MlpHeadConfig:
    if reading.choice(values, 'depth_head_type', 'dpt', ('dpt', 'mlp')) == 'mlp':
        usual = MlpHeadConfig()
        (hidden,) = reading.integers(
            [values.get('depth_head_mlp_hidden', usual.mlp_hidden)], 'depth_head_mlp_hidden'
        )
        return MlpHeadConfig(
            hidden,
            reading.choice(values, 'depth_head_feature_mode', usual.feature_mode, FEATURE_MODES),
        )
    standard = DptHeadConfig()
    (features,) = reading.integers(
        [values.get('depth_head_features', standard.features)], 'depth_head_features'
    )
    channels = reading.integers(
        values.get('depth_head_out_channels', standard.out_channels), 'depth_head_out_channels'
    )
    if len(channels) != len(standard.out_channels):
        raise InputError(
            'checkpoint_config',
            f'depth_head_out_channels are {channels}, expected {len(standard.out_channels)}, one '
            'a level.',
        )
    return DptHeadConfig(features, channels)


class Prompted(NamedTuple):
    """One image with its text, as the network takes them.

    Parameters
    ----------
    pixel_values
        (patches, 1536) as `depthvlm_images.patches` makes them, of all images in order.
    image_grid_thw
        (B, 3) patches of each image: 1, rows, columns.
    input_ids
        (B, T) tokens; where images are, the image token, once for every token of theirs.
    attention_mask
        (B, T) 1 where there is text; padding is on the left.
    """

    pixel_values: Tensor
    image_grid_thw: Tensor
    input_ids: Tensor
    attention_mask: Tensor


class DepthVlm(nn.Module):
    """A language model that sees, and its depth head.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: DepthVlmConfig) -> None:
        super().__init__()
        self.config = config
        known = {k: v for k, v in config.language_model.items() if not k.startswith('depth_head')}
        language_config: Any = Qwen3VLConfig(**{**known, 'dtype': None})
        self.image_token = int(language_config.image_token_id)
        self.merge = int(language_config.vision_config.spatial_merge_size)
        self.language = Qwen3VLForConditionalGeneration(language_config)
        self.depth_head = make_head(language_config.text_config.hidden_size, config.head)
        self._compute_frequencies()

    def forward(self, prompted: Prompted) -> list[HeadOutput]:
        """Return the depth of every image."""
        depths, _ = self.prefill(prompted, use_cache=False)
        return depths

    def respond(
        self, prompted: Prompted, most_tokens: int, end_tokens: frozenset[int]
    ) -> tuple[list[HeadOutput], list[list[int]]]:
        """Return the depth of every image and, of the same pass, the answer in tokens, greedily.

        Parameters
        ----------
        prompted
            Images and text.
        most_tokens
            After how many tokens an answer is cut off.
        end_tokens
            Tokens that end one; they are not part of it.
        """
        depths, output = self.prefill(prompted, use_cache=True)
        mask = prompted.attention_mask
        answers: list[list[int]] = [[] for _ in depths]
        running = set(range(len(depths)))
        for step in range(most_tokens):
            tokens = output.logits[:, -1].argmax(dim=-1)
            for index in sorted(running):
                token = int(tokens[index])
                if token in end_tokens:
                    running.discard(index)
                else:
                    answers[index].append(token)
            if not running or step + 1 == most_tokens:
                break
            mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
            output = self.language(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=self._next_position(mask),
                past_key_values=output.past_key_values,
                use_cache=True,
            )
        return depths, answers

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names."""
        return {
            key if key.startswith(_HEAD) else f'language.{key}': tensor
            for key, tensor in state.items()
        }

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names."""
        return {key.removeprefix('language.'): tensor for key, tensor in state.items()}

    def after_loading(self) -> None:
        """Make what no checkpoint holds: frequencies, and one weight for words in and out."""
        self._compute_frequencies()
        self.language.tie_weights()

    def logits(self, prompted: Prompted) -> Tensor:
        """Return (B, T, V) of all tokens, for training."""
        _, output = self.prefill(prompted, use_cache=False, logits_to_keep=0)
        return output.logits

    def prefill(
        self, prompted: Prompted, *, use_cache: bool, logits_to_keep: int = 1
    ) -> tuple[list[HeadOutput], Any]:
        """Run the text and the images once.

        Parameters
        ----------
        prompted
            Images and text.
        use_cache
            Whether the output can be continued.
        logits_to_keep
            Of how many of the last tokens; 0 for all.

        Returns
        -------
        tuple
            Depth of every image, and the language model's output.
        """
        is_image = prompted.input_ids == self.image_token
        with self._hearing() as heard:
            output = self.language(
                input_ids=prompted.input_ids,
                attention_mask=prompted.attention_mask,
                pixel_values=prompted.pixel_values,
                image_grid_thw=prompted.image_grid_thw,
                mm_token_type_ids=is_image.int(),
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
            )
        return self._depths(prompted, is_image, heard), output

    def _next_position(self, mask: Tensor) -> Tensor:
        """Return (3, B, 1) of the last token; images take fewer positions than tokens."""
        position = mask.sum(dim=1, keepdim=True) - 1 + self.language.model.rope_deltas
        return position.expand(3, -1, -1)

    def _depths(
        self, prompted: Prompted, is_image: Tensor, heard: Mapping[str, Tensor]
    ) -> list[HeadOutput]:
        grids = [
            (int(rows) // self.merge, int(columns) // self.merge)
            for _, rows, columns in prompted.image_grid_thw.tolist()
        ]
        counts = [rows * columns for rows, columns in grids]
        if is_image.sum(dim=1).tolist() != counts:
            raise ValueError(
                f'{is_image.sum(dim=1).tolist()} image tokens, but images of {counts}: DepthVLM '
                'takes one image a sample'
            )
        layers = [heard[name].split(counts) for name in ('level0', 'level1', 'level2')]
        layers.append(heard['words'][is_image].split(counts))
        return [
            self.depth_head(tokens, grid)
            for tokens, grid in zip(zip(*layers, strict=True), grids, strict=True)
        ]

    @contextmanager
    def _hearing(self) -> Iterator[dict[str, Tensor]]:
        """Keep what the parts of the language model return that the head sees."""
        heard: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
                heard[name] = output

            return hook

        parts = {'words': self.language.model.language_model.norm}
        mergers = self.language.model.visual.deepstack_merger_list
        parts |= {f'level{index}': merger for index, merger in enumerate(mergers)}
        hooks = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()

    def _compute_frequencies(self) -> None:
        """Compute the frequencies of all positions, which are in no checkpoint."""
        device = next(self.parameters()).device
        for module in self.language.modules():
            if isinstance(module, Qwen3VLTextRotaryEmbedding | Qwen3VLVisionRotaryEmbedding):
                rotary: Any = module
                with torch.device('cpu'):
                    exact = type(rotary)(rotary.config)
                real = torch.device('cpu') if device.type == 'meta' else device
                rotary.inv_freq = exact.inv_freq.to(real)
                rotary.original_inv_freq = exact.original_inv_freq.to(real)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DepthVlm:
        """Move and cast, but keep the frequencies in float32: bfloat16 has no room for them."""

        def flat(tensor: Tensor) -> Tensor:
            # Memory formats of images cannot be asked of the weight that cuts films into patches.
            if tensor.dim() < 5:
                return fn(tensor)
            return fn(tensor.flatten(1)).unflatten(1, tensor.shape[1:])

        super()._apply(flat, recurse)
        self._compute_frequencies()
        return self


def from_checkpoint(network: DepthVlm, state: State) -> None:
    """Load a state strictly, in the precision that it has.

    Parameters
    ----------
    network
        On the meta device.
    state
        Of the authors' keys.
    """
    usable = usable_state(state, tied=network.config.tied)
    if _INPUT_WEIGHT in usable and usable[_INPUT_WEIGHT].is_floating_point():
        network.to(usable[_INPUT_WEIGHT].dtype)
    load_strict(network, usable)
    network.after_loading()


def usable_state(state: State, *, tied: bool) -> dict[str, Tensor]:
    """Return a state with the output weight that files leave out where it is the input's."""
    usable = dict(state)
    if tied and _OUTPUT_WEIGHT not in usable and _INPUT_WEIGHT in usable:
        usable[_OUTPUT_WEIGHT] = usable[_INPUT_WEIGHT]
    return usable
