# SPDX-License-Identifier: Apache-2.0
"""Goldens of DepthLM: how it is shown a pixel and asked, and how its answers are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.depthlm_training import trained_solution, training_sample
from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    count_differences,
)
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation import depthlm_protocol as protocol
from metric_depth_ros.networks.depthlm_images import (
    MARKER_OFFSETS,
    UnifiedImage,
    distance_to_z,
    rays,
    unify,
)
from metric_depth_ros.networks.depthlm_text import (
    QUESTION,
    SYSTEM,
    messages,
    official_reward,
    official_value,
    qwen_prompt,
    target,
    thinking,
)

_AROUND = 12
_EXACT = Tolerance()
_INTRINSICS = Tolerance(rtol=1e-6)
_RELATIVE = Tolerance(rtol=1e-9)
_VALUE = Tolerance(atol=1e-12)


def matches(golden: Golden) -> bool:
    """Whether the golden is of DepthLM."""
    return {'chat', 'parsing', 'distance_to_z', 'eval_border_skip'} <= golden.config.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Compute images, markers, texts, numbers and the order of samples."""
    for index, case in enumerate(golden.config['cases']):
        yield from _image_checks(golden, f'case{index}', case)
    yield from _chat_checks(golden.config['chat'])
    yield from _answer_checks(golden.config['parsing'])
    yield from _metric_checks(golden.config['metric'])
    yield from _distance_checks(golden.config['distance_to_z'])
    yield from _sampling_checks(golden.config['sampling'])
    yield from _training_checks(golden)
    yield from _border_checks(golden.config['eval_border_skip'])


def _image_checks(golden: Golden, name: str, case: Mapping[str, Any]) -> Iterator[Check]:
    image = golden.inputs[f'{name}_image']
    unified = unify(image, tuple(case['K']), case['f_uni'])
    yield compare(name, 'K before', unified.before, case['K_after_undistort'], _INTRINSICS)
    yield compare(name, 'K', unified.after, case['K_new'], _INTRINSICS)
    yield count_differences(name, 'size', unified.resized.shape[1::-1], case['resized_wh'])
    yield count_differences(name, 'resized', unified.resized, golden.outputs[f'{name}_resized'])
    yield _same_text(name, 'digest', _digest(unified.resized), case['sha256_resized'])
    if f'{name}_undistorted' in golden.outputs:
        # The authors' correction of pixels that are not square, which corrects nothing.
        yield count_differences(name, 'undistorted', image, golden.outputs[f'{name}_undistorted'])
    for index, point in enumerate(case['points']):
        crop = golden.outputs.get(f'{name}_crop{index}')
        yield from _point_checks(f'{name} point {index}', unified, point, crop)


def _point_checks(
    name: str,
    unified: UnifiedImage,
    point: Mapping[str, Any],
    crop: NDArray[np.uint8] | None,
) -> Iterator[Check]:
    pixel = unified.pixel(point['pixel'])
    yield count_differences(name, 'pixel', pixel, point['mapped_pixel'])
    drawn = unified.can_be_marked(pixel)
    yield count_differences(name, 'marker drawn', drawn, point['marker_drawn'])
    if not drawn:
        yield count_differences(name, 'refused', _refuses(unified, pixel), True)
        return
    marked = unified.marked(pixel)
    yield _same_text(name, 'marked', _digest(marked), point['sha256_marked'])
    offsets = sorted(list(offset) for offset in MARKER_OFFSETS)
    yield count_differences(name, 'offsets', offsets, point['red_offsets_dxdy'])
    if crop is not None:
        left, top = (max(0, side - _AROUND) for side in pixel)
        around = marked[top : pixel[1] + _AROUND + 1, left : pixel[0] + _AROUND + 1]
        yield count_differences(name, 'around', around, crop)
    yield _same_text(name, 'question', QUESTION, point['prompt'])
    yield _same_text(name, 'system', SYSTEM, point['system'])
    yield _same_text(name, 'thinking', thinking(point['distance']), point['thinking'])
    solution = protocol.solution(point['distance'])
    yield _same_text(name, 'solution', solution, point['solution'])


def _refuses(unified: UnifiedImage, pixel: tuple[int, int]) -> bool:
    try:
        unified.marked(pixel)
    except InputError:
        return True
    return False


def _chat_checks(chat: Mapping[str, Any]) -> Iterator[Check]:
    for kind, expected in chat['messages'].items():
        text = json.dumps(messages(kind, '<PIL>'), sort_keys=True)
        yield _same_text('chat', kind, text, json.dumps(expected, sort_keys=True))
    for kind, expected in chat['rendered_text'].items():
        yield _same_text('chat', f'{kind} text', qwen_prompt(), expected)
    yield _same_text('chat', 'target', target(2.346), chat['sft']['assistant_message'])


def _answer_checks(answers: Any) -> Iterator[Check]:
    for index, answer in enumerate(answers):
        name = f'answer {index}'
        value = official_value(answer['text'])
        if value is None or answer['parsed'] is None:
            yield count_differences(name, 'failure', value is None, answer['parsed'] is None)
        else:
            yield compare(name, 'value', value, answer['parsed'], _VALUE)
        truth = official_value(answer['solution'])
        reward = official_reward(answer['text'], truth or 0.0)
        yield compare(name, 'reward', reward, answer['delta1'], _EXACT)


def _metric_checks(metric: Mapping[str, Any]) -> Iterator[Check]:
    truths = [official_value(text) or 0.0 for text in metric['solutions']]
    rewards = [
        official_reward(text, truth) for text, truth in zip(metric['texts'], truths, strict=True)
    ]
    yield compare('metric', 'per sample', rewards, metric['per_sample'], _EXACT)
    yield compare('metric', 'mean', np.mean(rewards), metric['mean'], _VALUE)


def _distance_checks(points: Any) -> Iterator[Check]:
    for index, point in enumerate(points):
        name = f'distance {index}'
        intrinsics = tuple(point['K'])
        pixels, distance = np.array([point['pixel']]), np.array([point['distance']])
        z = distance_to_z(distance, pixels, intrinsics)
        ray = rays(pixels, intrinsics)
        yield compare(name, 'ray', np.linalg.norm(ray), point['ray_norm'], _RELATIVE)
        yield compare(name, 'z', z[0], point['z'], _RELATIVE)
        yield compare(name, 'point', z[0] * ray[0], point['xyz'], _RELATIVE)
        there = np.linalg.norm(z * ray)
        yield compare(name, 'distance', there, point['distance_from_z_curation'], _RELATIVE)


def _sampling_checks(sampling: Mapping[str, Any]) -> Iterator[Check]:
    for name, expected in sampling.items():
        if not isinstance(expected, Mapping):
            continue
        records = expected['n_records']
        order = protocol.record_order(records, scannet=name.startswith('scannet'))
        if isinstance(expected['record_order'], list):
            yield count_differences(name, 'records', order, expected['record_order'])
        per_image = expected['points_per_image']
        length = len(order) * per_image
        points = list(islice(protocol.point_order(per_image), length))
        yield count_differences(name, 'points', points, expected['point_index'])
        yield count_differences(name, 'length', length, expected['length'])


def _training_checks(golden: Golden) -> Iterator[Check]:
    training = golden.config['train_crop']
    limits = training['limits']
    records = training['records']
    images = [golden.inputs[f'train_image{index}'] for index in range(len(records))]
    for index, item in enumerate(training['items']):
        name = f'training {index}'
        sample = training_sample(
            images,
            records,
            item['index'] % len(records),
            focal_px=limits['normalized_focal_length'],
            heights=(limits['height_min'], limits['height_max']),
            widths=(limits['width_min'], limits['width_max']),
            seed=item['python_random_seed'],
        )
        reference = golden.outputs[f'train{index}_image']
        yield count_differences(name, 'image', sample.image, reference)
        yield _same_text(name, 'digest', _digest(sample.image), item['sha256'])
        yield _same_text(name, 'thinking', thinking(sample.distance), item['thinking'])
        solution = trained_solution(sample.distance)
        yield _same_text(name, 'solution', solution, item['solution'])


def _border_checks(samples: Any) -> Iterator[Check]:
    """Hold the order in which samples are served against theirs, from which ones repeat."""
    pixels = [tuple(sample['pixel']) for sample in samples]
    following = [*pixels[1:], None]
    can_be_marked = [this != other for this, other in zip(pixels, following, strict=True)]
    for sample, pixel in zip(samples, pixels, strict=True):
        served = protocol.served(sample['k'], len(pixels), can_be_marked.__getitem__)
        found = pixels[served]
        yield count_differences(f'sample {sample["k"]}', 'served', found, pixel)


def _digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def _same_text(case: str, quantity: str, value: str, reference: str) -> Check:
    return count_differences(case, quantity, value == reference, True)
