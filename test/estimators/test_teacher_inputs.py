# SPDX-License-Identifier: Apache-2.0
"""What the teacher's network sees of a prior and a prompt."""

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch
from official_weights import official_state
from tiny_checkpoints import tiny_network

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.alignment import prompt_tensor
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.learned import teacher as teacher_module
from metric_depth_ros.estimators.learned.teacher import MOST_POINTS, TeacherAdapter
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt

WIDTH, HEIGHT = 320, 240


class Prior(Estimator):
    """Answers every frame with the same depth."""

    name = 'prior'

    def __init__(self, depth):
        self._depth = depth

    def estimate(self, frame):
        return DepthEstimate(self._depth)


def floor():
    """Return depth that grows upward and to the right."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    return (1.0 / (0.1 + 0.001 * v - 0.0001 * u)).astype(np.float32)


def frame_of(depth, stride):
    """Return a blank image, with every so many pixels of a depth as its prompt."""
    row, column = (np.ravel(x) for x in np.mgrid[:HEIGHT:stride, :WIDTH:stride])
    uv = np.stack((column, row), axis=1).astype(np.float32)
    measured = depth[row, column]
    sigma = np.full(len(uv), 0.01, np.float32)
    prompt = SparsePrompt(uv, measured, sigma, np.zeros(len(uv), np.uint8))
    return Frame(0, 'camera', np.zeros((HEIGHT, WIDTH, 3), np.uint8), None, prompt)


def seen(frame, prior):
    batch = TeacherAdapter(Prior(prior), torch.device('cpu')).batch([frame])
    return batch.prompts['prompt'][0].numpy(), float(batch.prompts['unit_m'][0])


def test_points_where_the_prior_is_unknown_do_not_move_where_it_is_known():
    depth = floor()
    prior = 2.0 * depth
    prior[:, : WIDTH // 2] = np.nan
    maps, unit_m = seen(frame_of(depth, 10), prior)
    for aligned in maps[:2]:  # pixel by pixel, and as a whole
        known = aligned[:, WIDTH // 2 :]
        np.testing.assert_allclose(known, unit_m / depth[:, WIDTH // 2 :], rtol=1e-3)


def test_an_unknown_prior_says_nothing_but_its_points():
    depth = floor()
    maps, unit_m = seen(frame_of(depth, 10), np.full_like(depth, np.nan))
    points = maps[2] > 0.0
    np.testing.assert_allclose(maps[0][points], unit_m / depth[points], rtol=1e-5)
    assert not maps[:2, ~points].any()


def test_a_prompt_denser_than_any_in_training_is_thinned_the_same_way_every_time():
    depth = floor()
    frame = frame_of(depth, 1)
    assert len(frame.prompt) > MOST_POINTS
    (first, _), (again, _) = seen(frame, depth), seen(frame, depth)
    points = first[2] > 0.0
    assert points.sum() == MOST_POINTS
    np.testing.assert_array_equal(first, again)
    thirds = [part.sum() / MOST_POINTS for part in np.array_split(points, 3)]
    np.testing.assert_allclose(thirds, 1 / 3, atol=0.02)  # of all parts of the image alike


def test_an_alignment_that_does_not_fit_on_its_device_is_made_on_the_cpu(monkeypatch):
    aligned_on = []

    def crowded(prior, prompts, **_):
        aligned_on.append(prior.device.type)
        if prior.is_meta:  # stands for a GPU
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 256 MiB')
        return prompt_tensor(prior, prompts)

    monkeypatch.setattr(teacher_module, 'prompt_tensor', crowded)
    depth = floor()
    adapter = TeacherAdapter(Prior(depth), torch.device('meta'))
    for _ in range(2):
        assert adapter.batch([frame_of(depth, 10)]).prompts['prompt'].isfinite().all()
    assert aligned_on == ['meta', 'cpu', 'cpu']


def teacher_of(folder, **described):
    """Return the adapter of weights whose description is changed; None leaves a key out."""
    network, model_config = tiny_network('teacher')
    changed = {**model_config, **described}
    kept = {key: value for key, value in changed.items() if value is not None}
    torch.save({'model_config': kept, 'model': official_state(network)}, folder / 'teacher.pt')
    options = EstimatorOptions(device='cpu', precision='fp32', weights=str(folder / 'teacher.pt'))
    return teacher_module.create(options, Prior(np.sqrt(floor())))._adapter


def prompts_of(adapter):
    return adapter.batch([frame_of(floor(), 10)]).prompts


def test_a_prompt_is_made_as_the_weights_say_that_it_was_in_training(tmp_path):
    usual = prompts_of(teacher_of(tmp_path))
    in_meters = prompts_of(teacher_of(tmp_path, prompt_norm='none'))
    slow = prompts_of(teacher_of(tmp_path, gmdr_mode='lwlr'))
    assert float(usual['unit_m']) == pytest.approx(np.median(floor()[::10, ::10]), rel=0.1)
    assert float(in_meters['unit_m']) == 1.0
    torch.testing.assert_close(
        in_meters['prompt'][:, :2] * usual['unit_m'], usual['prompt'][:, :2]
    )
    assert torch.equal(slow['prompt'][:, 0], usual['prompt'][:, 0])
    assert not torch.equal(slow['prompt'][:, 1], usual['prompt'][:, 1])


def test_weights_that_do_not_say_how_their_prompt_was_made_see_the_usual_one(tmp_path):
    usual = prompts_of(teacher_of(tmp_path))
    silent = prompts_of(teacher_of(tmp_path, prompt_norm=None, gmdr_mode=None))
    assert torch.equal(silent['prompt'], usual['prompt'])


@pytest.mark.parametrize('described', [{'prompt_norm': 'mean'}, {'gmdr_mode': 'local'}])
def test_weights_of_another_prompt_are_refused_by_name(tmp_path, described):
    (name,) = described
    with pytest.raises(InputError, match=f'{name} is .*, expected one of') as refused:
        teacher_of(tmp_path, **described)
    assert refused.value.fault == 'checkpoint_config'
