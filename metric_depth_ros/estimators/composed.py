# SPDX-License-Identifier: Apache-2.0
"""`composed:<prior>`: any depth method's estimate, aligned to the frame's prompt. Needs torch.

The alignment needs the shape of the scene only. A monocular network without a notion of prompts
thus completes depth, and one with a wrong scale gets the right one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.estimators.alignment import (
    PixelAlignment,
    inverse_depth,
    pixel_alignment,
)
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.classical.layout import nearest_per_pixel, pixel_index
from metric_depth_ros.estimators.runtime.workplace import Workplace
from metric_depth_ros.estimators.threads import one_thread
from metric_depth_ros.prompting.radar import vertical_support
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt

# Confidence falls to one half at any of these.
_TRUSTED_DISTANCE = 0.05  # image widths to the nearest prompt point
_TRUSTED_RESIDUAL = 0.05  # relative misfit of the nearest prompt points
_TRUSTED_NOISE = 0.05  # relative sigma of the prompt point of a pixel
# The alignment passes through every point: noisier ones, as of false echoes, would do harm.
_LARGEST_NOISE = 0.2


class ComposedEstimator(Estimator):
    """An estimate used as a prior and aligned to the prompt, pixel by pixel (PDSA).

    Parameters
    ----------
    prior
        Gives the shape of the scene; monocular methods ignore the frame's prompt.
    device
        Torch device of the alignment, while its memory lasts.
    """

    def __init__(self, prior: Estimator, device: str = 'cpu') -> None:
        self.name = f'composed:{prior.name}'
        self.needs_prompt = prior.needs_prompt
        self.recovers_camera = prior.recovers_camera
        self._prior = prior
        self._workplace = Workplace(torch.device(device), 'the alignment')

    def warm_up(self, width: int, height: int) -> None:
        """Warm the prior up for images of a size."""
        self._prior.warm_up(width, height)

    def ready_since_s(self) -> float:
        """Return since when the prior is ready."""
        return self._prior.ready_since_s()

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate the prior and align it.

        Without a prompt point where the prior is known, the prior is returned as it is, under
        its own `method`, so that no image has two scales. With one such point the prior is
        scaled only; up to five are all used at every pixel. Pixels that the prior does not know
        stay NaN, and those beyond its range +Inf, except where the prompt has a point. Points
        with a sigma above 0.2 of their depth are left out; a radar return is a column of points.
        """
        return self.estimate_batch([frame])[0]

    def estimate_batch(self, frames: Sequence[Frame]) -> list[DepthEstimate]:
        """Estimate frames, e.g. of several cameras; those of one size are aligned at once."""
        start = time.perf_counter()
        priors = self._prior.estimate_batch(frames)
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, frame in enumerate(frames):
            groups[frame.image.shape].append(index)
        estimates: dict[int, DepthEstimate] = {}
        for indices in groups.values():
            together = self._aligned(
                [frames[i] for i in indices], [priors[i] for i in indices], start
            )
            estimates.update(zip(indices, together, strict=True))
        return [estimates[index] for index in range(len(frames))]

    def _aligned(
        self,
        frames: Sequence[Frame],
        priors: Sequence[DepthEstimate],
        start: float,
    ) -> list[DepthEstimate]:
        prompts, sure = zip(*(_prompt_maps(frame) for frame in frames), strict=True)
        anchored = [
            bool((np.isfinite(prompt) & ~np.isnan(_positive(prior.depth))).any())
            for prompt, prior in zip(prompts, priors, strict=True)
        ]
        if not any(anchored):
            return list(priors)
        depth, confidence = self._workplace.do(
            partial(
                _align,
                np.stack([_positive(prior.depth) for prior in priors]),
                np.stack(prompts),
                np.stack(sure),
            )
        )
        end = time.perf_counter()
        return [
            DepthEstimate(
                depth[i],
                confidence[i],
                prior.camera,
                f'composed/{prior.method}',
                {**prior.timings_ms, 'estimator': 1e3 * (end - start)},
            )
            if anchored[i]
            else prior
            for i, prior in enumerate(priors)
        ]


def _align(
    prior_depth: NDArray[np.float32],
    prompt: NDArray[np.float32],
    sure: NDArray[np.float32],
    device: torch.device,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return aligned depth and confidence, (B, H, W) each."""
    prior = torch.from_numpy(prior_depth).to(device)
    measured = torch.from_numpy(prompt).to(device)
    with torch.inference_mode(), one_thread():
        inverse = torch.where(prior.isnan(), torch.nan, inverse_depth(prior))
        aligned = pixel_alignment(inverse, measured)
        beyond = prior.isinf() & measured.isnan()
        depth = torch.where(beyond, torch.inf, aligned.inverse.reciprocal())
        confidence = _confidence(aligned)
        at_points = torch.from_numpy(sure).to(device)
        confidence = torch.where(measured.isnan(), confidence, at_points)
        confidence = torch.where(depth.isnan(), 0.0, confidence)
    return depth.cpu().numpy(), confidence.cpu().numpy()


def _confidence(aligned: PixelAlignment) -> Tensor:
    """Return (B, H, W) in [0, 1] that falls with the distance and the misfit of the prompts."""
    distance = aligned.distance / (_TRUSTED_DISTANCE * aligned.inverse.shape[2])
    residual = aligned.residual / _TRUSTED_RESIDUAL
    return aligned.to_image(1.0 / (1.0 + distance.square() + residual.square()))


def _prompt_maps(frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (H, W) meters, NaN without a point, and the confidence of the points."""
    shape = frame.image.shape[0], frame.image.shape[1]
    prompt = _believable(frame)
    prompt = prompt.subset(nearest_per_pixel(prompt.uv, prompt.depth, shape))
    pixel = pixel_index(prompt.uv, shape)
    depth, sure = np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)
    depth.flat[pixel] = prompt.depth
    sure.flat[pixel] = 1.0 / (1.0 + (prompt.sigma / prompt.depth / _TRUSTED_NOISE) ** 2)
    return depth, sure


def _believable(frame: Frame) -> SparsePrompt:
    """Return the points that may be taken at their word, radar returns as columns."""
    if frame.prompt is None:
        return SparsePrompt.empty()
    prompt = vertical_support(frame.prompt, frame.camera)
    return prompt.subset(prompt.sigma <= _LARGEST_NOISE * prompt.depth)


def _positive(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy with NaN where the depth is not positive."""
    return np.where(depth > 0.0, depth, np.float32(np.nan))
