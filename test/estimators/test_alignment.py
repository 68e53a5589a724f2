# SPDX-License-Identifier: Apache-2.0
"""PDSA, GMDR and the prompt tensor."""

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from metric_depth_ros.estimators.alignment import (  # noqa: E402
    PromptList,
    fit_global,
    global_alignment,
    inverse_depth,
    pixel_alignment,
    prompt_tensor,
)
from metric_depth_ros.framesets import load_frame_set  # noqa: E402

GOLDEN_FOLDER = ('goldens', 'algorithms', 'knn_alignment')


def smooth_scene(batch, height, width, counts, seed=5):
    """Return prior inverse depth and prompt depth that differ by a slowly varying curve."""
    rng = np.random.default_rng(seed)
    noise = rng.random((height, width, batch)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 7.0).reshape(height, width, batch)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    depth = torch.from_numpy(2.0 + 18.0 * smooth.transpose(2, 0, 1).copy())
    prompt = torch.full_like(depth, torch.nan).flatten(1)
    for image, count in enumerate(counts):
        chosen = torch.from_numpy(rng.choice(height * width, count, replace=False))
        prompt[image, chosen] = depth.flatten(1)[image, chosen]
    return inverse_depth(1.7 * depth**0.8 + 0.2), prompt.reshape(depth.shape), depth


def lstsq_reference(prior, prompt):
    """Return the fit of every pixel by `torch.linalg.lstsq` in float64; prompts overwritten."""
    where = torch.argwhere(prompt > 0)
    p, y = prior[prompt > 0].double(), 1.0 / prompt[prompt > 0].double()
    row, column = torch.meshgrid(*(torch.arange(n) for n in prior.shape), indexing='ij')
    pixels = torch.stack((row, column), -1).reshape(-1, 2)
    distance = torch.cdist(pixels.double(), where.double())
    near = distance.topk(5, largest=False)
    weight = 1.0 / near.values.clamp(min=1e-3)
    weight /= weight.sum(1, keepdim=True)
    design = torch.stack((p[near.indices], torch.ones_like(weight)), -1) * weight[..., None]
    target = (y[near.indices] * weight)[..., None]
    solution = torch.linalg.lstsq(design, target, driver='gelsd').solution[..., 0]
    inverse = (solution[:, 0] * prior.flatten().double() + solution[:, 1]).reshape(prior.shape)
    inverse[prompt > 0] = y
    sixth = distance.topk(6, largest=False).values
    return inverse, (sixth[:, 5] > sixth[:, 4]).reshape(prior.shape)


def test_exact_mode_agrees_with_lstsq():
    prior, prompt, _ = smooth_scene(2, 48, 64, [90, 60])
    aligned = pixel_alignment(prior, prompt, stride=1, regularized=False).inverse
    for image in range(2):
        expected, unambiguous = lstsq_reference(prior[image], prompt[image])
        error = (aligned[image] - expected).abs() / expected.abs()
        assert error[unambiguous].max() < 1e-5


def test_affine_disparity_is_recovered_everywhere():
    prior, prompt, _ = smooth_scene(1, 40, 60, [50])
    inverse = 1.4 * prior + 0.05
    prompt = torch.where(prompt > 0, inverse.reciprocal(), prompt)
    for stride in (1, 4):
        aligned = pixel_alignment(prior, prompt, stride=stride).inverse
        torch.testing.assert_close(aligned, inverse, rtol=2e-5, atol=0.0)


def test_prompts_are_kept_exactly():
    prior, prompt, _ = smooth_scene(2, 41, 63, [80, 30])
    known = prompt > 0
    for stride in (1, 4):
        aligned = pixel_alignment(prior, prompt, stride=stride).inverse
        assert torch.equal(aligned[known], prompt[known].reciprocal())


def test_images_of_a_batch_do_not_touch_each_other():
    prior, prompt, _ = smooth_scene(4, 45, 70, [200, 3, 0, 1])
    together = pixel_alignment(prior, prompt)
    for image in range(4):
        alone = pixel_alignment(prior[image : image + 1], prompt[image : image + 1])
        torch.testing.assert_close(together.inverse[image], alone.inverse[0], rtol=1e-6, atol=0.0)
        torch.testing.assert_close(together.distance[image], alone.distance[0])


def test_scaling_the_prompts_scales_the_depth():
    prior, prompt, _ = smooth_scene(1, 45, 70, [120])
    near = pixel_alignment(prior, prompt).inverse
    assert torch.equal(pixel_alignment(prior, 4.0 * prompt).inverse, near / 4.0)
    torch.testing.assert_close(
        pixel_alignment(prior, 3.0 * prompt).inverse, near / 3.0, rtol=1e-4, atol=0.0
    )


def test_unit_of_the_prior_does_not_matter():
    prior, prompt, _ = smooth_scene(1, 45, 70, [120])
    assert torch.equal(
        pixel_alignment(1024.0 * prior, prompt).inverse, pixel_alignment(prior, prompt).inverse
    )


@pytest.mark.parametrize('stride', [1, 4])
def test_without_prompts_the_prior_is_returned(stride):
    prior, prompt, _ = smooth_scene(1, 20, 30, [0])
    aligned = pixel_alignment(prior, prompt, stride=stride)
    assert torch.equal(aligned.inverse, prior)
    assert aligned.distance.isinf().all()
    assert torch.equal(global_alignment(prior, prompt), prior)


@pytest.mark.parametrize('stride', [1, 4])
def test_one_prompt_scales_only(stride):
    prior, prompt, _ = smooth_scene(1, 20, 30, [1])
    known = prompt > 0
    ratio = (prompt[known].reciprocal() / prior[known]).item()
    low, high = 0.5 / prompt[known].item(), 2.0 / prompt[known].item()
    expected = (ratio * prior).clamp(low, high)
    torch.testing.assert_close(pixel_alignment(prior, prompt, stride=stride).inverse, expected)


@pytest.mark.parametrize('count', [2, 3, 4])
def test_fewer_prompts_than_neighbors_are_all_used(count):
    prior, prompt, _ = smooth_scene(1, 20, 30, [count])
    inverse = 0.6 * prior + 0.02
    prompt = torch.where(prompt > 0, inverse.reciprocal(), prompt)
    aligned = pixel_alignment(prior, prompt, stride=1).inverse
    torch.testing.assert_close(aligned, inverse, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize('stride', [1, 4])
def test_flat_prior_gives_values_in_the_range_of_the_prompts(stride):
    prior, prompt, _ = smooth_scene(1, 30, 40, [60])
    aligned = pixel_alignment(torch.full_like(prior, 0.3), prompt, stride=stride).inverse
    inverse = prompt[prompt > 0].reciprocal()
    assert (aligned >= inverse.min() / 2).all()
    assert (aligned <= inverse.max() * 2).all()


def test_prior_that_runs_the_wrong_way_still_gives_positive_depth():
    prior, prompt, _ = smooth_scene(1, 30, 40, [60])
    aligned = pixel_alignment(1.0 - prior, prompt).inverse
    assert (aligned > 0).all()
    assert aligned.isfinite().all()


def test_unknown_prior_stays_unknown_and_is_not_fitted():
    prior, prompt, _ = smooth_scene(1, 40, 60, [80])
    holes = prior.clone()
    holes[:, 10:20] = torch.nan
    clean = torch.where(holes.isnan(), torch.nan, prompt)
    aligned = pixel_alignment(holes, prompt).inverse
    expected = pixel_alignment(holes, clean).inverse
    outside = ~holes.isnan()
    assert torch.equal(aligned[outside], expected[outside])
    assert torch.equal(aligned.isnan(), holes.isnan() & ~(prompt > 0))


def test_fast_mode_is_close_to_exact_where_the_fits_vary():
    prior, prompt, _ = smooth_scene(1, 96, 128, [300])
    exact = pixel_alignment(prior, prompt, stride=1).inverse
    fast = pixel_alignment(prior, prompt).inverse
    assert ((exact / fast - 1.0).abs().mean()) < 0.005


def test_alignment_beats_the_global_fit_on_a_curved_relation():
    prior, prompt, depth = smooth_scene(1, 96, 128, [300])
    pixel_error = (pixel_alignment(prior, prompt).inverse * depth - 1.0).abs().mean()
    global_error = (global_alignment(prior, prompt) * depth - 1.0).abs().mean()
    assert pixel_error < 0.5 * global_error


def test_global_map_is_one_affine_map_and_keeps_no_prompts():
    prior, prompt, _ = smooth_scene(2, 40, 60, [70, 50])
    aligned = global_alignment(prior, prompt, regularized=False)
    for image in range(2):
        known = prompt[image] > 0
        p, y = prior[image][known].numpy(), 1.0 / prompt[image][known].numpy()
        scale, shift = np.polyfit(p.astype(float), y.astype(float), 1)
        np.testing.assert_allclose(
            aligned[image].numpy(), scale * prior[image].numpy() + shift, rtol=1e-5
        )


def test_local_regression_corrects_a_drift_across_the_image():
    prior, _, _ = smooth_scene(1, 192, 256, [0])
    drift = torch.linspace(0.95, 1.05, 256)
    depth = drift / (2.0 * prior)
    prompt = torch.full_like(depth, torch.nan)
    prompt[:, 3::9, 4::9] = depth[:, 3::9, 4::9]
    errors = [
        (global_alignment(prior, prompt, mode=mode) * depth - 1.0).abs().mean()
        for mode in ('global', 'lwlr')
    ]
    assert errors[1] < 0.6 * errors[0]


def test_unknown_modes_are_refused():
    prior, prompt, _ = smooth_scene(1, 20, 30, [9])
    with pytest.raises(ValueError, match='lwlr'):
        global_alignment(prior, prompt, mode='local')
    with pytest.raises(ValueError, match='median'):
        prompt_tensor(prior, prompt, norm='mean')


def test_prompt_tensor_is_independent_of_the_scale_of_the_prompts():
    prior, prompt, _ = smooth_scene(2, 41, 63, [200, 0])
    near, far = prompt_tensor(prior, prompt), prompt_tensor(prior, 8.0 * prompt)
    assert torch.equal(near.channels, far.channels)
    assert torch.equal(far.unit_m, torch.stack((8.0 * near.unit_m[0], torch.tensor(1.0))))
    assert torch.equal(near.channels[:, 2] > 0, prompt > 0)
    assert torch.equal(near.channels[1, 0], prior[1])


def test_prompt_tensor_without_normalization_is_in_inverse_meters():
    prior, prompt, _ = smooth_scene(1, 41, 63, [200])
    plain = prompt_tensor(prior, prompt, norm='none')
    torch.testing.assert_close(plain.channels[:, 0], pixel_alignment(prior, prompt).inverse)
    torch.testing.assert_close(plain.channels[:, 1], global_alignment(prior, prompt))
    assert plain.unit_m.item() == 1.0


def unpack(bits, shape):
    return np.unpackbits(bits)[: np.prod(shape)].astype(bool).reshape(shape)


def test_pixel_alignment_agrees_with_the_authors_code(shared):
    folder = shared.joinpath(*GOLDEN_FOLDER)
    cases = json.loads((folder / 'config.json').read_text())['cases']
    with np.load(folder / 'inputs.npz') as inputs, np.load(folder / 'outputs.npz') as outputs:
        for i, case in enumerate(cases):
            if 'official_error' in case:
                continue
            prior, depth, mask = (
                torch.from_numpy(inputs[f'case{i}_{name}'])
                for name in ('prior_depth', 'prompt_depth', 'prompt_mask')
            )
            aligned = pixel_alignment(
                inverse_depth(prior), depth, mask, stride=1, regularized=False
            ).inverse.numpy()
            exact = outputs[f'case{i}_knn_exact']
            stable = unpack(outputs[f'case{i}_stable'], exact.shape)
            error = np.abs(aligned - exact) - (1e-4 * np.abs(exact) + 2e-6)
            assert (error[stable] <= 0.0).all(), case['name']
            low, high = outputs[f'case{i}_knn_min'], outputs[f'case{i}_knn_max']
            margin = 0.5 * (high - low) + 3e-5 + 1e-3 * np.abs(exact)
            other = ~stable & ~unpack(outputs[f'case{i}_tie'], exact.shape) & np.isfinite(exact)
            inside = (aligned >= low - margin) & (aligned <= high + margin)
            assert not other.any() or inside[other].mean() >= 0.99, case['name']


def test_global_fit_agrees_with_the_authors_code(shared):
    folder = shared.joinpath(*GOLDEN_FOLDER)
    cases = json.loads((folder / 'config.json').read_text())['cases']
    with np.load(folder / 'inputs.npz') as inputs, np.load(folder / 'outputs.npz') as outputs:
        for i, case in enumerate(cases):
            # The reference has no answer, or one of its random jitter, for these.
            if 'official_error' in case or case['name'] == 'prior constant everywhere':
                continue
            prior, depth, mask = (
                torch.from_numpy(inputs[f'case{i}_{name}'])
                for name in ('prior_depth', 'prompt_depth', 'prompt_mask')
            )
            pooled = (-1, prior.shape[2])  # the reference pools the prompts of a batch
            prompts = PromptList.from_map(depth.reshape(1, *pooled), mask.reshape(1, *pooled))
            sampled = prompts.sample(inverse_depth(prior).reshape(1, *pooled))
            fit = fit_global(sampled, prompts.inverse, prompts.valid, regularized=False)
            np.testing.assert_allclose(
                torch.cat(fit).numpy(), outputs[f'case{i}_global_st_exact'], rtol=1e-4
            )


def golden_prior(ground_truth):
    """Return the prior depth of the golden's `prior_formula`."""
    known = np.isfinite(ground_truth)
    kernel = cv2.getGaussianKernel(25, 4.0, cv2.CV_64F)

    def blur(image):
        return cv2.sepFilter2D(
            image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101
        )

    power = np.where(known, ground_truth, 0.0).astype(np.float64) ** 0.8
    share = blur(known.astype(np.float64))
    mean = np.where(share > 1e-3, blur(power) / np.maximum(share, 1e-9), np.median(power[known]))
    return (1.7 * mean + 0.2).astype(np.float32)


def recorded_case(shared, name, frame_id, prompt_name):
    frame_set = load_frame_set(shared / 'data' / name)
    frame = next(frame for frame in frame_set.frames if frame.id == frame_id)
    ground_truth = frame.load_ground_truth()
    prompt = frame.load_prompt(prompt_name).to_map(frame.width, frame.height)
    prior = inverse_depth(torch.from_numpy(golden_prior(ground_truth)))[None]
    return prior, torch.from_numpy(prompt)[None], ground_truth


@pytest.mark.parametrize(
    ('name', 'frame_id', 'prompt_name'),
    [('nyu', '00050', 'random500'), ('kittidc', '000004', 'random25pct')],
)
def test_recorded_frames_agree_with_the_authors_code(name, frame_id, prompt_name, shared):
    prior, prompt, ground_truth = recorded_case(shared, name, frame_id, prompt_name)
    key = f'real_{name}_{frame_id}_{prompt_name}_'
    config = json.loads((shared.joinpath(*GOLDEN_FOLDER) / 'config.json').read_text())
    expected = next(real for real in config['real'] if real['set'] == name)
    with np.load(shared.joinpath(*GOLDEN_FOLDER) / 'outputs.npz') as outputs:
        index, exact = outputs[f'{key}idx'], outputs[f'{key}knn_exact'].ravel()
        stable = outputs[f'{key}stable']
        np.testing.assert_allclose(
            prior.numpy().ravel()[index[::50]],
            1.0 / outputs[f'{key}prior_check'].ravel(),
            rtol=1e-4,
        )
    bare = pixel_alignment(prior, prompt, stride=1, regularized=False).inverse
    error = np.abs(bare.numpy().ravel()[index] - exact) - (1e-4 * np.abs(exact) + 2e-6)
    assert (error[stable] <= 0.0).all()
    known = np.isfinite(ground_truth)
    depth = np.where(bare[0] > 0.0, 1.0 / bare[0], 0.0)
    abs_rel = np.mean(np.abs(depth - ground_truth)[known] / ground_truth[known])
    assert abs_rel == pytest.approx(expected['absrel_knn_all_valid'], rel=0.01)


@pytest.mark.parametrize(
    ('name', 'frame_id', 'prompt_name'),
    [('nyu', '00050', 'lowres8'), ('kittidc', '000004', 'lidar64')],
)
def test_fast_mode_is_within_one_percent_of_exact_on_recordings(
    name, frame_id, prompt_name, shared
):
    prior, prompt, _ = recorded_case(shared, name, frame_id, prompt_name)
    exact = pixel_alignment(prior, prompt, stride=1).inverse
    fast = pixel_alignment(prior, prompt).inverse
    assert (exact / fast - 1.0).abs().mean() < 0.01
