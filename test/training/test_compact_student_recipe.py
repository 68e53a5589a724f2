# SPDX-License-Identifier: Apache-2.0
"""The recipe of the compact student: its losses, its examples, and that it learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import example

from metric_depth_ros.errors import InputError
from metric_depth_ros.training.losses import FARTHEST_M, QUANTITIES, STUDENT_WEIGHTS, student_loss
from metric_depth_ros.training.recipes import compact_student, create_recipe
from metric_depth_ros.training.recipes.compact_student import limited
from metric_depth_ros.training.views import recolored

NETWORK = {'width': 16, 'blocks': 4, 'expansion': 2, 'taps': [0, 1, 2, 3], 'decoder_width': 8}
SIZE = 64, 64


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(**options):
    return create_recipe('compact_student', NETWORK, {'sizes': [[64, 64]], **options}, 'here')


def prepared(made, seed=0, augment=False, size=SIZE):
    rng = np.random.default_rng(seed)
    return made.prepare(example(seed), size, rng, real=False, augment=augment)


def built(made, seed=0):
    torch.manual_seed(seed)
    return made.build()


class _Answering(torch.nn.Module):
    """Answers a depth by the true focal length, one everywhere or (B, 1, H, W)."""

    def __init__(self, depth, batch):
        super().__init__()
        self.depth, self.batch = torch.as_tensor(depth), batch

    def forward(self, images):
        b, _, h, w = images.shape
        log_inverse = self.batch['log_focal'].view(b, 1, 1, 1) - self.depth.log()
        nothing = torch.zeros(b, 1, h, w)
        return log_inverse.expand(b, 1, h, w), nothing, nothing, torch.zeros(b)


def test_a_bare_wall_teaches_nothing_but_is_validated_with():
    wall = replace(example(1), depth=np.full_like(example(1).depth, 3.0))
    rng = np.random.default_rng(0)

    assert recipe().prepare(wall, SIZE, rng, real=False, augment=True) is None
    assert recipe().prepare(wall, None, rng, real=False, augment=False) is not None
    assert recipe(least_relief=1.0).prepare(wall, SIZE, rng, real=False, augment=True) is not None


@pytest.mark.parametrize('share', ['restyled_share', 'painted_share'])
def test_as_many_surfaces_are_changed_as_told(share, monkeypatch):
    # Or what is drawn for the colors, after other random numbers, would change the image.
    monkeypatch.setattr(compact_student, 'recolored', lambda image, rng: image)

    def image(seed, value, augment=True):
        made = recipe(least_relief=1.0, longest_focal=1e6, **{share: value})
        return prepared(made, seed, augment).arrays['images']

    def changed(value, augment=True):
        return [(image(s, value, augment) != image(s, 0.0, augment)).any() for s in range(12)]

    assert 0 < sum(changed(0.5)) < sum(changed(1.0))  # paint may be nothing at all
    assert sum(changed(1.0)) > 6
    assert not any(changed(1.0, augment=False))  # never of a validation


def test_a_narrow_view_teaches_nothing():
    rng = np.random.default_rng(0)

    narrow = recipe(longest_focal=0.1).prepare(example(1), SIZE, rng, real=False, augment=True)

    assert narrow is None


def test_training_reduces_the_loss_on_two_images():
    made = recipe()
    network = built(made)
    batch = made.collate([prepared(made, seed, size=(64, 32)) for seed in (1, 2)])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(31):
        losses.append(made.losses(network, batch))
        optimizer.zero_grad()
        losses[-1]['loss'].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    for part in ('loss', 'error', 'gradient', 'focal', 'sky'):
        assert losses[-1][part] < 0.5 * losses[0][part]


def test_the_error_is_the_distance_balanced_loss_of_the_students():
    made = recipe()
    batch = made.collate([prepared(made, seed) for seed in (1, 2)])
    truth = batch['depth']
    mask = truth.isfinite()

    parts = made.losses(_Answering(3.0, batch), batch)

    expected = student_loss(torch.full_like(truth, 3.0), truth, mask).mean()
    error, gradient = STUDENT_WEIGHTS
    assert error * parts['error'] + gradient * parts['gradient'] == pytest.approx(
        float(expected), rel=1e-4
    )


@pytest.mark.parametrize('quantity', QUANTITIES)
def test_every_quantity_is_right_where_the_depth_is(quantity):
    made = recipe(quantity=quantity)
    flat = replace(example(0), depth=np.full((64, 96), 5.0, np.float32))
    batch = made.collate(
        [made.prepare(flat, SIZE, np.random.default_rng(0), real=False, augment=False)]
    )

    right, wrong = (made.losses(_Answering(d, batch), batch)['error'] for d in (5.0, 6.0))

    assert right < 1e-5 < 1e-3 < wrong


def test_the_shape_of_a_scene_does_not_depend_on_its_scale():
    made = recipe()
    batch = made.collate([prepared(made, seed) for seed in (1, 2)])
    log_truth = batch['depth'].where(batch['depth'].isfinite(), 1.0).log()[:, None]

    near, far, right = (
        made.losses(_Answering(depth, batch), batch)['shape']
        for depth in (1.0, 9.0, log_truth.exp())
    )

    assert near == pytest.approx(float(far), rel=1e-5)
    assert right < 1e-5 < 0.05 < near


@pytest.mark.parametrize('quantity', QUANTITIES)
def test_a_pixel_taken_for_endless_is_called_back(quantity):
    log_depth = torch.tensor([math.log(50.0 * FARTHEST_M)], requires_grad=True)

    (QUANTITIES[quantity](limited(log_depth).exp()) - 0.1).abs().sum().backward()

    assert log_depth.grad.abs() > 0


def test_the_likelihood_moves_the_width_alone():
    made = recipe(
        error_weight=0.0, gradient_weight=0.0, focal_weight=0.0, sky_weight=0.0, width_weight=1.0
    )
    network = built(made)
    made.losses(network, made.collate([prepared(made)]))['loss'].backward()

    gradient = network.head[-1].weight.grad.abs().sum((1, 2, 3))
    assert gradient[1] > 0.0
    assert gradient[0] == gradient[2] == 0.0


def test_the_focal_length_is_told_in_widths_of_the_window():
    made = recipe()
    whole = prepared(made, size=None)
    assert whole.arrays['log_focal'] == pytest.approx(math.log(80.0 / 96.0), abs=1e-6)

    window = prepared(made)
    camera = window.example.camera
    assert window.arrays['log_focal'] == pytest.approx(math.log(camera.K[0, 0] / 64), abs=1e-6)


def test_an_example_larger_than_the_canvas_is_scaled_down():
    made = create_recipe('compact_student', {**NETWORK, 'canvas_px': 64 * 32}, {}, 'here')

    arrays = prepared(made, size=None).arrays

    assert arrays['images'].shape == (3, 32, 64)
    assert arrays['depth'].shape == (32, 64)
    assert arrays['images'].dtype == np.uint8


def test_an_example_of_sky_alone_teaches_nothing():
    made = recipe()
    endless = replace(example(0), depth=np.full((64, 96), np.inf, np.float32))

    rng = np.random.default_rng(0)
    assert made.prepare(endless, SIZE, rng, real=False, augment=True) is None


def test_predicted_depth_is_metric_by_the_true_focal_length():
    made = recipe()
    batch = made.collate([prepared(made, seed) for seed in (1, 2)])

    for depth in made.predict(_Answering(7.0, batch), batch):
        np.testing.assert_allclose(depth, np.full((64, 64), 7.0), rtol=1e-5)


def test_recoloring_keeps_the_order_of_levels_and_changes_them():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)

    changed = recolored(ramp, np.random.default_rng(1)).astype(int)

    assert (np.diff(changed, axis=1) >= 0).all()
    assert np.abs(changed - ramp).max() > 3


@pytest.mark.parametrize(
    ('network', 'options', 'words'),
    [
        ({'skips': 'none'}, {}, 'here: network.*inverted, unet'),
        ({'taps': [0, 1]}, {}, 'network: taps'),
        ({}, {'quantity': 'disparity'}, 'quantity is .disparity.'),
        ({}, {'sizes': [[100, 64]]}, 'multiples of 32'),
        ({}, {'sky_weight': -1}, 'sky_weight'),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_name(network, options, words):
    with pytest.raises(InputError, match=words):
        create_recipe('compact_student', {**NETWORK, **network}, options, 'here')
