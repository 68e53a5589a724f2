# SPDX-License-Identifier: Apache-2.0
"""Goldens of DepthVLM's evaluation: what is right within a quarter, at points and everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    count_differences,
)
from metric_depth_ros.evaluation.depthvlm_protocol import (
    RANGES,
    canonical_points,
    canonical_truth,
    delta1,
    dense_delta1,
    sparse_delta1,
    truth_at,
)

_EXACT = Tolerance(atol=1e-6)
_UNIT = 'unit_'
_NETWORK_BLOCK = 32


def matches(golden: Golden) -> bool:
    """Whether the golden is of DepthVLM's evaluation."""
    return {'sparse', 'dense', 'records', 'dense_gt_stats'} <= golden.config.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Score every unit and every image, sparse and dense."""
    for name, value in golden.config.items():
        if name.startswith(_UNIT):
            found = delta1(golden.inputs[f'{name}_pred'], golden.inputs[f'{name}_gt'])
            yield compare(name, 'delta1', found, value, _EXACT)
    scores: dict[str, list[float]] = {'sparse': [], 'dense': []}
    for dataset, records in golden.config['records'].items():
        for record in records:
            name = str(record['image']).removesuffix('.png')
            image = _Image(golden, dataset, name, record)
            yield from image.checks()
            for mode, score in (('sparse', image.sparse), ('dense', image.dense)):
                scores[mode].append(score)
                expected = golden.config[mode]['delta1_per_image'][name]
                yield compare(name, f'{mode} delta1', score, expected, _EXACT)
    for mode, values in scores.items():
        yield compare('all', mode, np.mean(values), golden.config[mode]['final'], _EXACT)


class _Image:
    """One image of the evaluation, its truth and its scores."""

    def __init__(self, golden: Golden, dataset: str, name: str, record: Mapping[str, Any]) -> None:
        inputs, limits = golden.inputs, RANGES[dataset]
        self._golden, self._name = golden, name
        depth = (inputs[f'{name}_depth_raw'] / record['depth_scale']).astype(np.float32)
        width, height = record['canonical_size']
        masks = [value for key, value in inputs.items() if key.startswith(f'{name}_mask')]
        self.truth = canonical_truth(depth, (width, height), limits, masks)
        unmasked = canonical_truth(depth, (width, height), limits)
        block = np.ones((_NETWORK_BLOCK, _NETWORK_BLOCK), np.float32)
        predicted = np.kron(inputs[f'{name}_pred_small'], block)
        self.points = canonical_points(
            record['pixel_coords'], depth.shape[::-1], (width, height), limits
        )
        self.listed = truth_at(self.points, unmasked, record['depth'])
        self.sparse = sparse_delta1(predicted, self.points, self.listed)
        self.dense = dense_delta1(predicted, self.truth)

    def checks(self) -> Iterator[Check]:
        """Hold points and truths against the stored ones."""
        name, expected = self._name, self._golden.outputs
        yield count_differences(name, 'points', self.points, expected[f'{name}_pixel_coords'])
        yield compare(name, 'truth', self.listed, expected[f'{name}_gt_depths'], _EXACT)
        stats = self._golden.config['dense_gt_stats'][name]
        step = stats['stride']
        thinned = self.truth[::step, ::step]
        yield count_differences(name, 'size', self.truth.shape, stats['shape'])
        yield compare(name, 'dense truth', thinned, expected[f'{name}_dense_gt'], _EXACT)
        yield compare(name, 'valid', (self.truth > 0).sum(), stats['n_valid'], Tolerance())
        total = self.truth.sum(dtype=np.float64)
        yield compare(name, 'sum', total, stats['sum'], Tolerance(rtol=1e-7))
