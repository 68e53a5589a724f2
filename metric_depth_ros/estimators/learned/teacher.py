# SPDX-License-Identifier: Apache-2.0
"""MetricAnything teacher: a prior aligned to the prompt steers a network that refines it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.alignment import PromptTensor, inverse_depth, prompt_tensor
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    beyond_limit,
    centered_pinhole,
    has_prompt,
    image_tensor,
    prompt_maps,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.learned.presets import canvas_side
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.estimators.runtime.workplace import Workplace
from metric_depth_ros.networks.teacher import Teacher, TeacherConfig
from metric_depth_ros.types import Frame

NAME = 'teacher'
MOST_POINTS = 40_000  # of a prompt in its training, on images of 1536x1536
_SEED = 0


def create(options: EstimatorOptions, prior: Estimator) -> LearnedEstimator:
    """Make the estimator.

    Parameters
    ----------
    options
        Of the teacher's own network.
    prior
        Gives the shape of the scene.
    """
    device = torch_device(options.device)
    network = load_network(NAME, options)
    config = cast(TeacherConfig, network.config)
    adapter = TeacherAdapter(prior, device, config.prompt_norm, config.gmdr_mode)
    return LearnedEstimator(f'{NAME}:{prior.name}', network, adapter, options)


class TeacherAdapter(Adapter):
    """The network sees the prior, aligned to the prompt per pixel and as a whole, and a mask.

    Of a prompt with more points than any in its training it sees a random part, the same every
    time.

    Parameters
    ----------
    prior
        Gives the shape of the scene, and the camera of an image that comes without one.
    device
        Torch device of the alignment, while its memory lasts.
    prompt_norm, gmdr_mode
        How the prompt was made in training; see `TeacherConfig`.
    """

    def __init__(
        self,
        prior: Estimator,
        device: torch.device,
        prompt_norm: str = 'median',
        gmdr_mode: str = 'global',
    ) -> None:
        self.recovers_camera = prior.recovers_camera
        self._prior = prior
        self._prompt_norm = prompt_norm
        self._gmdr_mode = gmdr_mode
        self._workplace = Workplace(device, 'the alignment')

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Estimate the prior, and align it to the prompts."""
        priors = self._prior.estimate_batch(frames)
        cameras = [f.camera or p.camera for f, p in zip(frames, priors, strict=True)]
        focal_px = [np.nan if camera is None else camera.K[0, 0] for camera in cameras]
        prior = torch.from_numpy(np.stack([p.depth for p in priors]))
        prompts = prompt_maps([_thinned(frame) for frame in frames])
        aligned = self._workplace.do(partial(self._aligned, prior, prompts))
        return Batch(
            image_tensor(frames),
            torch.tensor(focal_px, dtype=torch.float32),
            {'prompt': aligned.channels, 'unit_m': aligned.unit_m},
        )

    def ready_since_s(self) -> float:
        """Return since when the prior is ready."""
        return self._prior.ready_since_s()

    def _aligned(self, prior: Tensor, prompts: Tensor, device: torch.device) -> PromptTensor:
        prior, prompts = prior.to(device), prompts.to(device)
        with torch.inference_mode():
            # What the prior does not know is not at infinity: nothing is to be fitted to it.
            inverse = torch.where(prior.isnan(), torch.nan, inverse_depth(prior))
            return prompt_tensor(
                inverse, prompts, norm=self._prompt_norm, gmdr_mode=self._gmdr_mode
            )

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run on a canvas of `scale` times the usual area."""
        teacher = cast(Teacher, network)
        assert batch.focal_px is not None
        maps = teacher.infer(
            batch.images,
            batch.prompts['prompt'],
            batch.prompts['unit_m'],
            focal_px=batch.focal_px,
            canvas=canvas_side(teacher, scale),
            max_crops_per_batch=batch.crops,
        )
        return {name: maps[name] for name in ('depth', 'farthest_m')} | {
            'focal_px': batch.focal_px
        }

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth; what reaches the limit of the network is beyond range.

        Without a prompt its scale rests on the focal length alone. Without either it is all NaN.
        """
        height, width = frame.image.shape[:2]
        return Answer(
            beyond_limit(outputs['depth'], float(outputs['farthest_m'])),
            centered_pinhole(width, height, float(outputs['focal_px'])),
            '' if has_prompt(frame) else 'no prompt',
        )


def _thinned(frame: Frame) -> Frame:
    """Return a frame with no more points than the network has seen: drawn, but always the same."""
    if frame.prompt is None:
        return frame
    return replace(frame, prompt=frame.prompt.subsample(MOST_POINTS, np.random.default_rng(_SEED)))
