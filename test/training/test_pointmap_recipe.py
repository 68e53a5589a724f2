# SPDX-License-Identifier: Apache-2.0
"""Training of Student-PointMap: its labels, what a step shares, resuming, what it writes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from official_weights import official_state
from safetensors.torch import load_file
from tiny_checkpoints import tiny_network
from tiny_training import example, write_config, write_shards

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.student_pointmap import StudentPointMap
from metric_depth_ros.training.batches import StepSampler
from metric_depth_ros.training.config import OptimizerConfig, SourceConfig, TrainingConfig
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.starting_weights import start_from
from metric_depth_ros.types import Frame

OPTIONS = {
    'view_px': [4_000, 6_144],
    'aspect': [1.2, 1.5],
    'samples': 8,
    'patches': [[4, 6, 6], [8, 6, 4]],
}
SIZE = (84, 60)


def shape(**changes):
    return {**tiny_network('student_pointmap')[1], **changes}


def recipe(**options):
    return create_recipe('pointmap', shape(), {**OPTIONS, **options}, 'test')


def prepared(made, seed=0, *, real=False, augment=True, of=None):
    seen = example(seed) if of is None else of
    return made.prepare(seen, SIZE, np.random.default_rng(seed), real=real, augment=augment)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.manual_seed(3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_views_of_a_step_have_the_areas_and_aspects_of_the_options():
    made = recipe()
    sizes = [made.view_size(np.random.default_rng(seed)) for seed in range(50)]
    area = np.array([width * height for width, height in sizes])
    aspect = np.array([width / height for width, height in sizes])
    assert 0.95 * 4_000 < area.min() < 4_500
    assert 5_700 < area.max() <= 6_144
    assert 1.15 < aspect.min() < 1.25 < 1.45 < aspect.max() < 1.55


def requests(process, processes, accumulate=1):
    config = TrainingConfig(
        'pointmap', (SourceConfig('x'),), OptimizerConfig(1e-3), 9, 4, accumulate=accumulate
    )
    sampler = iter(StepSampler(config, recipe(), 0, process, processes))
    return [next(sampler) for _ in range(8)]


def test_all_processes_and_passes_of_a_step_work_on_as_many_patches():
    one, first, second = requests(0, 1), requests(0, 2), requests(1, 2)
    tokens = [step[0].drawn['num_tokens'] for step in one]
    assert len(set(tokens)) > 3
    assert all(12 <= number <= 30 for number in tokens)
    for alone, a, b in zip(one, first, second, strict=True):
        assert {request.drawn['num_tokens'] for request in (*alone, *a, *b)} == {
            alone[0].drawn['num_tokens']
        }
    passes = requests(0, 1, accumulate=2)
    assert [step[0].drawn for step in passes[:2]] == [one[0][0].drawn] * 2


def test_the_network_works_on_the_patches_that_were_drawn():
    made = recipe()
    network = made.build()
    grids = []
    network.encoder.register_forward_pre_hook(lambda module, seen: grids.append(seen[1:]))
    batch = made.collate([prepared(made)])
    made.losses(network, batch)
    made.losses(network, {**batch, 'num_tokens': torch.tensor([12])})
    assert grids == [(5, 6), (3, 4)]


def test_the_loss_of_a_batch_is_the_mean_of_its_images_whatever_their_kind():
    """Else several processes, or passes, would not make the step of one."""
    made = recipe()
    network = tiny_network('student_pointmap')[0]
    views = [prepared(made, 0), prepared(made, 1, real=True), prepared(made, 2)]
    with torch.no_grad():
        alone = [made.losses(network, made.collate([view])) for view in views]
        together = made.losses(network, made.collate(views))
    assert all(value > 0 for value in together.values())
    for name, value in together.items():
        mean = sum(losses[name] for losses in alone) / 3
        torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-6)


def test_every_part_of_the_loss_falls_on_an_image_that_is_seen_again():
    made = recipe()
    network = tiny_network('student_pointmap')[0].train()
    batch = made.collate([prepared(made)])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        losses.append(made.losses(network, batch))
        losses[-1]['loss'].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(losses[-1][name] < losses[0][name] for name in losses[0])


def test_measured_depth_has_no_edges_and_only_the_largest_patches():
    made = recipe()
    network = tiny_network('student_pointmap')[0]  # shows a plane
    batch = made.collate([prepared(made)])
    with torch.no_grad():
        rendered, real = (
            made.losses(network, {**batch, 'real': torch.tensor([kind])}) for kind in (False, True)
        )
        largest = recipe(patches=OPTIONS['patches'][:1]).losses(network, batch)
    assert rendered['edge'] > 0
    assert real['edge'] == 0
    assert real['local'] == largest['local'] < rendered['local']
    assert real['global'] == rendered['global']


def test_depth_without_a_scale_teaches_all_but_the_scale():
    made = recipe()
    network = tiny_network('student_pointmap')[0]
    metric, unscaled = (
        made.losses(network, made.collate([prepared(made, of=replace(example(0), metric=known))]))
        for known in (True, False)
    )
    assert made.learns_without_scale
    assert metric['scale'] > 0
    assert unscaled['scale'] == 0
    assert all(unscaled[name] == metric[name] for name in ('global', 'local', 'edge', 'mask'))


def test_the_loss_is_the_sum_of_its_parts_by_their_weights():
    made = recipe(edge_weight=3.0, mask_weight=0.5)
    losses = made.losses(made.build(), made.collate([prepared(made)]))
    expected = (
        losses['global']
        + losses['local']
        + 3.0 * losses['edge']
        + 0.1 * losses['scale']
        + 0.5 * losses['mask']
    )
    torch.testing.assert_close(losses['loss'], expected)


class Shown(torch.nn.Module):
    """Answers with given maps."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, image, grid):
        return self.maps


def truthful(batch):
    """Return the maps of a network that knows the answer, up to scale and shift."""
    depth, K = batch['depth'][0], batch['K'][0]
    v, u = torch.meshgrid(*(torch.arange(side) for side in depth.shape), indexing='ij')
    z = torch.where(depth.isfinite(), depth, 50.0)
    points = torch.stack((z * (u - K[0, 2]) / K[0, 0], z * (v - K[1, 2]) / K[1, 1], z), dim=-1)
    surface = torch.where(depth.isposinf(), 1e-4, 1.0 - 1e-4)
    return {
        'points': (points / 3.0 - torch.tensor((0.0, 0.0, 0.2)))[None],
        'metric_scale': torch.tensor([3.0]),
        'mask': surface[None],
    }


def test_the_true_points_of_the_true_camera_cost_nothing():
    made = recipe()
    batch = made.collate([prepared(made)])
    assert batch['depth'].isposinf().any()
    losses = made.losses(Shown(truthful(batch)), batch)
    assert losses['global'] < 1e-5
    assert losses['local'] < 1e-4
    assert losses['scale'] < 1e-6
    assert losses['mask'] < 1e-3
    assert losses['edge'] < 1e-5
    (depth,) = made.predict(Shown(truthful(batch)), batch)
    known = np.isfinite(batch['depth'][0].numpy())
    np.testing.assert_allclose(depth[known], batch['depth'][0].numpy()[known], rtol=1e-2)


def test_training_in_bf16_leaves_the_decoders_exact():
    made = recipe()
    torch.manual_seed(0)
    network = made.build()
    kinds = []
    for part in (network.encoder, network.points_head, network.scale_head):
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.register_forward_hook(lambda _, __, answer: kinds.append(answer.dtype))
    with torch.autocast('cpu', torch.bfloat16):
        maps = network(torch.rand(1, 3, 42, 42), (3, 3))
    assert set(kinds) == {torch.bfloat16, torch.float32}  # the encoder's, and the others'
    assert kinds[-1] == torch.float32
    assert all(value.dtype == torch.float32 for value in maps.values())
    rounded = maps['points'].bfloat16().float()
    assert (rounded != maps['points']).any()


def test_unknown_depth_tells_nothing_of_the_mask():
    made = recipe()
    batch = made.collate([prepared(made)])
    unknown = {**batch, 'depth': batch['depth'].where(batch['depth'].isfinite(), torch.nan)}
    maps = truthful(batch)
    wrong = {**maps, 'mask': 1.0 - maps['mask']}
    known = batch['depth'].isfinite()
    maps['mask'] = maps['mask'].where(known, 0.5)
    assert made.losses(Shown(maps), batch)['mask'] > 1e-2
    assert made.losses(Shown(maps), unknown)['mask'] < 1e-3
    assert made.losses(Shown(wrong), unknown)['mask'] > 1.0


def test_depth_a_thousand_times_as_far_as_the_nearest_counts_as_that():
    near = example(0)
    near.depth[:] = 1.0
    near.depth[40:, 40:] = 5_000.0
    seen = prepared(recipe(), of=near).arrays['depth']
    assert seen.max() == pytest.approx(1_000.0, rel=0.2)


@pytest.mark.parametrize('blind', [np.nan, np.inf])
def test_example_without_depth_in_its_view_teaches_nothing(blind):
    seen = replace(example(0), depth=np.full((64, 96), blind, np.float32), sensors={})
    assert prepared(recipe(), of=seen) is None


def test_network_with_normals_is_refused():
    with_normals = shape(normal_head=shape()['points_head'])
    with pytest.raises(InputError, match='here: network: normal_head is given'):
        create_recipe('pointmap', with_normals, {}, 'here')


def test_training_begins_with_a_released_checkpoint_without_its_normals(tmp_path):
    with_normals = shape(normal_head=shape()['points_head'])
    given = StudentPointMap.from_model_config(with_normals)
    path = tmp_path / 'model.pt'
    torch.save({'model_config': with_normals, 'model': official_state(given)}, path)
    made = recipe()
    network = made.build()
    start_from(network, path, made.new_prefixes, made.backbone_prefixes, made.unused_prefixes)
    expected = {
        name: tensor
        for name, tensor in given.state_dict().items()
        if not name.startswith('normal_head.')
    }
    begun = network.state_dict()
    assert begun.keys() == expected.keys()
    assert all(torch.equal(begun[name], tensor) for name, tensor in expected.items())


EVERY = {'log': 1, 'validate': 0, 'checkpoint': 2, 'pictures': 0, 'keep': 9}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A whole training of four steps from a checkpoint: its configuration and its folder."""
    accelerate = pytest.importorskip('accelerate')
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp('pointmap')
    network, described = tiny_network('student_pointmap')
    begun = folder / 'begun.pt'
    torch.save({'model_config': described, 'model': official_state(network)}, begun)
    unseen = write_shards(folder / 'unseen', count=2, first=100)
    config = write_config(
        folder,
        recipe='pointmap',
        steps=4,
        network=described,
        options=OPTIONS,
        start_from=str(begun),
        validation=[{'path': str(unseen)}],
        every={**EVERY, 'validate': 4},
    )
    assert train(config, folder / 'out') == 0
    return config, folder / 'out'


def train(config, out, *more):
    command = ['train', 'pointmap', '--config', str(config), '--out', str(out), '--device', 'cpu']
    return main([*command, *more])


def journal(out, what):
    lines = map(json.loads, (out / 'metrics.jsonl').read_text().splitlines())
    return [line for line in lines if line['what'] == what]


def test_journal_has_the_parts_of_the_loss_and_figures_in_meters(finished):
    _, out = finished
    lines = journal(out, 'train')
    assert len(lines) == 4
    assert {'loss', 'global', 'local', 'edge', 'scale', 'mask'} <= lines[0].keys()
    (figures,) = journal(out, 'validation')
    assert 0 < figures['abs_rel'] < 1


def test_resumed_training_has_the_weights_of_an_uninterrupted_one(finished, tmp_path):
    config, whole = finished
    assert train(config, tmp_path, '--until', '2') == 0
    assert train(config, tmp_path, '--resume') == 0
    a, b = (
        load_file(out / 'checkpoints/step_00000004/network.safetensors')
        for out in (whole, tmp_path)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_accumulated_passes_make_the_same_step(finished, tmp_path):
    config, whole = finished
    changed = tmp_path / 'passes.yaml'
    changed.write_text(config.read_text() + 'accumulate: 2\n')
    assert train(changed, tmp_path / 'out') == 0
    for a, b in zip(journal(whole, 'train'), journal(tmp_path / 'out', 'train'), strict=True):
        assert b['loss'] == pytest.approx(a['loss'], abs=1e-4)


def test_what_was_trained_is_an_estimator_of_meters(finished):
    _, out = finished
    weights = f'student_pointmap={out / "weights.safetensors"}'
    options = EstimatorOptions(device='cpu', weights=weights)
    estimator = create_estimator('student_pointmap', options)
    seen = example(100)
    estimate = estimator.estimate(Frame(0, 'camera', seen.image, seen.camera, None))
    assert estimate.depth.shape == seen.depth.shape
    known = np.isfinite(estimate.depth) & np.isfinite(seen.depth)
    assert known.any()
    assert 0.3 < np.median(estimate.depth[known] / seen.depth[known]) < 3.0
