# SPDX-License-Identifier: Apache-2.0
"""Learning rates by step, and which parameters they belong to. Torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.optim import Optimizer

from metric_depth_ros.training.config import OptimizerConfig


def rate_share(config: OptimizerConfig, step: int, steps: int, warmup_steps: int) -> float:
    """Return the part of its peak that a rate has at a step, counted from 0.

    Parameters
    ----------
    steps
        Of the whole training.
    warmup_steps
        Of the linear rise.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if config.schedule == 'constant':
        return 1.0
    if config.schedule == 'halving':
        return 0.5 ** (step // config.halving_steps)
    done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return config.final_share + (1.0 - config.final_share) * 0.5 * (1.0 + math.cos(math.pi * done))


def parameter_groups(
    network: nn.Module, config: OptimizerConfig, backbone_prefixes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return optimizer groups: backbone and head, each with and without decay.

    Every group keeps its peak rate and its rise under ``peak`` and ``warmup_steps``, and the
    names of its parameters under ``names``.
    """
    groups: dict[tuple[bool, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            of_backbone = name.startswith(tuple(backbone_prefixes)) if backbone_prefixes else False
            groups.setdefault((of_backbone, parameter.ndim > 1), []).append((name, parameter))
    return [
        {
            'params': [parameter for _, parameter in members],
            'names': [name for name, _ in members],
            'weight_decay': config.weight_decay if decays else 0.0,
            'peak': _peak(config, of_backbone),
            'warmup_steps': _warmup(config, of_backbone),
            'lr': 0.0,
        }
        for (of_backbone, decays), members in groups.items()
    ]


def set_rates(
    groups: list[dict[str, Any]], config: OptimizerConfig, step: int, steps: int
) -> None:
    """Give every group its rate for a step."""
    for group in groups:
        group['lr'] = group['peak'] * rate_share(config, step, steps, group['warmup_steps'])


@contextmanager
def kept_settings(optimizer: Optimizer) -> Iterator[None]:
    """Keep what groups say of rates and decay while an engine loads its own state of them."""
    kept = [
        {key: value for key, value in group.items() if key != 'params'}
        for group in optimizer.param_groups
    ]
    yield
    for group, settings in zip(optimizer.param_groups, kept, strict=True):
        group.update(settings)


def _peak(config: OptimizerConfig, of_backbone: bool) -> float:
    if of_backbone and config.backbone_rate is not None:
        return config.backbone_rate
    return config.rate


def _warmup(config: OptimizerConfig, of_backbone: bool) -> int:
    if of_backbone and config.backbone_warmup_steps is not None:
        return config.backbone_warmup_steps
    return config.warmup_steps
