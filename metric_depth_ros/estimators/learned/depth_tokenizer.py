# SPDX-License-Identifier: Apache-2.0
"""Depth images to tokens with a trained `DepthVqVae`. Loads torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.geometry.relative_depth import normalized_inverse_depth
from metric_depth_ros.networks.checkpoints import Checkpoint, load_strict
from metric_depth_ros.networks.depth_vqvae import DepthVqVae, DepthVqVaeConfig
from metric_depth_ros.networks.model_config import required_model_config


@dataclass(frozen=True, eq=False)
class DepthTokens:
    """Tokens of one depth image.

    Parameters
    ----------
    tokens
        (grid * grid) rows of the codebook, row-major.
    low, high
        Inverse depth in 1/m that 0 and 1 of the normalized image stand for.
    error
        Mean absolute error of the normalized image that the tokens stand for, 0 to 1.
    """

    tokens: NDArray[np.int64]
    low: float
    high: float
    error: float

    @property
    def text(self) -> str:
        """The tokens as words of a language model (source: MolmoAct)."""
        words = ''.join(f'<DEPTH_{token}>' for token in self.tokens)
        return f'<DEPTH_START>{words}<DEPTH_END>'


class DepthTokenizer:
    """A trained tokenizer.

    Parameters
    ----------
    checkpoint
        Weights that `metric-depth train depth_tokens` wrote, or the shipped ones.
    device
        ``'auto'``, ``'cpu'`` or ``'cuda'``.

    Raises
    ------
    InputError
        Weights of another network.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = 'auto') -> None:
        network = tokenizer_network(checkpoint)
        self.config = network.config
        self._device = torch_device(device)
        self._network = network.to(self._device)

    @torch.inference_mode()
    def tokenize(self, depth: NDArray[np.float32]) -> DepthTokens:
        """Return the tokens of a depth image (H, W) in meters, NaN unknown, +Inf beyond range."""
        image, low, high = normalized_inverse_depth(depth)
        side = self.config.side
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        given = torch.from_numpy(small)[None, None].to(self._device)
        answer = self._network(given)
        error = float((answer.image.clamp(0.0, 1.0) - given).abs().mean())
        return DepthTokens(answer.tokens[0].cpu().numpy(), low, high, error)


def tokenizer_network(checkpoint: Checkpoint) -> DepthVqVae:
    """Return the network of a checkpoint.

    Raises
    ------
    InputError
        Weights of another network.
    """
    values = required_model_config(checkpoint)
    known = {field.name for field in fields(DepthVqVaeConfig)}
    try:
        config = DepthVqVaeConfig(**{key: values[key] for key in values if key in known})
    except (TypeError, ValueError) as error:
        raise InputError(
            'checkpoint_config', f'{checkpoint.path} holds no depth tokenizer: {error}.'
        ) from error
    with torch.device('meta'):
        network = DepthVqVae(config)
    load_strict(network, checkpoint.state)
    return network.eval()
