# SPDX-License-Identifier: Apache-2.0
"""The color camera: rays of a `CameraModel`, light that reaches it, and its imperfect sensor.

May import geometry. Ground-truth depth comes from the very rays that make the image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.raycast import Hits, blocked, cast
from metric_depth_ros.simulation.textures import albedo, layered_noise
from metric_depth_ros.simulation.world import World

_LAMP_REFERENCE_M = 2.0
_SHADOW_LIFT = 2e-3
_TILE_PX = 32


@dataclass(frozen=True)
class CameraNoise:
    """What the sensor adds: blur in pixels, noise of a mid-gray pixel in 8-bit steps."""

    blur_px: float = 0.55
    noise_steps: float = 2.0
    vignette: float = 0.15


@dataclass(frozen=True, eq=False)
class View:
    """What a camera sees from one place, without the faults of its sensor.

    Parameters
    ----------
    radiance
        (B, H, W, 3) linear RGB.
    depth
        (B, H, W) float32 meters along the optical axis; +Inf where the sky is.
    hits
        The rays' ends, (B, H * W) each.
    """

    radiance: Tensor
    depth: Tensor
    hits: Hits


def camera_rays(camera: CameraModel, device: torch.device | str = 'cpu') -> Tensor:
    """Return the (H * W, 3) directions (x, y, 1) of all pixels in the optical frame."""
    v, u = np.mgrid[: camera.height, : camera.width]
    xy = camera.pixel_to_normalized(np.stack((u, v), -1).astype(np.float64)).reshape(-1, 2)
    rays = np.concatenate((xy, np.ones((len(xy), 1))), -1).astype(np.float32)
    return torch.from_numpy(rays).to(device)


def render(world: World, camera: CameraModel, T_world_camera: Tensor) -> View:
    """Look at the worlds.

    Parameters
    ----------
    world
        B worlds.
    camera
        One camera for all of them.
    T_world_camera
        (B, 4, 4) float32 places of its optical frame.
    """
    order = _tile_order(camera.width, camera.height).to(world.device)
    rays = camera_rays(camera, world.device)[order]
    directions = rays @ T_world_camera[:, :3, :3].transpose(-1, -2)
    origins = T_world_camera[:, None, :3, 3].expand_as(directions)
    hits = cast(world, origins, directions)
    pixel_angle = 1.0 / float(camera.K[0, 0])
    radiance = _shade(world, hits, origins, directions, pixel_angle)
    shape = (len(directions), camera.height, camera.width)
    back = order.argsort()
    hits = Hits(*(getattr(hits, f.name)[:, back] for f in fields(Hits)))
    return View(radiance[:, back].reshape(*shape, 3), hits.distance.reshape(shape), hits)


def _tile_order(width: int, height: int) -> Tensor:
    """Return the pixels tile by tile: rays that follow each other are a narrow bundle."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    tile = (v // _TILE_PX) * width + u // _TILE_PX
    return tile.reshape(-1).argsort(stable=True)


def expose(radiance: Tensor, noise: CameraNoise, generator: torch.Generator) -> NDArray[np.uint8]:
    """Return what the sensor makes of the light, (B, H, W, 3) uint8 sRGB."""
    light = _blur(radiance, noise.blur_px)
    height, width = light.shape[1:3]
    v = torch.linspace(-1.0, 1.0, height, device=light.device)[:, None]
    u = torch.linspace(-1.0, 1.0, width, device=light.device)
    light = light * (1.0 - noise.vignette * 0.5 * (u * u + v * v))[..., None]
    filmic = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    srgb = filmic.clamp(0.0, 1.0) ** (1.0 / 2.2) * 255.0
    grain = torch.randn(srgb.shape, generator=generator).to(srgb.device)
    # Photon noise: bright pixels vary more, and the tone curve evens most of it out again.
    srgb = srgb + grain * noise.noise_steps * (0.6 + 0.4 * srgb / 128.0)
    return srgb.round().clamp(0.0, 255.0).to(torch.uint8).cpu().numpy()


def _shade(
    world: World, hits: Hits, origins: Tensor, directions: Tensor, pixel_angle: float
) -> Tensor:
    """Return the (B, R, 3) light that comes along the rays."""
    light = world.light
    range_m = directions.norm(dim=-1)
    view = directions / range_m[..., None]
    distance = torch.where(hits.found, hits.distance, 0.0)
    point = origins + directions * distance[..., None]
    range_m = range_m * distance
    color = albedo(world, hits, distance * pixel_angle)
    lamp, toward = _direct_light(world, hits, point)
    facing = (hits.normal * toward).sum(-1).clamp(min=0.0)
    from_above = 0.65 + 0.35 * hits.normal[..., 2]
    lit = color * (lamp * facing[..., None] + light.ambient[:, None] * from_above[..., None])
    halfway = torch.nn.functional.normalize(toward - view, dim=-1)
    mirror = (halfway * hits.normal).sum(-1).clamp(min=0.0) ** 60.0
    batch = torch.arange(len(mirror), device=mirror.device)[:, None]
    gloss = world.materials.gloss[batch, hits.material.clamp(min=0)]
    reflected = view - 2.0 * (view * hits.normal).sum(-1, keepdim=True) * hits.normal
    around = _sky(world, reflected, clouds=False) * (0.3 * gloss)[..., None]
    lit = lit + lamp * (mirror * gloss)[..., None] + around * light.ambient[:, None]
    sky = _sky(world, view)
    haze = torch.exp(-range_m / light.haze[:, None])[..., None]
    return torch.where(hits.found[..., None], torch.lerp(light.sky[:, None], lit, haze), sky)


def _direct_light(world: World, hits: Hits, point: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lamp's light (B, R, 3) at points, zero in shadow, and unit vectors toward it."""
    position = world.light.position
    is_lamp = position[:, None, 3:]
    toward = position[:, None, :3] - is_lamp * point
    range_m = toward.norm(dim=-1, keepdim=True)
    unit = toward / range_m
    start = point + hits.normal * (_SHADOW_LIFT + 1e-4 * point.abs().amax(-1, keepdim=True))
    # A lamp shades only what lies between it and the point; the sun shades from anywhere.
    reach = torch.where(is_lamp > 0.0, range_m, 1e3)
    lit = hits.found & ((unit * hits.normal).sum(-1) > 0.0)
    shadow = _blocked_where(world, lit, start, unit * reach)
    fading = torch.where(is_lamp > 0.0, (_LAMP_REFERENCE_M / range_m) ** 2, 1.0)
    visible = (lit & ~shadow)[..., None]
    return world.light.color[:, None] * fading * visible, unit


def _blocked_where(world: World, wanted: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """Cast shadow rays only where they are wanted, while all worlds keep one count of rays."""
    count = int(wanted.sum(1).max())
    order = wanted.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
    index = order[..., None].expand(-1, -1, 3)
    shadow = blocked(world, origins.gather(1, index), directions.gather(1, index), 1.0)
    return torch.zeros_like(wanted).scatter(1, order, shadow)


def _sky(world: World, view: Tensor, clouds: bool = True) -> Tensor:
    """Return the (B, R, 3) light of the sky: pale at the horizon, blue above, some clouds."""
    light = world.light
    height = view[..., 2:].clamp(0.0, 1.0)
    blue = light.sky[:, None] * view.new_tensor([0.35, 0.55, 0.95])
    sky = torch.lerp(light.sky[:, None], blue, height.sqrt())
    if clouds:
        cover = layered_noise(view / (height + 0.15) * 2.0 + 5.0, 4)[..., None]
        sky = torch.lerp(sky, 1.2 * light.sky[:, None], (3.0 * cover - 1.5).clamp(0.0, 0.8))
    return sky


def _blur(image: Tensor, sigma_px: float) -> Tensor:
    offsets = torch.arange(-2, 3, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 5)
    planes = torch.nn.functional.pad(image.permute(0, 3, 1, 2), (2, 2, 2, 2), 'replicate')
    planes = torch.nn.functional.conv2d(planes, kernel, groups=3)
    planes = torch.nn.functional.conv2d(planes, kernel.transpose(-1, -2), groups=3)
    return planes.permute(0, 2, 3, 1)
