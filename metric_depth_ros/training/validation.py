# SPDX-License-Identifier: Apache-2.0
"""Figures and pictures of a network on examples it never learns from. May import `evaluation`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metric_depth_ros.evaluation.metrics import depth_metrics
from metric_depth_ros.evaluation.pictures import (
    colorize_depth,
    depth_range,
    error_map,
    overlay_prompt,
    side_by_side,
)
from metric_depth_ros.training.devices import moved
from metric_depth_ros.training.recipes import Prepared, Recipe
from metric_depth_ros.types import Source

FIGURES = ('abs_rel', 'rmse_m', 'delta1')
_NEGLIGIBLE = 0.01  # relative error below which a better guess is no gain
_SPARSE, _DENSE = 1e-3, 2e-2  # points a pixel


def figures_of(
    network: nn.Module, recipe: Recipe, examples: Iterable[Prepared | None], device: torch.device
) -> list[dict[str, float]]:
    """Return the figures of every example, by name.

    ``abs_rel``, ``rmse_m`` and ``delta1`` of the network; ``baseline_abs_rel`` and the logarithm
    of the ratio to it, ``log_ratio``, where the recipe has a baseline; and ``abs_rel`` once more
    under the kind of prompt, e.g. ``abs_rel/sparse``.
    """
    rows = []
    for prepared in examples:
        if prepared is None:
            continue
        depth = predicted(network, recipe, prepared, device)
        truth = np.where(np.isfinite(prepared.example.depth), prepared.example.depth, np.nan)
        metrics = depth_metrics(depth, truth.astype(np.float32))
        row = {name: metrics[name] for name in FIGURES}
        row[f'abs_rel/{kind_of_prompt(prepared)}'] = metrics['abs_rel']
        baseline = recipe.baseline(prepared)
        if baseline is not None:
            reference = depth_metrics(baseline, truth.astype(np.float32))['abs_rel']
            row['baseline_abs_rel'] = reference
            error, guess_error = metrics['abs_rel'] + _NEGLIGIBLE, reference + _NEGLIGIBLE
            row['log_ratio'] = float(np.log(error / guess_error))
        rows.append(row)
    return rows


def means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every figure over the examples that have it; the ratio geometrically."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if np.isfinite(value):
                values.setdefault(name, []).append(value)
    found = {name: float(np.mean(each)) for name, each in sorted(values.items())}
    if 'log_ratio' in found:
        found['ratio'] = float(np.exp(found.pop('log_ratio')))
    return found


def predicted(
    network: nn.Module, recipe: Recipe, prepared: Prepared, device: torch.device
) -> NDArray[np.float32]:
    """Return the depth of one example, in its size."""
    batch: dict[str, Any] = moved(recipe.collate([prepared]), device)
    with torch.inference_mode():
        (depth,) = recipe.predict(network, batch)
    if depth.shape == prepared.example.depth.shape:
        return depth
    size = prepared.example.depth.shape
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(depth)[None, None], size, mode='bilinear', align_corners=False
    )
    return resized[0, 0].numpy()


def kind_of_prompt(prepared: Prepared) -> str:
    """Return ``'none'``, ``'radar'``, ``'sparse'``, ``'middle'`` or ``'dense'``."""
    prompt = prepared.prompt
    if not len(prompt):
        return 'none'
    if np.all(prompt.source == Source.RADAR):
        return 'radar'
    share = len(prompt) / prepared.example.depth.size
    return 'sparse' if share < _SPARSE else 'middle' if share < _DENSE else 'dense'


def picture_sheet(
    network: nn.Module, recipe: Recipe, examples: Iterable[Prepared | None], device: torch.device
) -> NDArray[np.uint8] | None:
    """Return rows of image with prompt, truth, depth and error, or None without an example."""
    pictures = []
    for prepared in examples:
        if prepared is None:
            continue
        truth = prepared.example.depth
        depth = predicted(network, recipe, prepared, device)
        limits_m = depth_range(truth)
        pictures += [
            overlay_prompt(prepared.example.image, prepared.prompt, limits_m),
            colorize_depth(truth, limits_m),
            colorize_depth(depth, limits_m),
            error_map(depth, truth),
        ]
    return side_by_side(pictures, 4) if pictures else None
