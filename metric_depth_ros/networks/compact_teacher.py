# SPDX-License-Identifier: Apache-2.0
"""The small prompted network that ships with the package: it corrects a guess.

The guess is the classical completion. The network sees it at half the resolution, beside the image
and the points, and says how its logarithm changes: by the guess of another place nearby, where an
edge runs otherwise than the guess has it, and by an amount of its own. Places then take over what
others nearby answer, some times over, so that an answer spreads as far as the image lets it. An
untrained network answers nearly the guess, and a scaled prompt scales the answer. It also says how
wide its error is, and where it sees sky. There is no normalization layer: one image alone is
answered as it is in any batch. Imports torch and siblings.

Source of the rounds: Cheng et al., "Depth Estimation via Affinity Learned with Convolutional
Spatial Propagation Network" (ECCV 2018).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.networks.compact_blocks import (
    NEIGHBORS,
    OwnNames,
    ResidualBlock,
    SceneContext,
    planar,
    start_at_zero,
    upsampled,
)

INPUT_CHANNELS = 29
NEAREST_CHANNEL = 14  # of the input: what the nearest point adds to the guess
SUBPIXELS = 2  # the answer is finer than the input by this factor
_MAPS = 3  # the residual, the width of the error, the sky
_REACHES = (1, 3, 7)  # in pixels of the input, to the places whose guess may be taken
_ELSEWHERE = tuple(
    (y, x)
    for reach in _REACHES
    for y in (-reach, 0, reach)
    for x in (-reach, 0, reach)
    if (y, x) != (0, 0)
)
# Logits of a place's own guess, and of its own answer, before training.
_STAY, _STAY_IN_ROUNDS = 5.0, 7.0
_LOG_WIDTH_LIMITS = (-7.0, 2.0)
_MOST_LEVELS, _MOST_ROUNDS = 10, 64


@dataclass(frozen=True)
class CompactTeacherConfig:
    """Shape of the network.

    Attributes
    ----------
    widths
        Channels of the levels, from the resolution of the input down by factors of two.
    blocks
        Residual blocks of each level on the way down; one less on the way up, at least one.
    rounds
        How many times places take over what others answer.
    """

    widths: tuple[int, ...] = (32, 48, 80, 112, 144)
    blocks: tuple[int, ...] = (1, 2, 4, 4, 3)
    rounds: int = 3

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) == len(self.blocks) <= _MOST_LEVELS:
            raise ValueError(
                f'widths are {self.widths} and blocks {self.blocks}, expected 1 to {_MOST_LEVELS} '
                'of both'
            )
        for name, least, most in (('widths', 1, 4096), ('blocks', 0, 64)):
            if not all(least <= value <= most for value in getattr(self, name)):
                raise ValueError(f'{name} are {getattr(self, name)}, expected {least} to {most}')
        if not 0 <= self.rounds <= _MOST_ROUNDS:
            raise ValueError(f'rounds is {self.rounds}, expected 0 to {_MOST_ROUNDS}')

    @property
    def multiple(self) -> int:
        """Width and height of the input are multiples of this."""
        return 2 ** (len(self.widths) - 1)

    def as_model_config(self) -> dict[str, Any]:
        """Return the plain values that are stored with the weights."""
        return asdict(self)


class CompactAnswer(NamedTuple):
    """What the network says of each pixel, at `SUBPIXELS` times the resolution of its input.

    Attributes
    ----------
    log_depth
        (B, 1, H, W) natural logarithm of depth over the unit.
    log_width
        (B, 1, H, W) logarithm of the mean absolute error to be expected of `log_depth`.
    sky
        (B, 1, H, W) logit of the pixel seeing nothing at all.
    """

    log_depth: Tensor
    log_width: Tensor
    sky: Tensor


class CompactTeacher(OwnNames, nn.Module):
    """Corrects a guess of the depth.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: CompactTeacherConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        pairs = list(pairwise(widths))
        self.stem = nn.Conv2d(INPUT_CHANNELS, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            _blocks(width, count) for width, count in zip(widths, blocks, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.context = SceneContext(widths[-1])
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.decoder = nn.ModuleList(
            _blocks(width, max(1, count - 1)) for width, count in zip(widths, blocks, strict=True)
        )
        self.head = nn.Conv2d(widths[0], _MAPS + NEIGHBORS * SUBPIXELS**2, 3, padding=1)
        start_at_zero(self.head)
        # Of each place's own guess, the nearest point, and the guesses elsewhere.
        self.choice = _affinity(widths[0], 2 + len(_ELSEWHERE), _STAY)
        # Of its own answer, and the answers elsewhere.
        self.spread = _affinity(widths[0], 1 + len(_ELSEWHERE), _STAY_IN_ROUNDS)

    def forward(self, inputs: Tensor, guess: Tensor) -> CompactAnswer:
        """Correct a guess.

        Parameters
        ----------
        inputs
            (B, INPUT_CHANNELS, h, w) as `estimators.learned.compact_inputs` makes them; h and w
            multiples of `config.multiple`.
        guess
            (B, 1, 2 h, 2 w) natural logarithm of depth over the unit.

        Returns
        -------
        CompactAnswer
            Maps of 2 h x 2 w.
        """
        features = self._features(inputs.to(self.stem.weight.dtype)).relu_()
        maps, enlarging, choice, spread = self._heads(features)
        # The guess is exact: whatever the network computes in, it is added to in float32.
        residual, log_width, sky = maps.float().split(1, dim=1)
        coarse = functional.avg_pool2d(guess, SUBPIXELS)
        nearest = inputs[:, NEAREST_CHANNEL : NEAREST_CHANNEL + 1]
        answer = residual + _mean_of_places(coarse, choice.float().softmax(dim=1), nearest)
        shares = spread.float().softmax(dim=1)
        for _ in range(self.config.rounds):
            answer = _mean_of_places(answer, shares)
        maps = torch.cat((answer - coarse, log_width - 2.0, sky - 2.0), dim=1)
        change, log_width, sky = upsampled(maps, enlarging, SUBPIXELS).split(1, dim=1)
        return CompactAnswer(guess + change, log_width.clamp(*_LOG_WIDTH_LIMITS), sky)

    def _heads(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return maps, how to enlarge them, choice and spread; one convolution beats three."""
        layers = (self.head, self.choice, self.spread)
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([_bias(layer) for layer in layers])
        together = planar(functional.conv2d(features, weight, bias, padding=1))
        enlarging = NEIGHBORS * SUBPIXELS**2
        choice, spread = self.choice.out_channels, self.spread.out_channels
        return together.split((_MAPS, enlarging, choice, spread), dim=1)

    def _features(self, inputs: Tensor) -> Tensor:
        x = self.stem(inputs)
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level:
                x = self.down[level - 1](functional.relu(x))
            x = blocks(x)
            skips.append(x)
        x = self.decoder[-1](self.context(x))
        for level in reversed(range(len(self.up))):
            finer = skips[level]
            raised = self.up[level](functional.relu(x))
            raised = functional.interpolate(raised, size=finer.shape[2:], mode='nearest')
            x = self.decoder[level](raised.add_(finer))
        return x


def _mean_of_places(field: Tensor, shares: Tensor, nearest: Tensor | None = None) -> Tensor:
    """Return a field after every place has taken a mean of itself and other places.

    Parameters
    ----------
    field
        (B, 1, h, w).
    shares
        (B, 1 [+ 1] + len(_ELSEWHERE), h, w) of a place itself, of the nearest point, where that
        is given, and of the other places.
    nearest
        (B, 1, h, w) what the nearest point adds to the field.
    """
    h, w = field.shape[2:]
    margin = max(_REACHES)
    padded = functional.pad(field, (margin,) * 4, mode='replicate')
    own, *elsewhere = shares.split(1, dim=1)
    mean = own * field
    if nearest is not None:
        mean = torch.addcmul(mean, elsewhere.pop(0), field + nearest)
    for share, (y, x) in zip(elsewhere, _ELSEWHERE, strict=True):
        top, left = margin + y, margin + x
        mean = torch.addcmul(mean, share, padded[:, :, top : top + h, left : left + w])
    return mean


def _affinity(width: int, places: int, stay: float) -> nn.Conv2d:
    """Return the layer that says how much a place takes of every place, itself the first."""
    layer = nn.Conv2d(width, places, 3, padding=1)
    start_at_zero(layer)
    nn.init.constant_(_bias(layer)[:1], stay)
    return layer


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
