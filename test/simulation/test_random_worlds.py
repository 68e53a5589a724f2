# SPDX-License-Identifier: Apache-2.0
"""Random views: reproducible, varied, worth looking at."""

import numpy as np
import pytest
import torch
from stacked_worlds import stack_worlds

from metric_depth_ros.simulation.camera import render
from metric_depth_ros.simulation.photography import expose_randomly
from metric_depth_ros.simulation.worlds import KINDS, random_view

SIZE = (96, 64)


def look(spec):
    place = torch.from_numpy(spec.T_world_camera.astype(np.float32))[None]
    return render(spec.world, spec.camera, place)


def view_of(seed, kind=None, split='train', size=SIZE):
    return random_view(np.random.default_rng(seed), size, kind, split)


@pytest.mark.parametrize('split', ['train', 'validation'])
@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_has_depth_and_a_picture(kind, split):
    for seed in range(3):
        spec = view_of(seed, kind, split)
        view = look(spec)
        image = expose_randomly(view.radiance[0], np.random.default_rng(seed), spec.noise)
        depth = view.depth[0].numpy()
        assert spec.kind == kind
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert image.dtype == np.uint8
        assert not np.isnan(depth).any()
        assert np.isfinite(depth).mean() > 0.2
        assert depth.min() > 0.05
        assert torch.isfinite(view.radiance).all()


def test_the_same_seed_gives_the_same_view():
    first, again = view_of(5), view_of(5)
    assert first.kind == again.kind
    assert first.camera == again.camera
    torch.testing.assert_close(look(first).depth, look(again).depth, rtol=0.0, atol=0.0)
    pictures = [
        expose_randomly(look(spec).radiance[0], np.random.default_rng(1), spec.noise)
        for spec in (first, again)
    ]
    np.testing.assert_array_equal(*pictures)


def test_sizes_and_fields_of_view_vary_within_bounds():
    cameras = [random_view(np.random.default_rng(s), kind='clutter').camera for s in range(30)]
    pixels = [c.width * c.height for c in cameras]
    assert min(pixels) > 0.9 * 256 * 192
    assert max(pixels) < 1.1 * 320 * 240
    assert all(1.1 < c.width / c.height < 3.6 for c in cameras)
    assert all(5.0 < c.fov_x_deg < 131.0 for c in cameras)  # windows are narrow
    assert np.ptp([c.fov_x_deg for c in cameras]) > 40.0


def test_validation_draws_other_patterns_than_training():
    def patterns(split):
        return {
            int(p)
            for seed in range(6)
            for p in view_of(seed, 'clutter', split).world.materials.pattern[0]
        }

    assert patterns('train') - patterns('validation') - {0}
    assert patterns('validation') - patterns('train')


def test_a_batch_of_random_worlds_equals_each_alone():
    specs = [view_of(seed, 'room') for seed in (1, 2)]
    cameras = [s.camera for s in specs]
    places = [torch.from_numpy(s.T_world_camera.astype(np.float32)) for s in specs]
    together = render(stack_worlds([s.world for s in specs]), cameras, torch.stack(places))
    for i, spec in enumerate(specs):
        alone = render(spec.world, spec.camera, places[i][None])
        close = torch.isclose(together.depth[i], alone.depth[0], rtol=1e-3)
        assert close.float().mean() > 0.999
        light = (together.radiance[i] - alone.radiance[0]).abs().amax(-1)
        assert (light < 0.02).float().mean() > 0.99
