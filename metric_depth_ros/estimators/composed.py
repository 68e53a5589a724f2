# SPDX-License-Identifier: Apache-2.0
"""`composed:<prior>`: any depth method's estimate, aligned to the frame's prompt. Needs torch.

The alignment needs the shape of the scene only. A monocular network without a notion of prompts
thus completes depth, and one with a wrong scale gets the right one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.estimators.alignment import (
    PixelAlignment,
    inverse_depth,
    pixel_alignment,
)
from metric_depth_ros.estimators.alignment.threads import one_thread
from metric_depth_ros.estimators.base import (
    Estimator,
    estimate_batch,
    recovers_camera,
    warm_up,
)
from metric_depth_ros.types import DepthEstimate, Frame

# Confidence falls to one half at either of these.
_TRUSTED_DISTANCE = 0.05  # image widths to the nearest prompt point
_TRUSTED_RESIDUAL = 0.05  # relative misfit of the nearest prompt points


class ComposedEstimator:
    """An estimate used as a prior and aligned to the prompt, pixel by pixel (PDSA).

    Parameters
    ----------
    prior
        Gives the shape of the scene; monocular methods ignore the frame's prompt.
    device
        Torch device of the alignment.
    """

    def __init__(self, prior: Estimator, device: str = 'cpu') -> None:
        self._prior = prior
        self._device = torch.device(device)

    @property
    def name(self) -> str:
        """The specification it was made from."""
        return f'composed:{self._prior.name}'

    @property
    def recovers_camera(self) -> bool:
        """Whether the prior finds the intrinsics of a frame without a camera."""
        return recovers_camera(self._prior)

    def warm_up(self, width: int, height: int) -> None:
        """Warm the prior up for images of a size."""
        warm_up(self._prior, width, height)

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate the prior and align it.

        Without a prompt point where the prior is known, the prior is returned as it is, under
        its own `method`, so that no image has two scales. With one such point the prior is
        scaled only; up to five are all used at every pixel. Pixels that the prior does not know
        stay NaN, and those beyond its range +Inf, except where the prompt has a point.
        """
        return self.estimate_batch([frame])[0]

    def estimate_batch(self, frames: Sequence[Frame]) -> list[DepthEstimate]:
        """Estimate frames of one image size, e.g. of several cameras, and align them at once."""
        start = time.perf_counter()
        return self._aligned(frames, estimate_batch(self._prior, frames), start)

    def _aligned(
        self,
        frames: Sequence[Frame],
        priors: Sequence[DepthEstimate],
        start: float,
    ) -> list[DepthEstimate]:
        prompts = [_prompt_map(frame) for frame in frames]
        anchored = [
            bool((np.isfinite(prompt) & ~np.isnan(_positive(prior.depth))).any())
            for prompt, prior in zip(prompts, priors, strict=True)
        ]
        if not any(anchored):
            return list(priors)
        depth, confidence = self._align(
            np.stack([_positive(prior.depth) for prior in priors]), np.stack(prompts)
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
        self, prior_depth: NDArray[np.float32], prompt: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return aligned depth and confidence, (B, H, W) each."""
        prior = torch.from_numpy(prior_depth).to(self._device)
        measured = torch.from_numpy(prompt).to(self._device)
        with torch.inference_mode(), one_thread():
            inverse = torch.where(prior.isnan(), torch.nan, inverse_depth(prior))
            aligned = pixel_alignment(inverse, measured)
            beyond = prior.isinf() & measured.isnan()
            depth = torch.where(beyond, torch.inf, aligned.inverse.reciprocal())
            confidence = _confidence(aligned)
            confidence = torch.where(measured.isnan(), confidence, 1.0)
            confidence = torch.where(depth.isnan(), 0.0, confidence)
        return depth.cpu().numpy(), confidence.cpu().numpy()


def _confidence(aligned: PixelAlignment) -> Tensor:
    """Return (B, H, W) in [0, 1] that falls with the distance and the misfit of the prompts."""
    distance = aligned.distance / (_TRUSTED_DISTANCE * aligned.inverse.shape[2])
    residual = aligned.residual / _TRUSTED_RESIDUAL
    return aligned.to_image(1.0 / (1.0 + distance.square() + residual.square()))


def _prompt_map(frame: Frame) -> NDArray[np.float32]:
    """Return (H, W) meters, NaN where the prompt has no point."""
    height, width = frame.image.shape[:2]
    if frame.prompt is None:
        return np.full((height, width), np.nan, np.float32)
    return frame.prompt.to_map(width, height)


def _positive(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy with NaN where the depth is not positive."""
    return np.where(depth > 0.0, depth, np.float32(np.nan))
