# SPDX-License-Identifier: Apache-2.0
"""What DepthVLM is trained with: depth up to a half of its scale, and text. Imports torch.

Source: DepthVLM (2026), after Eigen et al. (2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from metric_depth_ros.networks.depthvlm_head import resized

_SCALE_FORGIVEN = 0.5
_LEAST = 1e-8
IGNORED_LABEL = -100


def depth_loss(predicted: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Return the mean over images of the scale-invariant logarithmic error.

    Parameters
    ----------
    predicted
        (H, W) m of every image, resized to the truth's size here.
    truths
        (H', W') m, 0 unknown.
    """
    losses = [_image_loss(p, t) for p, t in zip(predicted, truths, strict=True)]
    return torch.stack(losses).mean()


def text_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of the next tokens.

    Parameters
    ----------
    logits
        (B, T, V).
    labels
        (B, T) tokens, `IGNORED_LABEL` where there is nothing to learn.
    """
    following = labels[:, 1:].flatten()
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), following, ignore_index=IGNORED_LABEL
    )


def _image_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    height, width = truth.shape
    predicted = resized(predicted[None, None], (height, width))[0, 0]
    known = (truth > 0.0) & (predicted > 0.0)
    ratio = predicted[known].log() - truth[known].log()
    spread = (ratio**2).mean() - _SCALE_FORGIVEN * ratio.mean() ** 2
    return (spread + _LEAST).sqrt()
