# SPDX-License-Identifier: Apache-2.0
"""The prompts of the papers' tables, made from ground truth to the pixel of the published sampler.

Sources: Prior-Depth-Anything (arXiv:2505.10565); LingBot-Depth for the masked blocks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metric_depth_ros.evaluation.benchmarks.protocol import Item, Prompt
from metric_depth_ros.simulation.sensors.patterns import at_pixels, block_mask, scan_lines
from metric_depth_ros.types import Source, SparsePrompt

LIDAR_LINES = 8
EXTREME_POINTS = 100
_NEAREST_M = 1e-4
# Level: share masked, noise as a share of depth, share of salt pixels.
BLOCK_LEVELS = {
    'easy': (0.2, 0.005, 0.0),
    'medium': (0.4, 0.01, 0.005),
    'hard': (0.6, 0.02, 0.01),
    'extreme': (0.8, 0.04, 0.02),
}
SAMPLER_CHOICES = (
    f'LiDAR prompts: {LIDAR_LINES} virtual lines; the number of lines was not published.',
    f'Extreme: {EXTREME_POINTS} random pixels; the seed of the published draw is not known, each '
    'image has its own seed from its name.',
    'AbsRel is over all pixels with ground truth, those of the prompt included; images with fewer '
    'than five, of which the published sampler makes nothing, count as without ground truth.',
)
BLOCK_CHOICES = (
    'Masked blocks: sizes, counts and noise were not published. Here: squares of 1/40 to 3/20 of '
    'the width until a share of .2/.4/.6/.8 (easy to extreme) of the image is covered; noise of '
    '.005/.01/.02/.04 of the depth and of .0012 + .0019 (d - .4)^2 m; 0/.5/1/2 % of the pixels '
    'anywhere between the 10th and 90th percentile. Compare models on these inputs only.',
)


def samplable(item: Item) -> Item:
    """Return an image without ground truth where that is less than the published sampler needs."""
    from metric_depth_ros.evaluation.benchmarks import published_sampler as sampler

    if len(sampler.valid_pixels(item.depth)) >= sampler.NEIGHBORS:
        return item
    return replace(item, depth=np.full_like(item.depth, np.nan))


def random_points(count: int) -> Prompt:
    """Return the prompt of so many random pixels with ground truth."""

    def prompt(item: Item, seed: int) -> SparsePrompt:
        import torch

        from metric_depth_ros.evaluation.benchmarks import published_sampler as sampler

        generator = torch.Generator().manual_seed(seed)
        pixel = sampler.random_pixels(sampler.valid_pixels(item.depth), count, generator)
        return at_pixels(item.depth, pixel)

    return prompt


def downscaled(factor: int) -> Prompt:
    """Return the prompt of a depth map that many times smaller."""

    def prompt(item: Item, seed: int) -> SparsePrompt:
        from metric_depth_ros.evaluation.benchmarks import published_sampler as sampler

        samples = sampler.downscaled(np.nan_to_num(item.depth, nan=0.0), factor)
        small = np.full(item.depth.shape, np.nan, np.float32)
        small.reshape(-1)[samples.pixel] = samples.depth
        return at_pixels(small, samples.pixel, Source.LOW_RESOLUTION)

    return prompt


def lidar(lines: int) -> Prompt:
    """Return the prompt of a virtual LiDAR at the camera."""

    def prompt(item: Item, seed: int) -> SparsePrompt:
        return scan_lines(item.depth, lines)

    return prompt


def measured(name: str) -> Prompt:
    """Return what one of the data set's own sensors measured."""

    def prompt(item: Item, seed: int) -> SparsePrompt:
        return item.prompts[name]

    return prompt


def masked_blocks(level: str) -> Prompt:
    """Return the ground truth with blocks missing, with noise; see `BLOCK_CHOICES`."""
    share, relative, salt = BLOCK_LEVELS[level]

    def prompt(item: Item, seed: int) -> SparsePrompt:
        rng = np.random.default_rng(seed)
        hidden = block_mask(item.depth.shape, share, rng)
        exact = item.depth
        axial = 0.0012 + 0.0019 * (exact - 0.4) ** 2
        noisy = exact + np.hypot(relative * exact, axial) * rng.standard_normal(exact.shape)
        known = np.isfinite(exact)
        if salt and known.any():
            low, high = np.quantile(exact[known], (0.1, 0.9))
            salted = rng.random(exact.shape) < salt
            noisy = np.where(salted, rng.uniform(low, high, exact.shape), noisy)
        with np.errstate(invalid='ignore'):
            visible = known & ~hidden & (noisy > _NEAREST_M)
        points = at_pixels(noisy.astype(np.float32), np.flatnonzero(visible))
        return replace(points, source=np.full(len(points), Source.RGBD, np.uint8))

    return prompt


SAMPLED = {
    '8x': downscaled(8),
    '16x': downscaled(16),
    'LiDAR': lidar(LIDAR_LINES),
    'Extreme': random_points(EXTREME_POINTS),
}
