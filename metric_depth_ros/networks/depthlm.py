# SPDX-License-Identifier: Apache-2.0
"""The architecture of the released DepthLM: Pixtral 12B, as transformers has it, unchanged.

For counting and for the shapes; the weights are loaded by transformers itself, which knows the
older names of their keys. Imports torch and transformers.

Source: the configuration of Pixtral 12B (2024).
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
)

from metric_depth_ros.networks.key_names import State


class DepthLm(nn.Module):
    """The released language model, whose keys are transformers' own."""

    def __init__(self) -> None:
        super().__init__()
        text = MistralConfig(
            vocab_size=131_072,
            hidden_size=5120,
            intermediate_size=14_336,
            num_hidden_layers=40,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=1_024_000,
            sliding_window=None,
            tie_word_embeddings=False,
        )
        vision = PixtralVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=1024,
            patch_size=16,
        )
        self.language = LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=vision,
                text_config=text,
                image_token_index=10,
                projector_hidden_act='gelu',
                vision_feature_select_strategy='full',
                vision_feature_layer=-1,
                tie_word_embeddings=False,
            )
        )

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give transformers' state dict this module's names."""
        return {f'language.{key}': tensor for key, tensor in state.items()}

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict transformers' names."""
        return {key.removeprefix('language.'): tensor for key, tensor in state.items()}
