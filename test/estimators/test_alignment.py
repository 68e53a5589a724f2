# SPDX-License-Identifier: Apache-2.0
"""PDSA, GMDR and the prompt tensor."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from metric_depth_ros.conformance.kinds import knn_alignment  # noqa: E402
from metric_depth_ros.estimators.alignment import (  # noqa: E402
    PromptList,
    global_alignment,
    inverse_depth,
    nearest_prompts,
    pixel_alignment,
    prompt_tensor,
)
from metric_depth_ros.estimators.alignment.local_fits import LocalFits  # noqa: E402
from metric_depth_ros.estimators.alignment.refinement import refine  # noqa: E402
from metric_depth_ros.framesets import load_frame_set  # noqa: E402


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


def test_number_of_torch_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    prior, prompt, _ = smooth_scene(1, 20, 30, [9])
    prompt_tensor(prior, prompt)
    with pytest.raises(ValueError, match='norm'):
        prompt_tensor(prior, prompt, norm='mean')
    assert torch.get_num_threads() == before


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


def untold(prior, prompt, of_prior):
    """Return them with points in the right half only, of which the prior tells nothing."""
    half = prior.shape[2] // 2
    prior, prompt = prior.clone(), prompt.clone()
    prior[:, :, half:] = of_prior
    prompt[:, :, :half] = torch.nan
    return prior, prompt, half


@pytest.mark.parametrize('mode', ['global', 'lwlr'])
@pytest.mark.parametrize('of_prior', [0.0, torch.nan])
def test_prior_that_tells_nothing_at_the_points_lends_them_no_unit_of_its_own(of_prior, mode):
    prior, prompt, half = untold(*smooth_scene(1, 41, 63, [200])[:2], of_prior)
    seen = prompt_tensor(prior, prompt, gmdr_mode=mode)
    for other in (
        prompt_tensor(9.0 * prior, prompt, gmdr_mode=mode),
        prompt_tensor(prior, 8.0 * prompt, gmdr_mode=mode),
    ):
        assert torch.equal(other.channels, seen.channels)
    torch.testing.assert_close(
        seen.channels[:, 1, :, :half], torch.ones(1, 41, half), rtol=0.05, atol=0.0
    )
    inverse = seen.unit_m / prompt[prompt > 0]
    near = seen.channels[:, 0, :, :half]
    assert inverse.min() <= near.min() <= near.max() <= inverse.max()
    assert torch.equal(seen.channels[:, 2] > 0, prompt > 0)


def test_image_whose_prior_tells_nothing_does_not_touch_the_others_of_its_batch():
    prior, prompt, _ = smooth_scene(2, 41, 63, [200, 100])
    lost, points, _ = untold(prior[:1], prompt[:1], 0.0)
    together = prompt_tensor(torch.cat((lost, prior[1:])), torch.cat((points, prompt[1:])))
    alone = prompt_tensor(prior[1:], prompt[1:])
    torch.testing.assert_close(together.channels[1:], alone.channels, rtol=1e-5, atol=1e-6)


def test_prompt_tensor_without_normalization_is_in_inverse_meters():
    prior, prompt, _ = smooth_scene(1, 41, 63, [200])
    plain = prompt_tensor(prior, prompt, norm='none')
    torch.testing.assert_close(plain.channels[:, 0], pixel_alignment(prior, prompt).inverse)
    torch.testing.assert_close(plain.channels[:, 1], global_alignment(prior, prompt))
    assert plain.unit_m.item() == 1.0


def test_fits_stay_on_the_device_of_their_inputs():
    """The meta device refuses to mix with any other, as a GPU does."""
    prior, known = torch.rand(2, 45, 83, device='meta'), torch.ones(2, 9, device='meta')
    prompts = PromptList(45, 83, known.long(), known, known.bool())
    fits = LocalFits.prepare(prior, prompts, torch.float32, regularized=True)
    rows, columns = torch.rand(12, device='meta'), torch.rand(21, device='meta')
    slot, squared = nearest_prompts(prompts, rows, columns, 5)
    grid = fits.solve(fits.neighborhoods(slot, squared))
    refined = prompts.limit(refine(prior, prior, fits, grid, slot, 4))
    assert refined.device.type == 'meta'
    assert refined.shape == prior.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('stride', [1, 4])
def test_gpu_agrees_with_the_cpu(stride):
    prior, prompt, _ = smooth_scene(2, 96, 128, [300, 40])
    expected = pixel_alignment(prior, prompt, stride=stride)
    aligned = pixel_alignment(prior.cuda(), prompt.cuda(), stride=stride)
    torch.testing.assert_close(aligned.distance.cpu(), expected.distance)
    # Neighbors that are equally far may be chosen differently.
    assert (aligned.inverse.cpu() / expected.inverse - 1.0).abs().mean() < 1e-4


def recorded_case(shared, name, frame_id, prompt_name):
    frame_set = load_frame_set(shared / 'data' / name)
    frame = next(frame for frame in frame_set.frames if frame.id == frame_id)
    ground_truth = frame.load_ground_truth()
    prompt = frame.load_prompt(prompt_name).to_map(frame.width, frame.height)
    prior = inverse_depth(torch.from_numpy(knn_alignment.recorded_prior(ground_truth)))[None]
    return prior, torch.from_numpy(prompt)[None]


@pytest.mark.parametrize(
    ('name', 'frame_id', 'prompt_name'),
    [('nyu', '00050', 'lowres8'), ('kittidc', '000004', 'lidar64')],
)
def test_fast_mode_is_within_one_percent_of_exact_on_recordings(
    name, frame_id, prompt_name, shared
):
    prior, prompt = recorded_case(shared, name, frame_id, prompt_name)
    exact = pixel_alignment(prior, prompt, stride=1).inverse
    fast = pixel_alignment(prior, prompt).inverse
    assert (exact / fast - 1.0).abs().mean() < 0.01
