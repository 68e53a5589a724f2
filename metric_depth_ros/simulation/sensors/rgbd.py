# SPDX-License-Identifier: Apache-2.0
"""A structured-light depth camera, registered to the color camera. torch only.

Depth is lost where the projector does not shine, at edges, at grazing angles, on shiny surfaces
and out of range; what is left carries noise and the steps of the disparity that it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.camera import View, camera_rays
from metric_depth_ros.simulation.raycast import blocked
from metric_depth_ros.simulation.world import World


@dataclass(frozen=True)
class DepthCameraModel:
    """A structured-light depth camera.

    Parameters
    ----------
    focal_px
        Focal length of the sensor's own infrared camera.
    baseline_m
        Projector to the right of the camera by this much.
    disparity_step_px
        Disparity is known in steps of this size.
    disparity_noise_px
        One standard deviation of disparity.
    min_depth_m, max_depth_m
        Range.
    edge_loss
        Share of the pixels next to a depth edge that are lost.
    """

    focal_px: float = 580.0
    baseline_m: float = 0.075
    disparity_step_px: float = 0.125
    disparity_noise_px: float = 0.08
    min_depth_m: float = 0.25
    max_depth_m: float = 6.0
    edge_loss: float = 0.7


def measure(
    world: World,
    model: DepthCameraModel,
    camera: CameraModel,
    T_world_camera: Tensor,
    view: View,
    generator: torch.Generator,
) -> Tensor:
    """Return the (B, H, W) float32 depth in meters that the sensor reports, NaN in its holes.

    Parameters
    ----------
    world
        B worlds.
    model
        The sensor.
    camera, T_world_camera
        The color camera that it is registered to, and its (B, 4, 4) places.
    view
        What that camera sees there.
    generator
        Source of the noise, on the CPU.
    """
    shape = view.depth.shape
    scale = model.focal_px * model.baseline_m
    noise = _patchy_noise(shape, generator).to(world.device)
    chance = torch.rand(shape, generator=generator).to(world.device)
    disparity = scale / view.depth + model.disparity_noise_px * noise
    step = model.disparity_step_px
    depth = scale / ((disparity / step).round() * step).clamp(min=step)
    lost = _edges(view.depth) & (chance < model.edge_loss)
    lost |= (depth < model.min_depth_m) | (depth > model.max_depth_m) | ~view.depth.isfinite()
    lost |= _weak_return(world, camera, T_world_camera, view) > 0.35 + chance
    lost |= _projector_shadow(world, model, camera, T_world_camera, view)
    return torch.where(lost, torch.nan, depth)


def _patchy_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Return unit noise that is alike over a few pixels, as block matching makes it."""
    fine = torch.randn(shape, generator=generator)[:, None]
    soft = torch.nn.functional.avg_pool2d(fine, 3, stride=1, padding=1)
    return (soft / soft.std())[:, 0]


def _edges(depth: Tensor) -> Tensor:
    """Tell which pixels lie next to a step in depth."""
    finite = torch.where(depth.isfinite(), depth, 1e3)[:, None]
    farthest = torch.nn.functional.max_pool2d(finite, 5, stride=1, padding=2)
    nearest = -torch.nn.functional.max_pool2d(-finite, 5, stride=1, padding=2)
    return (farthest > 1.05 * nearest + 0.02)[:, 0] & (farthest > 1.08 * nearest)[:, 0]


def _weak_return(world: World, camera: CameraModel, T_world_camera: Tensor, view: View) -> Tensor:
    """Return how little of the pattern comes back, 0 to 1.2: grazing angles and mirrors."""
    rays = torch.nn.functional.normalize(camera_rays(camera, world.device), dim=-1)
    directions = rays @ T_world_camera[:, :3, :3].transpose(-1, -2)
    incidence = (directions * view.hits.normal).sum(-1).abs()
    batch = torch.arange(len(incidence), device=world.device)[:, None]
    gloss = world.materials.gloss[batch, view.hits.material.clamp(min=0)]
    grazing = (1.0 - incidence / 0.3).clamp(min=0.0)
    highlight = gloss * ((incidence - 0.97) / 0.03).clamp(0.0, 1.0)  # the projector's mirror image
    return (grazing + highlight + 0.35 * gloss**2).reshape(view.depth.shape)


def _projector_shadow(
    world: World,
    model: DepthCameraModel,
    camera: CameraModel,
    T_world_camera: Tensor,
    view: View,
) -> Tensor:
    """Tell where the camera sees surfaces that the projector does not reach."""
    rays = camera_rays(camera, world.device)
    rotation, place = T_world_camera[:, :3, :3], T_world_camera[:, None, :3, 3]
    directions = rays @ rotation.transpose(-1, -2)
    depth = view.depth.reshape(len(directions), -1)
    point = place + directions * torch.where(depth.isfinite(), depth, 0.0)[..., None]
    start = point + 2e-3 * view.hits.normal
    projector = place + model.baseline_m * rotation[:, None, :, 0]
    return blocked(world, start, projector - start, 1.0).reshape(view.depth.shape)
