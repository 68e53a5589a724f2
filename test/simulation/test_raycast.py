# SPDX-License-Identifier: Apache-2.0
"""The ray caster against geometry that can be written down."""

import math
from dataclasses import replace

import pytest
import torch
from stacked_worlds import stack_worlds

from metric_depth_ros.simulation.camera import render
from metric_depth_ros.simulation.raycast import blocked, cast, narrowed
from metric_depth_ros.simulation.relief import ground_height
from metric_depth_ros.simulation.scene import camera_of
from metric_depth_ros.simulation.world import Light, WorldBuilder, rotation

ALONG_X = torch.tensor([[[1.0, 0.0, 0.0]]])


def light():
    return Light(
        position=torch.tensor([[0.0, 0.0, 1.0, 0.0]]),
        color=torch.ones(1, 3),
        ambient=torch.ones(1, 3),
        sky=torch.ones(1, 3),
        haze=torch.tensor([1e3]),
        shade=torch.ones(1),
    )


def builder():
    build = WorldBuilder()
    build.ground(build.material((0.5, 0.5, 0.5)))
    return build


def at(x, y, z):
    return torch.tensor([[[float(x), float(y), float(z)]]])


def test_depth_of_a_plane_is_its_distance_along_the_axis():
    build = builder()
    build.box((5.5, 0.0, 2.0), (1.0, 40.0, 40.0), 0)
    y, z = torch.meshgrid(torch.linspace(-1, 1, 9), torch.linspace(0, 1, 9), indexing='ij')
    rays = torch.stack((torch.ones_like(y), y, z), -1).reshape(1, -1, 3)
    hits = cast(build.build(light()), at(0, 0, 1).expand_as(rays), rays)
    torch.testing.assert_close(hits.distance, torch.full((1, 81), 5.0))
    torch.testing.assert_close(hits.normal, torch.tensor([-1.0, 0.0, 0.0]).expand(1, 81, 3))


def test_a_sphere_is_met_at_its_surface():
    build = builder()
    build.ellipsoid((10.0, 0.0, 5.0), (2.0, 2.0, 2.0), 0)
    hits = cast(build.build(light()), at(0, 1.2, 5.0), ALONG_X)
    assert hits.distance.item() == pytest.approx(10.0 - math.sqrt(4.0 - 1.44), abs=1e-5)


def test_an_ellipsoid_is_turned_and_stretched():
    build = builder()
    build.ellipsoid((10.0, 0.0, 5.0), (1.0, 3.0, 1.0), 0, rotation(math.pi / 2))
    hits = cast(build.build(light()), at(0, 0, 5.0), ALONG_X)
    assert hits.distance.item() == pytest.approx(7.0, abs=1e-5)


@pytest.mark.parametrize(('height', 'distance'), [(1.0, 4.5), (2.5, math.inf)])
def test_a_cylinder_ends_at_its_caps(height, distance):
    build = builder()
    build.cylinder((5.0, 0.0, 1.0), 0.5, 2.0, 0)
    hits = cast(build.build(light()), at(0, 0, height), ALONG_X)
    assert hits.distance.item() == pytest.approx(distance)


def test_a_cylinder_is_met_on_its_cap_from_above():
    build = builder()
    build.cylinder((5.0, 0.0, 1.0), 0.5, 2.0, 0)
    hits = cast(build.build(light()), at(5.2, 0, 6), torch.tensor([[[0.0, 0.0, -2.0]]]))
    assert hits.distance.item() == pytest.approx(2.0)
    torch.testing.assert_close(hits.normal, torch.tensor([[[0.0, 0.0, 1.0]]]))


def test_a_room_is_seen_from_inside():
    build = builder()
    build.box((0.0, 0.0, 1.0), (6.0, 6.0, 6.0), 0)
    hits = cast(build.build(light()), at(1, 0, 1), ALONG_X)
    assert hits.distance.item() == pytest.approx(2.0)
    torch.testing.assert_close(hits.normal, -ALONG_X)


def test_the_sky_is_infinitely_far():
    hits = cast(builder().build(light()), at(0, 0, 1), torch.tensor([[[1.0, 0.0, 0.1]]]))
    assert hits.distance.item() == math.inf
    assert not hits.found.item()


def test_rays_end_on_the_relief():
    build = WorldBuilder()
    waves = [(0.2, 11.0, 17.0, 0.3), (0.1, 23.0, 9.0, 2.0)]
    build.ground(build.material((0.5, 0.5, 0.5)), waves)
    world = build.build(light())
    yaw = torch.linspace(0.0, 6.0, 200)
    rays = torch.stack((yaw.cos(), yaw.sin(), torch.full_like(yaw, -0.2)), -1)[None]
    hits = cast(world, at(0, 0, 2).expand_as(rays), rays)
    point = at(0, 0, 2) + rays * hits.distance[..., None]
    height = ground_height(world.ground, point[..., 0], point[..., 1])
    torch.testing.assert_close(point[..., 2], height, atol=2e-3, rtol=0.0)


def test_rays_pass_through_no_crest_on_their_way():
    build = WorldBuilder()
    waves = [(0.5, 12.0, 1e9, 0.0), (0.4, 20.0, 21.0, 2.0), (1.5, 1e9, 75.0, 1.0)]
    build.ground(build.material((0.5, 0.5, 0.5)), waves)
    world = build.build(light())
    yaw = torch.linspace(0.0, 6.2, 60).repeat(6)
    pitch = torch.tensor([-0.02, 0.0, 0.02, 0.04, 0.08, 0.16]).repeat_interleave(60)
    rays = torch.stack((yaw.cos(), yaw.sin(), -pitch), -1)[None]
    origin = at(0, 0, 3.5)
    distance = cast(world, origin, rays).distance[0].clamp(max=250.0)
    assert (distance < 250.0).sum() > 200
    # A fine march, up to where each ray ends.
    along = torch.linspace(0.0, 1.0, 8000) * distance[:, None]
    point = origin[0] + rays[0, :, None] * along[..., None]
    clearance = point[..., 2] - ground_height(world.ground, point[..., 0], point[..., 1])
    passed_through = (-clearance).clamp(min=0.0) / along.clamp(min=1.0)
    assert passed_through.max() < 1e-3  # a pixel is more


def test_only_what_lies_before_the_limit_blocks():
    build = builder()
    build.box((5.0, 0.0, 1.0), (0.1, 4.0, 4.0), 0)
    world = build.build(light())
    assert blocked(world, at(0, 0, 1), 10.0 * ALONG_X, 1.0).item()
    assert not blocked(world, at(0, 0, 1), 4.0 * ALONG_X, 1.0).item()


def crowd(seed, solids):
    generator = torch.Generator().manual_seed(seed)
    build = builder()
    for i in range(solids):
        place = torch.rand(3, generator=generator) * torch.tensor([20.0, 20.0, 4.0])
        size = tuple((0.2 + torch.rand(3, generator=generator)).tolist())
        turn = rotation(i, 0.3 * i)
        [build.box, build.ellipsoid][i % 2](tuple(place.tolist()), size, 0, turn)
    return build.build(light())


def test_a_batch_of_worlds_of_different_size_equals_each_alone():
    worlds = [crowd(0, 5), crowd(1, 12)]
    rays = torch.randn(2, 2500, 3, generator=torch.Generator().manual_seed(2))
    origins = torch.tensor([[[10.0, 10.0, 2.0]]]).expand_as(rays)
    together = cast(stack_worlds(worlds), origins, rays)
    for i, world in enumerate(worlds):
        alone = cast(world, origins[i : i + 1], rays[i : i + 1])
        torch.testing.assert_close(together.distance[i], alone.distance[0], rtol=1e-4, atol=0.0)
        assert (together.material[i] == alone.material[0]).all()


def test_leaving_out_far_solids_changes_no_hit():
    world = crowd(3, 40)
    yaw = torch.linspace(-0.05, 0.05, 3000)
    rays = torch.stack((yaw.cos(), yaw.sin(), 0.1 * yaw), -1)[None]
    origins = at(-3, 9, 1.5).expand_as(rays)
    bundle = cast(world, origins, rays)
    # A ray to each side makes the bundle as wide as the world, so that nothing is left out.
    wide = torch.cat((rays, -rays), 1)
    everything = cast(world, torch.cat((origins, origins), 1), wide)
    torch.testing.assert_close(bundle.distance, everything.distance[:, :3000], rtol=1e-4, atol=0.0)


def test_rays_that_rise_end_on_a_hillside():
    build = WorldBuilder()
    build.ground(build.material((0.5, 0.5, 0.5)), [(5.0, 80.0, 1e9, 0.0)])
    world = build.build(light())
    origin = at(-20.0, 0.0, -4.0)  # in the valley
    rays = torch.tensor([[[1.0, 0.0, 0.02], [1.0, 0.1, 0.1], [1.0, 0.0, 0.8]]])
    hits = cast(world, origin, rays)
    assert hits.found.tolist() == [[True, True, False]]
    point = (origin + rays * hits.distance[..., None])[:, :2]
    height = ground_height(world.ground, point[..., 0], point[..., 1])
    torch.testing.assert_close(point[..., 2], height, atol=2e-3, rtol=0.0)


def test_an_origin_or_a_direction_that_all_rays_share_may_be_given_once():
    world = crowd(5, 30)
    rays = torch.randn(1, 700, 3, generator=torch.Generator().manual_seed(6))
    origin = at(10, 10, 2)
    once, each = cast(world, origin, rays), cast(world, origin + torch.zeros_like(rays), rays)
    torch.testing.assert_close(once.distance, each.distance, rtol=1e-4, atol=0.0)
    origins, direction = 10.0 * rays, torch.tensor([[[0.3, 0.2, 1.0]]])
    once, each = (blocked(world, origins, d, 50.0) for d in (direction, direction + 0.0 * rays))
    assert (once == each).all()
    assert once.any()


def test_a_narrowed_world_looks_the_same_to_the_rays_it_was_narrowed_to():
    world = crowd(7, 60)
    yaw, rise = torch.meshgrid(
        torch.linspace(-0.3, 0.3, 40), torch.linspace(-0.2, 0.2, 30), indexing='ij'
    )
    rays = torch.stack((yaw.cos(), yaw.sin(), rise), -1).reshape(1, -1, 3)
    origin = at(-6, 9, 1.5)
    small = narrowed(world, origin[0, 0], rays[0], near_m=0.0, finest=0.0)
    assert small.boxes.material.shape[1] < world.boxes.material.shape[1]
    torch.testing.assert_close(
        cast(small, origin, rays).distance, cast(world, origin, rays).distance
    )


def test_shadows_may_be_soft_or_none():
    def darkest(shade):
        build = builder()
        build.box((6.0, 0.0, 3.0), (2.0, 2.0, 0.2), 0)
        world = build.build(replace(light(), shade=torch.tensor([shade])))
        looking_down = torch.tensor(
            [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.5], [0, 0, 0, 1.0]]
        )
        view = render(world, camera_of(32, 24, 40.0), looking_down[None])
        return float(view.radiance[0, 14:].min())

    none, half, full = darkest(0.0), darkest(0.5), darkest(1.0)
    assert full < half - 0.05 < none - 0.1
