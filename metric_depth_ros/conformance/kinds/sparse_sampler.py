# SPDX-License-Identifier: Apache-2.0
"""Goldens of Prior-Depth-Anything's sampler of evaluation prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    count_differences,
)
from metric_depth_ros.framesets import load_frame_set

_DATA = 'data'  # beside the goldens: the recorded frames that some cases name


class _Sampled(NamedTuple):
    pixel: NDArray[np.int64]
    depth: NDArray[np.float32]


def matches(golden: Golden) -> bool:
    """Whether the golden is of the sampler."""
    return 'fewer_than_K_call' in golden.config and 'lidar' in golden.config


def checks(golden: Golden) -> Iterator[Check]:
    """Sample all cases. Those on recorded frames are left out where the frames are not there."""
    stated = golden.config['tolerance']['depth']
    tolerance = Tolerance(atol=stated['atol'], rtol=stated['rtol'])
    for case in golden.config['cases']:
        name = case['name']
        depth = _depth(golden, case)
        if depth is None:
            continue
        sampled = _sampled(golden, case, depth)
        expected = golden.expected(name)
        order = np.argsort(expected['idx'])
        ours = np.argsort(sampled.pixel)
        yield count_differences(name, 'idx', sampled.pixel[ours], expected['idx'][order])
        if 'depth' in expected and len(ours) == len(order):
            ties = expected.get('fill_tie', np.zeros(len(order), bool))[order]
            values, reference = sampled.depth[ours], expected['depth'][order]
            yield compare(name, 'depth', values, reference, tolerance, ~ties)


def _sampled(golden: Golden, case: Mapping[str, Any], depth: NDArray[np.float32]) -> _Sampled:
    import torch

    from metric_depth_ros.evaluation.benchmarks import published_sampler as sampler
    from metric_depth_ros.simulation.sensors.patterns import scan_lines

    if case['pattern'] is None:
        return _Sampled(*sampler.scattered(golden.inputs['low_prior'], depth.shape))
    pattern, _, argument = case['pattern'].partition('_')
    if pattern == 'downscale':
        return _Sampled(*sampler.downscaled(depth, int(argument)))
    if pattern == 'LiDAR':
        column, row = scan_lines(depth, int(argument)).uv.T.astype(np.int64)
        return _at(depth, row * depth.shape[1] + column)
    generator = torch.Generator().manual_seed(case['seed'])
    count = sampler.RANGE_POINTS
    if pattern == 'distance':
        near, far = map(float, argument.split('_'))
        pixels = sampler.pixels_in_range(depth, near, far)
    elif pattern == 'cubic':
        side = int(argument)
        corner = np.random.RandomState(case['seed'])
        row, column = (int(corner.randint(0, length - side)) for length in depth.shape)
        pixels = sampler.pixels_outside_square(depth, row, column, side)
    else:
        pixels, count = sampler.valid_pixels(depth), int(pattern)
    return _at(depth, sampler.random_pixels(pixels, count, generator))


def _at(depth: NDArray[np.float32], pixel: NDArray[np.int64]) -> _Sampled:
    return _Sampled(pixel, depth.reshape(-1)[pixel])


def _depth(golden: Golden, case: Mapping[str, Any]) -> NDArray[np.float32] | None:
    if 'gt' in case:
        return golden.inputs[f'gt_{case["gt"]}']
    name, frame_id = case['frame'].split()[0].split('/')
    folder = golden.folder.resolve().parents[2] / _DATA / name
    if not folder.is_dir():
        return None
    frame = next(frame for frame in load_frame_set(folder).frames if frame.id == frame_id)
    return np.nan_to_num(frame.load_ground_truth(), nan=0.0)
