# SPDX-License-Identifier: Apache-2.0
"""Every network with an input to try it on: for exporting and measuring, not for estimating."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from metric_depth_ros.estimators.learned.depth_pro import DepthProAdapter
from metric_depth_ros.estimators.learned.lingbot_depth import LingBotDepthAdapter
from metric_depth_ros.estimators.learned.student_depthmap import StudentDepthMapAdapter
from metric_depth_ros.estimators.learned.student_pointmap import StudentPointMapAdapter
from metric_depth_ros.estimators.learned.teacher import TeacherAdapter
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.estimators.runtime.runner import Infer

_POINTS_PER_PIXEL = 0.04
_UNIT_M = 10.0

INFER: Mapping[str, Infer] = {
    'student_depthmap': StudentDepthMapAdapter().infer,
    'student_pointmap': StudentPointMapAdapter().infer,
    'lingbot_depth': LingBotDepthAdapter().infer,
    'depth_pro': DepthProAdapter().infer,
    # Its prior makes the prompt, which stands in the batch here.
    'teacher': TeacherAdapter(NearestFill(), torch.device('cpu')).infer,
}


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
