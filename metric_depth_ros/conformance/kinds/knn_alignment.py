# SPDX-License-Identifier: Apache-2.0
"""Goldens of Prior-Depth-Anything's alignment of a prior to prompts.

The reference adds random jitter to the prior; the values to meet are those without it, at the
pixels where the jitter hardly matters and the neighbors are beyond doubt. Cases that the
reference refuses are not run. Cases on recorded frames store no inputs: they run where a folder
``data`` with the frame set lies beside one of the golden's parent folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import Check, Golden, Tolerance, compare
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import INDEX_NAME, load_frame_set

if TYPE_CHECKING:
    from torch import Tensor

_OUTSIDE_SHARE = 0.01  # of the remaining pixels that may leave the range of the reference's runs


def matches(golden: Golden) -> bool:
    """Whether the golden is of the alignment."""
    return {'case0_knn_exact', 'case0_stable'} <= golden.outputs.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Align the stored cases, then the recorded ones that are at hand."""
    import torch

    for index, settings in enumerate(golden.config['cases']):
        if 'official_error' in settings:
            continue
        case = f'case{index}'
        prior, prompt, mask = (
            torch.from_numpy(golden.inputs[f'{case}_{name}'])
            for name in ('prior_depth', 'prompt_depth', 'prompt_mask')
        )
        stored = golden.expected(case)
        shape = stored['knn_exact'].shape
        for flag in ('stable', 'tie'):
            stored[flag] = np.unpackbits(stored[flag])[: prior.numel()].reshape(shape) > 0
        yield from _compare_maps(golden, case, _align(prior, prompt, mask), stored)
        yield _check_global(case, prior, prompt, mask, stored['global_st_exact'])
    for recorded in golden.config.get('real', ()):
        folder = _find_frame_set(golden.folder, recorded['set'])
        if folder is not None:
            yield from _check_recorded(golden, recorded, folder)


def recorded_prior(ground_truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the prior depth that recorded cases use: blurred, bent ground truth (NaN = none)."""
    known = np.isfinite(ground_truth)
    kernel = cv2.getGaussianKernel(25, 4.0, cv2.CV_64F)
    power = np.where(known, ground_truth, 0.0).astype(np.float64) ** 0.8
    blurred, share = (
        cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
        for image in (power, known.astype(np.float64))
    )
    mean = np.where(share > 1e-3, blurred / np.maximum(share, 1e-9), np.median(power[known]))
    return (1.7 * mean + 0.2).astype(np.float32)


def _align(prior: Tensor, prompt: Tensor, mask: Tensor | None) -> NDArray[np.float32]:
    from metric_depth_ros.estimators.alignment import inverse_depth, pixel_alignment

    aligned = pixel_alignment(inverse_depth(prior), prompt, mask, stride=1, regularized=False)
    return aligned.inverse.numpy()


def _compare_maps(
    golden: Golden, case: str, value: NDArray[np.float32], stored: dict[str, NDArray[Any]]
) -> Iterator[Check]:
    exact = stored['knn_exact']
    yield compare(
        case, 'knn_exact', value, exact, _stable_tolerance(golden), stored['stable'].astype(bool)
    )
    rest = ~stored['stable'].astype(bool) & ~stored['tie'].astype(bool) & np.isfinite(exact)
    if rest.any():
        low, high = stored['knn_min'].astype(np.float64), stored['knn_max'].astype(np.float64)
        margin = 0.5 * (high - low) + 3e-5 + 1e-3 * np.abs(exact)
        outside = (value < low - margin) | (value > high + margin)
        yield Check(case, 'share outside the range', float(outside[rest].mean()), _OUTSIDE_SHARE)


def _stable_tolerance(golden: Golden) -> Tolerance:
    text = str(golden.config['tolerance']['stable pixels'])
    found = re.search(r'<= ([\d.e-]+)\*\|knn_exact\|\+([\d.e-]+)', text)
    if found is None:
        raise InputError('golden_file', f'{golden.folder}: the tolerance {text!r} cannot be read.')
    return Tolerance(rtol=float(found[1]), atol=float(found[2]))


def _check_global(
    case: str, prior: Tensor, prompt: Tensor, mask: Tensor, expected: NDArray[np.float64]
) -> Check:
    from metric_depth_ros.estimators.alignment import PromptList, fit_global, inverse_depth

    pooled = (1, -1, prior.shape[-1])  # the reference fits all prompts of a batch together
    prompts = PromptList.from_map(prompt.reshape(pooled), mask.reshape(pooled))
    sampled = prompts.sample(inverse_depth(prior).reshape(pooled))
    fit = fit_global(sampled, prompts.inverse, prompts.valid, regularized=False)
    value = [float(fit.scale), float(fit.shift)]
    return compare(case, 'global_st_exact', value, expected, Tolerance(rtol=1e-4))


def _find_frame_set(folder: Path, name: str) -> Path | None:
    candidates = (parent / 'data' / name for parent in folder.resolve().parents)
    return next((path for path in candidates if (path / INDEX_NAME).is_file()), None)


def _check_recorded(golden: Golden, recorded: dict[str, Any], folder: Path) -> Iterator[Check]:
    import torch

    case = f'real_{recorded["set"]}_{recorded["frame"]}_{recorded["prompt"]}'
    stored = golden.expected(case)
    frame = next(f for f in load_frame_set(folder).frames if f.id == recorded['frame'])
    ground_truth = frame.load_ground_truth()
    if ground_truth is None:
        raise InputError('golden_file', f'{folder}: frame {frame.id} has no ground truth.')
    prior = recorded_prior(ground_truth)
    pixels = stored['idx']
    yield compare(
        case,
        'prior_check',
        prior.ravel()[pixels[::50]],
        stored['prior_check'].ravel(),
        Tolerance(rtol=1e-4),
    )
    prompt = frame.load_depth_map(recorded['prompt'])  # the authors' code removes no point
    value = _align(torch.from_numpy(prior)[None], torch.from_numpy(prompt)[None], None)[0]
    known = np.isfinite(ground_truth)
    depth = np.where(value > 0.0, 1.0 / value, 0.0)[known]
    abs_rel = np.mean(np.abs(depth - ground_truth[known]) / ground_truth[known])
    yield from _compare_maps(golden, case, value.ravel()[pixels], stored)
    yield compare(
        case, 'absrel_knn', abs_rel, recorded['absrel_knn_all_valid'], Tolerance(rtol=0.01)
    )
