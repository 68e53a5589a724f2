# SPDX-License-Identifier: Apache-2.0
"""Depth tokens: normalization, network, recipe, and the command that writes them."""

import json

import cv2
import numpy as np
import pytest
import torch
from tiny_training import example, write_config

from metric_depth_ros.cli.main import main
from metric_depth_ros.geometry.relative_depth import depth_of, normalized_inverse_depth
from metric_depth_ros.networks.depth_vqvae import DepthVqVae, DepthVqVaeConfig
from metric_depth_ros.training.recipes import create_recipe

TINY = {'side': 32, 'width': 4, 'halvings': 3, 'residual_blocks': 1, 'codes': 16, 'code_width': 8}


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network():
    torch.manual_seed(0)
    return DepthVqVae(DepthVqVaeConfig(**TINY))


def test_inverse_depth_is_one_at_the_near_and_zero_at_the_far_percentile(rng):
    depth = rng.uniform(1.0, 9.0, (40, 50)).astype(np.float32)
    image, low, high = normalized_inverse_depth(depth)
    assert (low, high) == pytest.approx(tuple(np.percentile(1.0 / depth, (5.0, 95.0))), rel=1e-5)
    assert (image.min(), image.max()) == (0.0, 1.0)
    inside = (image > 0.0) & (image < 1.0)
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(depth_of(image, low, high)[inside], depth[inside], rtol=1e-4)


def test_unknown_and_endless_depth_are_far():
    depth = np.array([[1.0, 2.0], [np.nan, np.inf]], np.float32)
    assert normalized_inverse_depth(depth).image[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize('value', [np.nan, 3.0])
def test_depth_without_a_range_is_a_constant_image(value):
    assert not normalized_inverse_depth(np.full((4, 4), value, np.float32)).image.any()


def test_the_released_shape_has_a_hundred_tokens_of_128():
    config = DepthVqVaeConfig()
    with torch.device('meta'):
        answer = DepthVqVae(config)(torch.zeros(2, 1, 320, 320))
    assert (config.codes, tuple(answer.tokens.shape)) == (128, (2, 100))
    assert answer.image.shape == (2, 1, 320, 320)


def test_tokens_decode_to_the_reconstruction():
    made, image = network().eval(), torch.rand(2, 1, 32, 32)
    answer = made(image)
    assert torch.equal(made.tokenize(image), answer.tokens)
    torch.testing.assert_close(made.decode(answer.tokens), answer.image)


def test_the_gradient_reaches_encoder_decoder_and_codebook():
    made, image = network(), torch.rand(2, 1, 32, 32)
    answer = made(image)
    loss = (answer.image - image).square().mean() + answer.codebook_error + answer.commitment
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


@pytest.mark.parametrize('wrong', [{'side': 33}, {'codes': 0}, {'width': 10**9}])
def test_shapes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DepthVqVaeConfig(**{**TINY, **wrong})


def test_training_reduces_the_error_of_the_image():
    made = create_recipe('depth_tokens', TINY, {}, 'here')
    rng = np.random.default_rng(0)
    ready = [made.prepare(example(i), None, rng, real=False, augment=False) for i in range(4)]
    batch = made.collate(ready)
    torch.manual_seed(0)
    trained = made.build()
    optimizer = torch.optim.AdamW(trained.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        losses = made.losses(trained, batch)
        errors.append(float(losses['image'].detach()))
        optimizer.zero_grad()
        losses['loss'].backward()
        optimizer.step()
    assert errors[-1] < 0.5 * errors[0]
    depth = made.predict(trained.eval(), batch)[0]
    assert depth.shape == (32, 32)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tokens')
    config = write_config(folder, recipe='depth_tokens', network=TINY, options={})
    assert main(['train', 'depth_tokens', '--config', str(config), '--out', str(folder)]) == 0
    return folder / 'weights.safetensors'


@pytest.fixture
def frame_set(tmp_path):
    folder = tmp_path / 'set'
    folder.mkdir()
    one = example(1)
    cv2.imwrite(str(folder / '0.png'), one.image)
    depth = np.where(np.isfinite(one.depth), one.depth * 1000, 0).astype(np.uint16)
    cv2.imwrite(str(folder / 'depth.png'), depth)
    prompt = {'path': 'depth.png', 'format': 'depth_map', 'kind': 'rgbd', 'scale': 0.001}
    frame = {'id': 'a', 'image': '0.png', 'width': 96, 'height': 64, 'K': one.camera.K.tolist()}
    frame['prompts'] = {'rgbd': prompt}
    (folder / 'frames.json').write_text(json.dumps({'name': 'set', 'frames': [frame]}))
    return folder


def test_tokenize_writes_a_line_for_every_frame(weights, frame_set, tmp_path, capsys):
    out = tmp_path / 'tokens.jsonl'
    command = ['tokenize', str(frame_set), '--tokenizer', str(weights), '-o', str(out)]
    assert main([*command, '--estimator', 'nearest']) == 0
    assert 'mean absolute error' in capsys.readouterr().out
    head, row = map(json.loads, out.read_text().splitlines())
    assert (head['format'], head['codes'], head['grid']) == ('metric-depth-tokens/1', 16, [4, 4])
    assert (row['source'], row['frame'], len(row['tokens'])) == ('set', 'a', 16)
    words = ''.join(f'<DEPTH_{token}>' for token in row['tokens'])
    assert row['text'] == f'<DEPTH_START>{words}<DEPTH_END>'
    assert 0.0 < row['inverse_depth_low'] < row['inverse_depth_high']


def test_the_shipped_tokenizer_keeps_the_shape_of_depth(frame_set, tmp_path):
    out = tmp_path / 'tokens.jsonl'

    assert main(['tokenize', str(frame_set), '-o', str(out), '--estimator', 'nearest']) == 0

    head, row = map(json.loads, out.read_text().splitlines())
    assert (head['codes'], head['grid'], len(row['tokens'])) == (128, [10, 10], 100)
    assert row['error'] < 0.1


def test_a_source_that_is_neither_bag_nor_frame_set_is_refused(weights, tmp_path, capsys):
    command = ['tokenize', str(tmp_path), '--tokenizer', str(weights)]
    assert main([*command, '-o', str(tmp_path / 'x.jsonl')]) == 2
    assert 'rosbag2' in capsys.readouterr().err


def test_weights_of_another_network_are_refused(frame_set, tmp_path, capsys):
    from safetensors.torch import save_file

    save_file({'x': torch.zeros(1)}, tmp_path / 'w.safetensors')
    command = ['tokenize', str(frame_set), '--tokenizer', str(tmp_path / 'w.safetensors')]
    assert main([*command, '-o', str(tmp_path / 'x.jsonl')]) == 2
    assert 'model_config' in capsys.readouterr().err


@pytest.mark.parametrize('blocks', [2.5, -1, 65])
def test_a_number_of_blocks_that_cannot_be_is_refused(blocks):
    with pytest.raises(ValueError, match=r'residual_blocks is .*, expected an integer, 0 to 64'):
        DepthVqVaeConfig(**{**TINY, 'residual_blocks': blocks})
