# SPDX-License-Identifier: Apache-2.0
"""`metric-depth export`, and its files as estimators: a frame in, its depth out."""

import importlib.util
import io
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def frame(rng):
    uv = np.stack([rng.uniform(0, WIDTH - 1, 90), rng.uniform(0, HEIGHT - 1, 90)], axis=-1)
    prompt = SparsePrompt(
        uv.astype(np.float32),
        rng.uniform(2.0, 9.0, 90).astype(np.float32),
        np.full(90, 0.02, np.float32),
        np.zeros(90, np.uint8),
    )
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)
    return Frame(0, 'camera', image, camera, prompt)


needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ('onnxscript', 'onnxruntime')),
    reason='needs the extra onnx: pip install .[onnx]',
)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Return a function that exports a tiny network by the command, once each.

    It returns checkpoint, file, and what the command printed.
    """
    done = {}

    def export(name, *arguments):
        if (name, arguments) not in done:
            folder = tmp_path_factory.mktemp(name)
            weights, file = write_checkpoint(name, folder), folder / f'{name}.onnx'
            command = ['export', name, '--weights', str(weights), '-o', str(file)]
            printed = io.StringIO()
            with redirect_stdout(printed):
                assert main([*command, '--size', f'{WIDTH}x{HEIGHT}', *arguments]) == 0
            done[name, arguments] = weights, file, printed.getvalue()
        return done[name, arguments]

    return export


def estimator(spec, weights, **options):
    """Make an estimator that runs on the CPU."""
    return create_estimator(
        spec, EstimatorOptions(device='cpu', precision='fp32', weights=str(weights), **options)
    )


@needs_onnx
@pytest.mark.parametrize(
    'name',
    [
        'lingbot_depth',
        'student_pointmap',
        'student_depthmap',
        'compact_teacher',
        'compact_student',
    ],
)
def test_an_exported_estimator_answers_frames_like_the_one_it_was_made_from(name, exported, frame):
    weights, file, printed = exported(name)
    assert 'largest error relative to torch' in printed
    right = estimator(name, weights).estimate(frame)
    answer = estimator(name, file, backend='onnx').estimate(frame)
    np.testing.assert_allclose(answer.depth, right.depth, rtol=1e-3)
    if right.confidence is not None:
        np.testing.assert_allclose(answer.confidence, right.confidence, atol=1e-3)
    assert answer.method == right.method


@pytest.mark.parametrize('name', ['compact_teacher', 'student_pointmap', 'teacher:nearest'])
@pytest.mark.parametrize(
    'given', [{'precision': 'bf16'}, {'precision': 'fp16'}, {'compile': True}], ids=str
)
def test_an_exported_file_has_no_precision_and_no_code_to_choose(name, given):
    options = EstimatorOptions(device='cpu', backend='onnx', weights='some.onnx', **given)
    with pytest.raises(InputError, match=f'{next(iter(given))} is .* which an exported file'):
        create_estimator(name, options)


@needs_onnx
def test_the_options_of_a_companion_that_is_exported_alone_may_be_those_of_torch(exported, frame):
    weights, _, _ = exported('student_depthmap')
    _, prior, _ = exported('student_pointmap')
    options = EstimatorOptions(
        device='cpu', precision='bf16',
        weights=f'student_depthmap={weights},student_pointmap={prior}',
    )  # fmt: skip
    first = create_estimator('student_depthmap', options, beside='student_pointmap')
    companion = create_estimator(
        'student_pointmap', options.for_companion(), beside='student_depthmap'
    )
    assert np.isfinite(first.estimate(frame).depth).all()
    assert np.isfinite(companion.estimate(frame).depth).all()


@needs_onnx
def test_the_gpu_of_an_exported_compact_teacher_is_that_of_onnx_runtime(exported, monkeypatch):
    _, file, _ = exported('compact_teacher')

    def no_cuda(device):
        raise AssertionError('torch was asked for the device of a file that it does not run')

    module = 'metric_depth_ros.estimators.learned.compact_teacher'
    monkeypatch.setattr(f'{module}.torch_device', no_cuda)
    assert estimator('compact_teacher', file, backend='onnx').frames_at_once == 1


@needs_onnx
def test_several_cameras_go_through_a_file_that_takes_one_image(exported, frame):
    weights, file, _ = exported('student_pointmap')
    frames = [frame, replace(frame, image=frame.image[::-1].copy())]
    pairs = [
        estimator('student_pointmap', path, backend=backend).estimate_batch(frames)
        for path, backend in ((weights, 'torch'), (file, 'onnx'))
    ]
    for right, answer in zip(*pairs, strict=True):
        np.testing.assert_allclose(answer.depth, right.depth, rtol=1e-3)


@needs_onnx
def test_a_frame_of_another_size_is_refused_with_the_command_for_it(exported, frame):
    _, file, _ = exported('student_pointmap')
    small = Frame(0, 'camera', frame.image[:28, :40].copy())
    with pytest.raises(InputError, match=r'takes the image 3x48x64 .*metric-depth export --size'):
        estimator('student_pointmap', file, backend='onnx').estimate(small)


@needs_onnx
def test_the_compact_teacher_refuses_a_frame_of_another_size(exported, frame):
    _, file, _ = exported('compact_teacher')
    image = np.concatenate([frame.image, frame.image], axis=1)
    wide = replace(frame, image=image, camera=None)
    with pytest.raises(InputError, match=r'takes the inputs 29x\d+x32 and was given 29x\d+x64'):
        estimator('compact_teacher', file, backend='onnx').estimate(wide)


@needs_onnx
@pytest.mark.parametrize('points', [0, 1, 90, 20_000])
def test_an_exported_compact_teacher_answers_any_number_of_points(points, exported, rng):
    """Of an image so large that torch sees few points at a lower resolution."""
    width, height = 416, 320
    _, file, _ = exported('compact_teacher', '--size', f'{width}x{height}')
    uv = rng.uniform((0, 0), (width - 1, height - 1), (points, 2)).astype(np.float32)
    depth = rng.uniform(2.0, 9.0, points).astype(np.float32)
    prompt = SparsePrompt(uv, depth, 0.01 * depth, np.zeros(points, np.uint8))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = Frame(0, 'camera', image, None, prompt)
    answer = estimator('compact_teacher', file, backend='onnx').estimate(frame)
    assert np.isfinite(answer.depth).all() if points else np.isnan(answer.depth).all()


@needs_onnx
def test_another_resolution_is_exported_and_asked_for_by_name(exported, frame):
    weights, file, _ = exported('compact_student', '--resolution-scale', '3')
    right = estimator('compact_student', weights, resolution_scale=3.0).estimate(frame)
    answer = estimator('compact_student', file, backend='onnx', resolution_scale=3.0)
    np.testing.assert_allclose(answer.estimate(frame).depth, right.depth, rtol=1e-3)


@needs_onnx
def test_a_pyramid_network_answers_frames_of_any_size(exported, frame):
    _, file, _ = exported('student_depthmap')
    camera = CameraModel.pinhole(40, 28, 50.0, 50.0, 20.0, 14.0)
    small = Frame(0, 'camera', frame.image[:28, :40].copy(), camera)
    depth = estimator('student_depthmap', file, backend='onnx').estimate(small).depth
    assert depth.shape == (28, 40)
    assert np.isfinite(depth).all()


@needs_onnx
def test_the_realtime_preset_is_exported_and_asked_for_by_name(exported, frame):
    weights, file, printed = exported('student_depthmap', '--preset', 'realtime')
    assert f'--weights {file} --preset realtime' in printed
    right = estimator('student_depthmap', weights, preset='realtime').estimate(frame)
    quick = estimator('student_depthmap', file, backend='onnx', preset='realtime')
    np.testing.assert_allclose(quick.estimate(frame).depth, right.depth, rtol=1e-3)
    with pytest.raises(InputError, match="exported with the preset 'realtime'"):
        estimator('student_depthmap', file, backend='onnx')


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['classical', '-o', 'x.onnx'], "export got 'classical', expected one of"),
        (['lingbot_depth', '-o', 'x.pt'], r'expected a file name *.onnx'),
        (['teacher', '-o', 'x.onnx'], 'unreleased'),
        (['compact_teacher:other', '-o', 'x.onnx'], "no variant 'other'"),
        (['lingbot_depth', '-o', 'x.onnx', '--weights', 'no.pt'], 'no.pt'),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    arguments, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(['export', *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
