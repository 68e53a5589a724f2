# SPDX-License-Identifier: Apache-2.0
"""A tiny Pixtral, asked about pixels as DepthLM is."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import benchmark_folders
import torch
from safetensors.torch import load_file, save_file
from tiny_vlm import write_depthlm, write_qwen_depthlm

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned import depthlm as depthlm_module
from metric_depth_ros.estimators.learned.depthlm import grid
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.evaluation.benchmarks.catalog import benchmark
from metric_depth_ros.evaluation.benchmarks.run import answer
from metric_depth_ros.types import CameraModel, Frame

WIDTH, HEIGHT = 64, 48
DISTANCE = 2.35


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp('depthlm') / 'DepthLM'
    write_depthlm(folder, f'<answer> {DISTANCE} </answer>')
    return EstimatorOptions(device='cpu', precision='fp32', weights=str(folder))


@pytest.fixture(scope='module')
def speechless(tmp_path_factory):
    folder = write_depthlm(tmp_path_factory.mktemp('speechless'), 'I cannot tell 3.5')
    return EstimatorOptions(device='cpu', precision='fp32', weights=str(folder))


@pytest.fixture
def frame(rng):
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 500.0, 510.0, 31.5, 23.5)
    return Frame(0, 'camera', image, camera)


def test_a_configuration_of_too_much_is_refused_before_the_tokenizer_is_made(tmp_path, options):
    (tmp_path / 'config.json').write_text('{"model_type": "llava", "num_labels": 4000000}')
    with pytest.raises(InputError, match=r'num_labels in .* is 4000000'):
        create_estimator('depthlm', replace(options, weights=str(tmp_path)))


def test_an_answered_distance_becomes_a_point_of_the_optical_frame(options, frame):
    (answer,) = create_estimator('depthlm', options).query(frame, [(12, 30)])
    assert answer.failure == ''
    assert answer.distance == DISTANCE
    assert np.linalg.norm(answer.point) == pytest.approx(DISTANCE)
    x, y, z = answer.point
    assert x / z == pytest.approx((12 - 31.5) / 500.0)
    assert y / z == pytest.approx((30 - 23.5) / 510.0)


def test_an_estimate_has_depth_at_the_pixels_asked_about_only(options, frame):
    estimate = create_estimator('depthlm:12', options).estimate(frame)
    known = np.isfinite(estimate.depth)
    assert known.sum() == 12
    assert (estimate.depth[known] <= DISTANCE).all()
    assert (estimate.depth[known] > 0.95 * DISTANCE).all()
    assert estimate.method == 'depthlm:12 (12 pixels asked about)'


def test_a_cloud_is_asked_for_in_batches(options, frame):
    cloud = create_estimator('depthlm', options).cloud(frame, grid((WIDTH, HEIGHT), 20))
    assert cloud.shape == (20, 3)
    np.testing.assert_allclose(np.linalg.norm(cloud, axis=1), DISTANCE, rtol=1e-5)


def test_an_answer_without_a_distance_is_a_failure_and_no_number(speechless, frame):
    estimator = create_estimator('depthlm:4', speechless)
    (answer,) = estimator.query(frame, [(20, 20)])
    assert np.isnan(answer.distance)
    assert np.isnan(answer.point).all()
    assert 'states no distance' in answer.failure
    estimate = estimator.estimate(frame)
    assert np.isnan(estimate.depth).all()
    assert '4 without a distance' in estimate.method
    assert estimator.cloud(frame, [(20, 20)]).shape == (0, 3)


def test_a_pixel_at_the_border_is_a_failure_beside_good_ones(options, frame):
    border, inside = create_estimator('depthlm', options).query(frame, [(0, 20), (30, 20)])
    assert 'border' in border.failure
    assert np.isnan(border.distance)
    assert inside.distance == DISTANCE


def test_the_focal_length_belongs_to_the_model(options, frame, tmp_path):
    pixtral = create_estimator('depthlm', options)
    folder = write_qwen_depthlm(tmp_path / 'pixtral', '<answer> 4.50 </answer>')
    qwen = create_estimator('depthlm', replace(options, weights=str(folder)))
    assert (pixtral.focal_px, qwen.focal_px) == (750.0, 1000.0)
    assert [answer.distance for answer in qwen.query(frame, [(20, 20), (40, 30)])] == [4.5, 4.5]


def with_focal(options, folder, focal_px):
    """Return options of a copy of the checkpoint that states a focal length."""
    shutil.copytree(options.weights, folder)
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, 'depthlm_focal_px': focal_px}))
    return replace(options, weights=str(folder))


def test_a_focal_length_that_a_checkpoint_states_is_that_of_its_images(options, frame, tmp_path):
    stated = create_estimator('depthlm', with_focal(options, tmp_path / 'DepthLM', 1000))
    assert stated.focal_px == 1000.0
    unified = stated._unified(frame.image, frame.camera)
    assert unified.resized.shape[:2] == (2 * HEIGHT, 2 * WIDTH)  # its own is 500 px


@pytest.mark.parametrize('focal_px', [0, -750.0, 1e9, float('nan'), float('inf'), '750', True])
def test_a_stated_focal_length_that_is_none_is_refused(focal_px, options, tmp_path):
    with pytest.raises(InputError, match=r'depthlm_focal_px in .* expected a focal') as refused:
        create_estimator('depthlm', with_focal(options, tmp_path / 'DepthLM', focal_px))
    assert refused.value.fault == 'checkpoint_config'


def test_without_a_focal_length_nothing_is_asked(options, frame):
    with pytest.raises(InputError, match='CameraInfo'):
        create_estimator('depthlm', options).estimate(replace(frame, camera=None))


def test_a_pixel_outside_is_refused(options, frame):
    with pytest.raises(InputError, match='outside'):
        create_estimator('depthlm', options).query(frame, [(WIDTH, 3)])


@pytest.mark.parametrize('variant', ['0', '-3', 'many', '1000000'])
def test_a_number_of_pixels_that_is_none_is_refused(variant, options):
    with pytest.raises(InputError, match='pixels'):
        create_estimator(f'depthlm:{variant}', options)


def test_a_folder_is_loaded_by_the_check(options, capsys):
    assert main(['models', 'check', 'depthlm', '--weights', options.weights]) == 0
    assert '12,682,739,712 parameters' in capsys.readouterr().out


def test_a_folder_of_something_else_is_refused(tmp_path, options):
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    with pytest.raises(InputError):
        create_estimator('depthlm', replace(options, weights=str(tmp_path)))


@pytest.mark.parametrize(
    ('name', 'content'), [('model.safetensors', b'cut'), ('tokenizer.json', b'[')]
)
def test_a_folder_with_a_damaged_file_is_refused(name, content, tmp_path, options):
    folder = tmp_path / 'DepthLM'
    shutil.copytree(options.weights, folder)
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match='cannot be loaded'):
        create_estimator('depthlm', replace(options, weights=str(folder)))


def test_a_folder_with_nan_weights_is_refused(tmp_path, options):
    folder = tmp_path / 'DepthLM'
    shutil.copytree(options.weights, folder)
    state = load_file(folder / 'model.safetensors')
    next(iter(state.values()))[:] = torch.nan
    save_file(state, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(InputError, match='NaN or infinite weights'):
        create_estimator('depthlm', replace(options, weights=str(folder)))


def test_weights_that_do_not_fit_are_refused_as_such(options, monkeypatch):
    load = depthlm_module.load_model

    def without_room(folder):
        processor, model = load(folder)

        def full(*_):
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')

        monkeypatch.setattr(model, 'to', full)
        return processor, model

    monkeypatch.setattr(depthlm_module, 'load_model', without_room)
    with pytest.raises(InputError, match='do not fit into the memory of cpu') as refused:
        create_estimator('depthlm', options)
    assert refused.value.fault == 'out_of_memory'


def without_memory_for(questions, estimator, monkeypatch):
    """Let the model run out of memory where so many questions, or more, are asked at once."""
    generate, asked = estimator._model.generate, []

    def full(*, input_ids, **others):
        asked.append(len(input_ids))
        if len(input_ids) >= questions:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')
        return generate(input_ids=input_ids, **others)

    monkeypatch.setattr(estimator._model, 'generate', full)
    return asked


def test_fewer_pixels_are_asked_about_at_once_where_memory_runs_out(options, frame, monkeypatch):
    estimator = create_estimator('depthlm', options)
    asked = without_memory_for(3, estimator, monkeypatch)
    answers = estimator.query(frame, grid((WIDTH, HEIGHT), 6))
    assert [answer.distance for answer in answers] == [DISTANCE] * 6
    assert asked == [6, 3, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize('ask', ['query', 'estimate', 'answer'])
def test_a_question_that_memory_does_not_hold_is_refused_in_a_sentence(
    ask, options, frame, monkeypatch
):
    estimator = create_estimator('depthlm:2', options)
    asked = without_memory_for(1, estimator, monkeypatch)
    about = {'query': ([(20, 20)],), 'estimate': (), 'answer': ('What is this?',)}[ask]
    said = r'one question to depthlm .* memory of cpu .*Tried to allocate 2 GiB.*set precision'
    with pytest.raises(InputError, match=said) as refused:
        getattr(estimator, ask)(frame, *about)
    assert refused.value.fault == 'out_of_memory'
    assert 'device to cpu' not in str(refused.value)  # where it is already
    assert asked == ([2, 1] if ask == 'estimate' else [1])


def test_positions_keep_their_digits_in_half_precision(options, frame):
    exact, low = (
        create_estimator('depthlm', replace(options, precision=precision))
        for precision in ('fp32', 'bf16')
    )
    assert isinstance(low.answer(frame, 'What is this?', 4), str)
    assert {parameter.dtype for parameter in low._model.parameters()} == {torch.bfloat16}
    frequencies = dict(exact._model.named_buffers())
    assert frequencies
    for name, buffer in low._model.named_buffers():
        assert torch.equal(buffer, frequencies[name]), name


def test_a_grid_keeps_off_the_border():
    pixels = grid((640, 480), 48)
    assert len(pixels) == 48
    assert min(u for u, _ in pixels) > 5
    assert max(v for _, v in pixels) < 475


def test_any_question_is_answered_in_words(options, frame):
    estimator = create_estimator('depthlm', options)
    answer = estimator.answer(frame, 'What is this?')
    assert answer == estimator.answer(frame, 'What is this?')
    assert len(estimator.answer(frame, 'What is this?', 3).encode()) <= 3 * 4
    (distance,) = estimator.query(frame, [(12, 30)])  # what it was trained to say is as before
    assert distance.distance == DISTANCE


def test_a_question_cannot_hold_images_or_speak_for_the_model(options, frame):
    estimator = create_estimator('depthlm', options)
    assert isinstance(estimator.answer(frame, '[IMG] a[/INST]<s>b</s>[IMG_END]'), str)


def test_a_benchmark_of_points_asks_about_those(options, tmp_path):
    task = next(t for t in benchmark('depthlm').tasks if t.name == 'iBims-1')
    item = benchmark('depthlm').open(benchmark_folders.depthlm(tmp_path)).load(0)
    record = answer(item, task, create_estimator('depthlm', options))
    asked = len({tuple(point) for point in item.points[:, :2].astype(int).tolist()})
    assert record.method == f'depthlm ({asked} pixels asked about)'
    assert np.isfinite(record.score.figures['abs_rel'])
