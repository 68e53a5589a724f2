# SPDX-License-Identifier: Apache-2.0
"""The small prompted network that ships with the package: it corrects a guess.

The guess is the classical completion. The network sees it at half the resolution, beside the image
and the points, and says how its logarithm changes: by the guess of another place nearby, where an
edge runs otherwise than the guess has it, and by an amount of its own. So an untrained network
answers the guess, and a scaled prompt scales the answer. It also says how wide its error is, and
where it sees sky. There is no normalization layer: one image alone is answered as it is in any
batch. Imports torch and siblings.
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
    bands_of,
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
_STAY = 5.0  # logit of a pixel's own place, before training
_LOG_WIDTH_LIMITS = (-7.0, 2.0)


@dataclass(frozen=True)
class CompactTeacherConfig:
    """Shape of the network.

    Attributes
    ----------
    widths
        Channels of the levels, from the resolution of the input down by factors of two.
    blocks
        Residual blocks of each level on the way down; one less on the way up, at least one.
    """

    widths: tuple[int, ...] = (24, 48, 80, 112, 144)
    blocks: tuple[int, ...] = (1, 2, 2, 2, 2)

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
        # Of each pixel's own guess, the nearest point, and the guesses elsewhere.
        self.choice = nn.Conv2d(widths[0], 2 + len(_ELSEWHERE), 3, padding=1)
        start_at_zero(self.choice)
        assert self.choice.bias is not None
        nn.init.constant_(self.choice.bias[:1], _STAY)

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
        logits = planar(self._logits(features))
        maps, spread, choice = logits.split(
            (_MAPS, NEIGHBORS * SUBPIXELS**2, 1 + len(_ELSEWHERE)), dim=1
        )
        # The guess is exact: whatever the network computes in, it is added to in float32.
        residual, log_width, sky = maps.float().split(1, dim=1)
        nearest = inputs[:, NEAREST_CHANNEL : NEAREST_CHANNEL + 1]
        change = residual + _taken_elsewhere(guess, choice, nearest)
        maps = torch.cat((change, log_width - 2.0, sky - 2.0), dim=1)
        change, log_width, sky = upsampled(maps, spread, SUBPIXELS).split(1, dim=1)
        return CompactAnswer(guess + change, log_width.clamp(*_LOG_WIDTH_LIMITS), sky)

    def _logits(self, features: Tensor) -> Tensor:
        """Return what `head` says, and what `choice` says beyond its first channel.

        A softmax depends on differences only. Without that channel the two are one convolution of
        64 channels, in which processors waste nothing.
        """
        head, choice = self.head, self.choice
        assert head.bias is not None
        assert choice.bias is not None
        weight = torch.cat((head.weight, choice.weight[1:] - choice.weight[:1]))
        bias = torch.cat((head.bias, choice.bias[1:] - choice.bias[:1]))
        return functional.conv2d(features, weight, bias, padding=1)

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


def _taken_elsewhere(guess: Tensor, choice: Tensor, nearest: Tensor) -> Tensor:
    """Return what the guess changes by where the guess of other places is taken.

    Parameters
    ----------
    guess
        (B, 1, 2 h, 2 w).
    choice
        (B, 1 + len(_ELSEWHERE), h, w) logits of the nearest point and of the other places; that
        of a pixel's own guess is 0.
    nearest
        (B, 1, h, w) what the nearest point adds to the guess.
    """
    guess = functional.avg_pool2d(guess, SUBPIXELS)
    w = guess.shape[3]
    margin = max(_REACHES)
    padded = functional.pad(guess, (margin,) * 4, mode='replicate')
    bands = []
    for rows in bands_of(choice):
        n, here = rows.stop - rows.start, guess[:, :, rows]
        logits = functional.pad(choice[:, :, rows].float(), (0, 0, 0, 0, 1, 0))
        share = logits.softmax(dim=1)
        change = share[:, 1:2] * nearest[:, :, rows]
        for place, (y, x) in enumerate(_ELSEWHERE, start=2):
            top, left = rows.start + margin + y, margin + x
            there = padded[:, :, top : top + n, left : left + w]
            change = torch.addcmul(change, share[:, place : place + 1], there - here)
        bands.append(change)
    return torch.cat(bands, dim=2)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
