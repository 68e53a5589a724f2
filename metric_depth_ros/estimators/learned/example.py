# SPDX-License-Identifier: Apache-2.0
"""Every network with an input to try it on: for exporting and measuring, not for estimating."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.compact_student import CompactStudentAdapter
from metric_depth_ros.estimators.learned.compact_teacher import (
    CompactTeacherAdapter,
    size_of_image,
)
from metric_depth_ros.estimators.learned.depth_pro import DepthProAdapter
from metric_depth_ros.estimators.learned.estimator import Adapter, centered_pinhole
from metric_depth_ros.estimators.learned.lingbot_depth import LingBotDepthAdapter
from metric_depth_ros.estimators.learned.student_depthmap import StudentDepthMapAdapter
from metric_depth_ros.estimators.learned.student_pointmap import StudentPointMapAdapter
from metric_depth_ros.estimators.learned.teacher import TeacherAdapter
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.estimators.runtime.runner import Infer
from metric_depth_ros.networks.compact_student import CompactStudentConfig
from metric_depth_ros.types import Frame, Source, SparsePrompt

_POINTS_PER_PIXEL = 0.04
_UNIT_M = 10.0

INFER: Mapping[str, Infer] = {
    'compact_teacher': CompactTeacherAdapter().infer,
    'compact_student': CompactStudentAdapter(CompactStudentConfig().canvas_px).infer,
    'student_depthmap': StudentDepthMapAdapter().infer,
    'student_pointmap': StudentPointMapAdapter().infer,
    'lingbot_depth': LingBotDepthAdapter().infer,
    'depth_pro': DepthProAdapter().infer,
    # Its prior makes the prompt, which stands in the batch here.
    'teacher': TeacherAdapter(NearestFill(), torch.device('cpu')).infer,
}

# Their input is made of frames, at a size of its own.
_FROM_FRAMES: Mapping[str, Callable[[nn.Module, float], Adapter]] = {
    'compact_teacher': lambda network, scale: CompactTeacherAdapter(size_of_image),
    'compact_student': CompactStudentAdapter.of,
}


def network_batch(
    name: str,
    network: nn.Module,
    size: tuple[int, int],
    *,
    images: int = 1,
    scale: float = 1.0,
    camera: bool = True,
) -> Batch:
    """Return what one network is given for images of a size.

    Parameters
    ----------
    name
        Key of `INFER`.
    network
        The network of that name.
    size
        (width, height) of the images in pixels.
    images
        How many.
    scale
        Multiple of the network's usual number of tokens.
    camera
        Whether the focal length is known.
    """
    if name not in _FROM_FRAMES:
        return example_batch(*size, images, camera=camera)
    frames = [_example_frame(size, seed) for seed in range(images)]
    return _FROM_FRAMES[name](network, scale).batch(frames)


def example_depth(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return (B, H, W) depth of a network's outputs, in a unit of the network's own."""
    if 'log_depth' in outputs:
        return outputs['log_depth'].exp()
    if 'log_inverse' in outputs:
        return (-outputs['log_inverse']).exp()
    return outputs['depth']


def _example_frame(size: tuple[int, int], seed: int) -> Frame:
    """Return noise with random points in it."""
    width, height = size
    rng = np.random.default_rng(seed)
    count = max(1, round(_POINTS_PER_PIXEL * width * height))
    uv = rng.uniform((0, 0), (width - 1, height - 1), (count, 2)).astype(np.float32)
    depth = rng.uniform(1.0, 21.0, count).astype(np.float32)
    prompt = SparsePrompt(uv, depth, 0.01 * depth, np.full(count, Source.LIDAR, np.uint8))
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Frame(0, '', image, centered_pinhole(width, height, 0.8 * width), prompt)


def example_batch(width: int, height: int, images: int = 1, *, camera: bool = True) -> Batch:
    """Return noise for images, and random sparse depth under the names of all networks.

    Parameters
    ----------
    width, height
        Size of the images in pixels.
    images
        How many.
    camera
        Whether the focal length is known.
    """
    rng = torch.Generator().manual_seed(5)
    size = (images, height, width)
    points = torch.rand(size, generator=rng) < _POINTS_PER_PIXEL
    depth = 1.0 + 20.0 * torch.rand(size, generator=rng)
    aligned = _UNIT_M / depth
    return Batch(
        torch.randint(0, 256, (images, 3, height, width), dtype=torch.uint8, generator=rng),
        torch.full((images,), 0.8 * width) if camera else None,
        {
            'depth': depth.where(points, torch.nan),
            'prompt': torch.stack([aligned, aligned, points.float()], dim=1),
            'unit_m': torch.full((images,), _UNIT_M),
        },
    )
