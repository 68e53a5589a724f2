# SPDX-License-Identifier: Apache-2.0
"""The losses of point maps that are known up to scale and a shift of z. Torch only.

Functions take points (B, H, W, 3), x right, y down, z forward, the true ones finite also where
they are not valid, and a (B, H, W) bool mask of the valid pixels; they return (B,) values. An
image without a valid pixel has the loss 0.

Source: Wang et al., "MoGe" (CVPR 2025), section 3.2, and "MoGe-2"; constants that the papers leave
out are those of the reference code of MoGe-2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from metric_depth_ros.training.grid_samples import grid_samples
from metric_depth_ros.training.losses import masked_mean
from metric_depth_ros.training.point_alignment import XYZ_SHIFT, Z_SHIFT, align_points
from metric_depth_ros.training.point_patches import Anchors, patches_around

_NEAREST_ALIGNED_M, _NEAREST_M = 1e-2, 1e-5  # what is nearer weighs as these
_LARGEST_WEIGHT = 10.0  # in means: of a few points very near
_LEAST_SHARE = 0.1  # of the harmonic mean of z: what is nearer weighs as this in patches
_SCALES_APART = 10.0  # a patch that says more than this against the image is none
_ANGLES_RAD = math.radians(0.1), math.radians(90.0)  # what is compared of the angles of edges
_QUADRATIC_RAD = math.radians(3.0)
_NO_ANGLE = 1e-12
_SHORTEST_STEP = 1e-6  # relative to z: what is shorter has no direction, but a steep gradient


class GlobalLoss(NamedTuple):
    """`loss` (B,) and the `scale` (B,) of the alignment, without gradient, 0 where there is none.

    Where the true points are metric, so is the scale.
    """

    loss: Tensor
    scale: Tensor


def global_loss(points: Tensor, truth: Tensor, mask: Tensor, samples: int) -> GlobalLoss:
    """Return the mean absolute error of aligned points, relative to their true depth.

    Scale and shift of z are those of the least truncated error of a grid of samples.

    Parameters
    ----------
    samples
        A side of the grid.
    """
    grid = grid_samples(mask, samples)
    known = grid.of(truth)
    weight = grid.found / known[..., 2].clamp(min=_NEAREST_ALIGNED_M)
    fit = align_points(grid.of(points), known, weight, Z_SHIFT)
    counted = mask & (fit.scale > 0.0)[:, None, None]
    weight = truth[..., 2].clamp(min=_NEAREST_M).reciprocal()
    limit = _LARGEST_WEIGHT * masked_mean(weight, counted).nan_to_num()
    weight = torch.minimum(weight, limit[:, None, None])
    error = ((fit.apply(points) - truth).abs() * weight[..., None]).where(counted[..., None], 0.0)
    return GlobalLoss(error.mean(dim=(1, 2, 3)), fit.scale.detach().clamp(min=0.0))


def local_loss(
    points: Tensor,
    truth: Tensor,
    mask: Tensor,
    anchors: Anchors,
    *,
    extent: Tensor,
    scale: Tensor,
    level: int,
    samples: int,
) -> Tensor:
    """Return the mean over an image's patches of the error of points aligned patch by patch.

    A patch with too few points, or whose scale is far from that of its image, counts with 0.

    Parameters
    ----------
    anchors
        Of the patches, as many of each image.
    extent, level
        See `point_patches.ball_radius`.
    scale
        (B,) of `global_loss`.
    samples
        A side of the grid of samples that a patch is aligned by.
    """
    total = points.new_zeros(len(points))
    patches = patches_around(anchors, truth, mask, extent, level)
    if not len(patches.image):
        return total
    near, known = patches.of(points), patches.of(truth)
    grid = grid_samples(patches.mask, samples)
    weight = grid.found / (patches.radius[:, None] + 1e-7)
    fit = align_points(grid.of(near), grid.of(known), weight, XYZ_SHIFT)
    apart = fit.scale.detach() / scale[patches.image]
    agrees = (apart > 1.0 / _SCALES_APART) & (apart < _SCALES_APART)
    counted = patches.mask & agrees[:, None, None]
    harmonic = masked_mean((truth[..., 2] + 1e-7).reciprocal(), mask).nan_to_num(1.0).reciprocal()
    nearest = _LEAST_SHARE * harmonic[patches.image, None, None]
    weight = known[..., 2].maximum(nearest).reciprocal()
    error = ((fit.apply(near) - known).abs() * weight[..., None]).where(counted[..., None], 0.0)
    count = len(anchors.image) // len(points)
    return total.index_add(0, patches.image, error.mean(dim=(1, 2, 3)) / count)


def edge_loss(points: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the mean angle between the true and the predicted steps from pixel to pixel.

    Sharp edges and the directions of surfaces are in it, scale and shift are not.
    """
    total = points.new_zeros(len(points))
    for axis in (1, 2):
        size = points.shape[axis] - 1
        step, known = (
            values.narrow(axis, 0, size) - values.narrow(axis, 1, size)
            for values in (points, truth)
        )
        both = mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size)
        z = points.detach()[..., 2].narrow(axis, 0, size)
        both = both & (step.detach().norm(dim=-1) > _SHORTEST_STEP * z.abs())
        angle = _angle(step, known).clamp(*_ANGLES_RAD)
        quadratic = 0.5 * angle.square() / _QUADRATIC_RAD
        error = torch.where(angle < _QUADRATIC_RAD, quadratic, angle - 0.5 * _QUADRATIC_RAD)
        total = total + error.where(both, 0.0).mean(dim=(1, 2))
    return total / (2 * max(points.shape[1:3]))


def scale_loss(predicted: Tensor, fitted: Tensor) -> Tensor:
    """Return the square error of the logarithm of the metric scale.

    Parameters
    ----------
    predicted
        (B,) by the network.
    fitted
        (B,) of `global_loss`; one that is 0 counts with 0.
    """
    found = fitted > 0.0
    error = (predicted.log() - fitted.where(found, 1.0).log()).square()
    return error.where(found, 0.0)


def surface_loss(probability: Tensor, mask: Tensor, endless: Tensor) -> Tensor:
    """Return the mean cross entropy of the probability that there is a surface.

    Parameters
    ----------
    probability
        (B, H, W) of a surface.
    mask, endless
        (B, H, W) bool: surface, and none. What is neither is unknown and counts with 0.
    """
    error = binary_cross_entropy(probability, mask.to(probability.dtype), reduction='none')
    return error.where(mask | endless, 0.0).mean(dim=(1, 2))


def _angle(a: Tensor, b: Tensor) -> Tensor:
    across = torch.linalg.cross(a, b).norm(dim=-1)
    return torch.atan2(across + _NO_ANGLE, (a * b).sum(-1))
