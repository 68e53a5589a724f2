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
    """Return the mean, over images with labels, of the scale-invariant logarithmic error.

    It is 0 without any label, and still of the predictions: every process of a training goes
    backward.

    Parameters
    ----------
    predicted
        (H, W) m of every image, resized to the truth's size here.
    truths
        (H', W') m, 0 unknown.
    """
    losses = [
        _log_error(p[known], t[known])
        for p, t in map(_of_one_size, predicted, truths)
        if (known := (t > 0.0) & (p > 0.0)).any()
    ]
    if not losses:
        return torch.stack([p.flatten()[:0].sum() for p in predicted]).sum()
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


def _of_one_size(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    height, width = truth.shape
    return resized(predicted[None, None], (height, width))[0, 0], truth


def _log_error(predicted: Tensor, truth: Tensor) -> Tensor:
    ratio = predicted.log() - truth.log()
    spread = (ratio**2).mean() - _SCALE_FORGIVEN * ratio.mean() ** 2
    return (spread + _LEAST).sqrt()
