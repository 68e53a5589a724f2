# SPDX-License-Identifier: Apache-2.0
"""The classical completion as an `Estimator`: prompt arrays in, `DepthEstimate` out."""

from __future__ import annotations

import time

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.classical.completion import PRESETS, complete
from metric_depth_ros.prompting.radar import vertical_support
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt


class ClassicalCompletion(Estimator):
    """Image-guided completion without weights.

    Parameters
    ----------
    preset
        ``'quality'`` or ``'fast'``.

    Raises
    ------
    InputError
        Another preset.
    """

    needs_prompt = True

    def __init__(self, preset: str = 'quality') -> None:
        if preset not in PRESETS:
            raise InputError(
                'estimator',
                f"estimator 'classical' has the variants {', '.join(PRESETS)}, got {preset!r}: "
                "use 'classical:quality' or 'classical:fast'.",
            )
        self.preset = preset
        self.name = f'classical:{preset}'

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Fill every pixel from the prompt; all NaN without one, since nothing gives a scale."""
        start = time.perf_counter()
        prompt = SparsePrompt.empty() if frame.prompt is None else frame.prompt
        prompt = vertical_support(prompt, frame.camera)
        depth, confidence = complete(
            frame.image, prompt.uv, prompt.depth, prompt.sigma, self.preset
        )
        elapsed_ms = 1e3 * (time.perf_counter() - start)
        method = self.name if len(prompt) else f'{self.name} (no prompt)'
        return DepthEstimate(
            depth.astype(np.float32, copy=False),
            confidence,
            frame.camera,
            method,
            {'estimator': elapsed_ms},
        )
