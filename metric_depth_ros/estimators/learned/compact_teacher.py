# SPDX-License-Identifier: Apache-2.0
"""The compact teacher as an estimator: classical completion, corrected by a small network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.learned.compact_inputs import (
    CHANNELS,
    CompactInput,
    compact_input,
    fine_size,
    size_for,
)
from metric_depth_ros.estimators.learned.compact_output import confidence_of, depth_of
from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    has_prompt,
    image_tensor,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.estimators.runtime.onnx_session import is_exported
from metric_depth_ros.estimators.runtime.precision import cpu_has_bf16
from metric_depth_ros.estimators.threads import CORES
from metric_depth_ros.networks.compact_teacher import CompactAnswer
from metric_depth_ros.types import Frame

NAME = 'compact_teacher'

_NO_POINTS = np.empty((0, 2), np.float32)


def create(options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator; ``'auto'`` is bf16 also on a CPU, where that has it.

    The guess and the answer stay float32 in any precision, so that rounding touches the
    correction only: 0.04 % of the depth (``docs/BENCHMARKS.md``).

    Raises
    ------
    InputError
        A resolution scale: how much the network sees follows from the image and its points.
    """
    if options.resolution_scale != 1.0:
        raise InputError(
            'estimator_option',
            f'resolution_scale is {options.resolution_scale:g}, but the resolution of {NAME} '
            'follows from the image and its points: set it to 1.',
        )
    network = load_network(NAME, options)
    exported = is_exported(network)
    adapter = CompactTeacherAdapter(
        size_of_image if exported else partial(size_of_points, in_halves=options.compile)
    )
    on_cpu = not exported and torch_device(options.device).type == 'cpu'
    if options.precision == 'auto' and on_cpu and cpu_has_bf16():
        options = replace(options, precision='bf16')
    # The guess and the answer keep one core busy: a second frame has use for the other one.
    lanes = min(2, CORES) if on_cpu and not options.compile else 1
    return LearnedEstimator(
        NAME,
        network,
        adapter,
        options,
        lanes,
        one_resolution=True,
        grouped_by=adapter.size_of,
    )


def size_of_points(frame: Frame, *, in_halves: bool = False) -> tuple[int, int]:
    """Return the size that suits a frame's points, see `size_for`."""
    height, width = frame.image.shape[:2]
    uv = _NO_POINTS if frame.prompt is None else frame.prompt.uv
    return size_for(width, height, uv, in_halves=in_halves)


def size_of_image(frame: Frame) -> tuple[int, int]:
    """Return the largest size for a frame, whatever its points: an exported file has one."""
    height, width = frame.image.shape[:2]
    return fine_size(width, height)


class CompactTeacherAdapter(Adapter):
    """The network sees the guess, the points, the image and where its rays point.

    Parameters
    ----------
    size_of
        Returns the (width, height) of the fine image for a frame: for each by itself, or its
        answer would depend on its company.
    """

    needs_prompt = True

    def __init__(self, size_of: Callable[[Frame], tuple[int, int]] = size_of_points) -> None:
        self.size_of = size_of

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Complete frames of one fine size classically; one without a prompt is blank."""
        size = self.size_of(frames[0])
        prepared = [_prepared(frame, size) for frame in frames]
        return Batch(
            image_tensor(frames),
            None,
            {
                'inputs': _together([_channels_last(p.inputs) for p in prepared]),
                'guess': _together([torch.from_numpy(p.guess) for p in prepared]),
                'unit_m': torch.tensor([p.unit_m for p in prepared]),
            },
        )

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run at the one resolution that the inputs have."""
        answer = CompactAnswer(*network(batch.prompts['inputs'], batch.prompts['guess']))
        maps = {name: tensor[:, 0] for name, tensor in answer._asdict().items()}
        return {**maps, 'unit_m': batch.prompts['unit_m']}

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return depth through the points; all NaN without any, for nothing tells the scale."""
        shape = frame.image.shape[0], frame.image.shape[1]
        if frame.prompt is None or not has_prompt(frame):
            return Answer(np.full(shape, np.nan, np.float32), note='no prompt')
        log_width = outputs['log_width']
        depth = depth_of(
            outputs['log_depth'], log_width, frame.prompt, float(outputs['unit_m']), frame.image
        )
        return Answer(depth, confidence=confidence_of(log_width, outputs['sky'], shape))


def _channels_last(maps: NDArray[np.float32]) -> Tensor:
    """Return (C, h, w) in the order in which convolutions read it; faster here than in torch."""
    channels, h, w = maps.shape
    places = cv2.transpose(maps.reshape(channels, h * w)).reshape(h, w, channels)
    return torch.from_numpy(places).permute(2, 0, 1)


def _together(tensors: Sequence[Tensor]) -> Tensor:
    """Return (B, ...); one alone is not copied."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]


def _prepared(frame: Frame, size: tuple[int, int]) -> CompactInput:
    if frame.prompt is not None and has_prompt(frame):
        return compact_input(frame.image, frame.prompt, frame.camera, size)
    width, height = size
    blank = np.zeros((len(CHANNELS), height // 2, width // 2), np.float32)
    return CompactInput(blank, np.zeros((1, height, width), np.float32), 1.0)
