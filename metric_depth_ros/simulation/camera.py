# SPDX-License-Identifier: Apache-2.0
"""The color camera: rays of a `CameraModel` and the light that reaches it.

May import geometry. Ground-truth depth comes from the very rays that make the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.raycast import Hits, blocked, cast
from metric_depth_ros.simulation.textures import albedo, layered_noise
from metric_depth_ros.simulation.world import World

_LAMP_REFERENCE_M = 2.0
_SHADOW_LIFT = 2e-3
_BEFORE_POINT = 0.999
_SUN_REACH_M = 1e3
_LAST = 1 << 62
_HEAD_ON = 0.05  # what lacquer and glass mirror of light that meets them head-on
_TILE_PX = 16


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


def render(
    world: World, camera: CameraModel | Sequence[CameraModel], T_world_camera: Tensor
) -> View:
    """Look at the worlds.

    Parameters
    ----------
    world
        B worlds.
    camera
        One camera for all of them, or one each, all of one size.
    T_world_camera
        (B, 4, 4) float32 places of its optical frame.
    """
    cameras = (camera,) if isinstance(camera, CameraModel) else tuple(camera)
    width, height = cameras[0].size
    order = _tile_order(width, height).to(world.device)
    rays = torch.stack([camera_rays(c, world.device) for c in cameras])[:, order]
    directions = rays @ T_world_camera[:, :3, :3].transpose(-1, -2)
    origins = T_world_camera[:, None, :3, 3]
    hits = cast(world, origins, directions)
    pixel_angle = rays.new_tensor([[1.0 / float(c.K[0, 0])] for c in cameras])
    radiance = _shade(world, hits, origins, directions, pixel_angle)
    shape = (len(directions), height, width)
    back = order.argsort()
    hits = Hits(*(getattr(hits, f.name)[:, back] for f in fields(Hits)))
    return View(radiance[:, back].reshape(*shape, 3), hits.distance.reshape(shape), hits)


def _tile_order(width: int, height: int) -> Tensor:
    """Return the pixels tile by tile: rays that follow each other are a narrow bundle."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    tile = (v // _TILE_PX) * width + u // _TILE_PX
    return tile.reshape(-1).argsort(stable=True)


def _shade(
    world: World, hits: Hits, origins: Tensor, directions: Tensor, pixel_angle: Tensor
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
    lit = lit + lamp * (mirror * gloss)[..., None]
    lit = torch.lerp(lit, _surroundings(world, view, hits), _reflectance(gloss, view, hits))
    sky = _sky(world, view, clouds=~hits.found)
    haze = torch.exp(-range_m / light.haze[:, None])[..., None]
    return torch.where(hits.found[..., None], torch.lerp(light.sky[:, None], lit, haze), sky)


def _reflectance(gloss: Tensor, view: Tensor, hits: Hits) -> Tensor:
    """Return the (B, R, 1) share of the surroundings' light that surfaces mirror.

    At grazing view lacquer and glass are mirrors: the roof of a car is as bright as the sky.
    Source: Schlick, "An Inexpensive BRDF Model for Physically-based Rendering" (1994).
    """
    cosine = -(view * hits.normal).sum(-1)
    grazing = (1.0 - cosine.clamp(0.0, 1.0)) ** 5
    return (gloss * (_HEAD_ON + (1.0 - _HEAD_ON) * grazing))[..., None]


def _surroundings(world: World, view: Tensor, hits: Hits) -> Tensor:
    """Return the (B, R, 3) light that mirrors would show: the sky, or lit ground and walls."""
    light = world.light
    reflected = view - 2.0 * (view * hits.normal).sum(-1, keepdim=True) * hits.normal
    outdoors = light.position[:, None, 3:] == 0.0
    upward = outdoors & (reflected[..., 2:] > 0.0)
    return torch.where(upward, _sky(world, reflected), light.ambient[:, None])


def _direct_light(world: World, hits: Hits, point: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lamp's light (B, R, 3) at points, zero in shadow, and unit vectors toward it."""
    position = world.light.position
    is_lamp = position[:, None, 3:]
    toward = position[:, None, :3] - is_lamp * point
    range_m = toward.norm(dim=-1, keepdim=True)
    unit = toward / range_m
    start = point + hits.normal * (_SHADOW_LIFT + 1e-4 * point.abs().amax(-1, keepdim=True))
    lit = hits.found & ((unit * hits.normal).sum(-1) > 0.0)
    shade = world.light.shade[:, None]
    shadow = _shadow_where(world, lit & (shade > 0.0), start)
    fading = torch.where(is_lamp > 0.0, (_LAMP_REFERENCE_M / range_m) ** 2, 1.0)
    visible = (lit * (1.0 - shade * shadow))[..., None]
    return world.light.color[:, None] * fading * visible, unit


def _shadow_where(world: World, wanted: Tensor, points: Tensor) -> Tensor:
    """Cast shadow rays only where they are wanted, while all worlds keep one count of rays."""
    count = int(wanted.sum(1).max())
    if count == 0:
        return wanted
    position = world.light.position[:, None]
    order = torch.where(wanted, _seen_from_light(position, points), _LAST).argsort(1)[:, :count]
    points = points.gather(1, order[..., None].expand(-1, -1, 3))
    if bool((position[..., 3] > 0.0).all()):
        # From the lamp: what all rays share makes them fast.
        shadow = blocked(world, position[..., :3], points - position[..., :3], _BEFORE_POINT)
    elif bool((position[..., 3] == 0.0).all()):
        shadow = blocked(world, points, position[..., :3], _SUN_REACH_M)
    else:
        to_light = position[..., :3] - position[..., 3:] * points
        reach = torch.where(position[..., 3:] > 0.0, 1.0, _SUN_REACH_M)
        shadow = blocked(world, points, to_light * reach, 1.0)
    return torch.zeros_like(wanted).scatter(1, order, shadow)


def _seen_from_light(position: Tensor, points: Tensor) -> Tensor:
    """Return (B, R) keys by which points that neighbor each other in the light's view sort so.

    The key interleaves the bits of two coordinates (Z-order).
    """
    is_lamp = position[..., 3:]
    axis = torch.nn.functional.normalize(position[..., :3], dim=-1)
    helper = torch.where(axis[..., 2:].abs() < 0.9, *axis.new_tensor([[0.0, 0, 1], [1, 0, 0]]))
    right = torch.nn.functional.normalize(torch.linalg.cross(axis, helper), dim=-1)
    up = torch.linalg.cross(axis, right)
    from_sun = torch.stack(((points * right).sum(-1), (points * up).sum(-1)), -1)
    ray = points - position[..., :3]
    flat = ray / ray.abs().sum(-1, keepdim=True)
    from_lamp = flat[..., :2] + 3.0 * (flat[..., 2:] > 0.0)
    seen = torch.where(is_lamp > 0.0, from_lamp, from_sun)
    low, high = seen.amin(1, keepdim=True), seen.amax(1, keepdim=True)
    bits = ((seen - low) / (high - low).clamp(min=1e-6) * 32_767.0).long()
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | (bits << shift)) & mask
    return bits[..., 0] | (bits[..., 1] << 1)


def _sky(world: World, view: Tensor, clouds: Tensor | None = None) -> Tensor:
    """Return the (B, R, 3) light of the sky: pale at the horizon, blue above.

    `clouds` tells where some are, (B, R) bool.
    """
    light = world.light
    height = view[..., 2:].clamp(0.0, 1.0)
    blue = light.sky[:, None] * view.new_tensor([0.35, 0.55, 0.95])
    sky = torch.lerp(light.sky[:, None], blue, height.sqrt())
    if clouds is not None:
        b, r = clouds.nonzero(as_tuple=True)
        cover = layered_noise(view[b, r] / (height[b, r] + 0.15) * 2.0 + 5.0)[..., None]
        bright = 1.2 * light.sky[b]
        sky[b, r] = torch.lerp(sky[b, r], bright, (3.0 * cover - 1.5).clamp(0.0, 0.8))
    return sky
