# SPDX-License-Identifier: Apache-2.0
"""Goldens of whole DepthVLMs: images in, depth, points and losses out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    count_differences,
    not_computed,
)
from metric_depth_ros.conformance.moge_family import listen

if TYPE_CHECKING:
    from torch import Tensor

    from metric_depth_ros.networks.depthvlm import DepthVlm, Prompted

_HEAD_PARTS = {
    **{f'proj{i}': f'projects.{i}' for i in range(4)},
    **{f'resized{i}': f'resize_layers.{i}' for i in range(4)},
    **{f'layer{i}_rn': f'scratch.layer{i}_rn' for i in range(1, 5)},
    **{f'refinenet{i}': f'scratch.refinenet{i}' for i in range(1, 5)},
    'output_conv1': 'scratch.output_conv1',
}
_FUSED_UP = 'scratch.output_conv2/input'
_LOSSES = 1e-4
_EXACT = ('image_grid_thw', 'position_ids', 'points_count', 'canonical_image', 'stage1_image')
_POINTS_TOLERANCE = Tolerance(atol=1e-3)
_CHANNELS, _POSITIONS = 8, 24
_POINT_STEP = 53
_POINT_RANGE_M = (0.001, 10.0)
# The authors' images are resized by Pillow, and those of the goldens as 13 does it. Pillow 12, the
# newest for Python 3.10, makes them up to two of 255 levels otherwise.
_RESIZED_LEVELS = 0.0 if int(PIL.__version__.partition('.')[0]) >= 13 else 2.0
_PATCHES_TOLERANCE = Tolerance(atol=1e-5 + _RESIZED_LEVELS / 127.5)


def matches(golden: Golden) -> bool:
    """Whether the golden is of a DepthVLM."""
    config = golden.config
    return 'depth_head' in config and 'vision_config' in config.get('config', {})


def checks(golden: Golden) -> Iterator[Check]:
    """Run all cases: from the stored patches, as the golden asks, and from the images."""
    network = _network(golden)
    with np.load(golden.folder / 'pixel_values.npz', allow_pickle=False) as stored:
        patches = dict(stored)
    for index, case in enumerate(golden.config['cases']):
        name = f'case{index}'
        reference = patches[f'{name}_pixel_values']
        computed, seen = _images(golden, name, case)
        yield compare(name, 'pixel_values', seen, reference, _PATCHES_TOLERANCE)
        computed |= _compute(golden, network, name, case, reference)
        for quantity, value in golden.expected(name).items():
            yield _check(golden, name, quantity, computed, value)
        yield from _loss_checks(golden, network, name, case, computed)


def _network(golden: Golden) -> DepthVlm:
    from metric_depth_ros.networks.checkpoints import load_strict
    from metric_depth_ros.networks.depthvlm import DepthVlm, DepthVlmConfig, usable_state
    from metric_depth_ros.networks.depthvlm_head import DptHeadConfig

    described = golden.config['depth_head']
    head = DptHeadConfig(described['features'], tuple(described['out_channels']))
    config = DepthVlmConfig(golden.config['config'], head)
    network = DepthVlm(config).eval()
    load_strict(network, usable_state(golden.weights(), tied=config.tied))
    network.after_loading()
    return network


def _check(
    golden: Golden, case: str, quantity: str, computed: Mapping[str, Any], reference: Any
) -> Check:
    if quantity not in computed:
        return not_computed(case, quantity)
    value = computed[quantity]
    label = quantity.removeprefix('i_')
    if quantity.startswith('stage1_image') and _RESIZED_LEVELS:
        return compare(case, label, value, reference, Tolerance(atol=_RESIZED_LEVELS))
    if quantity.startswith(_EXACT):
        return count_differences(case, label, value, reference)
    if quantity.startswith('points'):
        return compare(case, label, value, reference, _POINTS_TOLERANCE)
    key = 'depth' if quantity.startswith('depth') else 'intermediates'
    return compare(case, label, value, reference, golden.tolerance('tolerances', key))


def _images(
    golden: Golden, name: str, case: Mapping[str, Any]
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Return what the three resizes make of the images, and the patches of all of them."""
    from metric_depth_ros.networks.depthvlm_images import patches, see

    computed, rows = {}, []
    for index, image in enumerate(case['images']):
        seen = see(golden.inputs[f'{name}_image{index}'], image['fx'])
        computed[f'canonical_image{index}'] = seen.canonical
        computed[f'stage1_image{index}'] = seen.staged
        rows.append(patches(seen.pixels).numpy())
    return computed, np.concatenate(rows)


def _prompted(golden: Golden, name: str, patches: NDArray[np.float32]) -> Prompted:
    import torch

    from metric_depth_ros.networks.depthvlm import Prompted

    return Prompted(
        torch.from_numpy(patches),
        torch.from_numpy(golden.outputs[f'{name}_image_grid_thw']),
        torch.from_numpy(golden.inputs[f'{name}_input_ids']),
        torch.from_numpy(golden.inputs[f'{name}_attention_mask']),
    )


def _compute(
    golden: Golden,
    network: DepthVlm,
    name: str,
    case: Mapping[str, Any],
    patches: NDArray[np.float32],
) -> dict[str, Any]:
    """Return quantity -> value of a case from its patches."""
    import torch

    prompted = _prompted(golden, name, patches)
    language = network.language.model
    heads: list[dict[str, Any]] = []
    parts = (*_HEAD_PARTS.values(), 'scratch.output_conv2', '')
    heard: dict[str, Any] = {}
    during: dict[str, Any] = {}

    def keep_head(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        heads.append({**during, 'tokens': inputs[0]})

    with (
        torch.inference_mode(),
        listen(language, ('visual.merger', 'language_model.norm'), heard),
        listen(network.depth_head, parts[:-1], during),
    ):
        hook = network.depth_head.register_forward_hook(keep_head)
        try:
            outputs, last = network.prefill(prompted, use_cache=False)
        finally:
            hook.remove()
    computed: dict[str, Any] = {
        'patches': patches,
        'image_grid_thw': prompted.image_grid_thw.numpy(),
        'logits_last': last.logits[:, -1].numpy(),
        'i_visual_merger': heard['visual.merger'].numpy(),
        'i_llm_prenorm': heard['language_model.norm/input'].numpy(),
        'i_llm_postnorm': heard['language_model.norm'].numpy(),
        'position_ids': _positions(network, prompted),
    }
    for index, (image, output, steps) in enumerate(
        zip(case['images'], outputs, heads, strict=True)
    ):
        depth = output.depth.numpy()
        found = {
            'depth': depth,
            'i_pre_softplus': output.logits.numpy(),
            **_head_steps(steps),
            **_sizes(depth, image),
            **_points(golden.inputs[f'{name}_image{index}'], depth, image['fx']),
        }
        for quantity, value in found.items():
            separator = '_' if quantity.startswith('i_') else ''
            computed[f'{quantity}{separator}{index}'] = value
    return computed


def _positions(network: DepthVlm, prompted: Prompted) -> NDArray[np.int64]:
    positions, _ = network.language.model.get_rope_index(
        prompted.input_ids,
        mm_token_type_ids=(prompted.input_ids == network.image_token).int(),
        image_grid_thw=prompted.image_grid_thw,
        attention_mask=prompted.attention_mask,
    )
    return positions.numpy()


def _head_steps(steps: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return what a head computed on its way, as the golden samples it."""
    found = {f'i_{name}': _sampled(steps[part]) for name, part in _HEAD_PARTS.items()}
    found['i_fused_up'] = _sampled(steps[_FUSED_UP])
    for index, layer in enumerate(steps['tokens']):
        found[f'i_f{index}'] = layer.numpy()
    return found


def _sampled(value: Tensor) -> NDArray[np.float32]:
    step = max(1, value.shape[-1] // _POSITIONS)
    return value[0, :_CHANNELS, ::step, ::step].numpy()


def _sizes(depth: NDArray[np.float32], image: Mapping[str, Any]) -> dict[str, Any]:
    """Return a depth at the sizes of evaluation, of the image, and of training."""
    import torch

    from metric_depth_ros.networks.depthvlm_head import resized

    width, height = image['canonical_size_wh']
    tensor = torch.from_numpy(depth)[None, None]
    return {
        'depth_canonical': cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR),
        'depth_original': _original(depth, (image['w'], image['h'])),
        'depth_training_resize': resized(tensor, (height, width))[0, 0].numpy(),
    }


def _original(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR)


def _points(
    image: NDArray[np.uint8], depth: NDArray[np.float32], focal_px: float
) -> dict[str, Any]:
    """Return the cloud of the authors' demonstration: its center is that of the image."""
    height, width = image.shape[:2]
    z = _original(depth, (width, height)).reshape(-1)
    v, u = np.divmod(np.arange(height * width), width)
    kept = (z > _POINT_RANGE_M[0]) & (z < _POINT_RANGE_M[1])
    x, y = (u - 0.5 * width) * z / focal_px, (v - 0.5 * height) * z / focal_px
    cloud = np.stack((x, y, z), axis=-1)[kept]
    return {
        'points': cloud[::_POINT_STEP],
        'points_rgb': image.reshape(-1, 3)[kept][::_POINT_STEP],
        'points_count': kept.sum(),
    }


def _loss_checks(
    golden: Golden,
    network: DepthVlm,
    name: str,
    case: Mapping[str, Any],
    computed: Mapping[str, Any],
) -> Iterator[Check]:
    import torch

    from metric_depth_ros.conformance.depthvlm_losses import depth_loss, text_loss

    prompted = _prompted(golden, name, computed['patches'])
    depths = [torch.from_numpy(computed[f'depth{i}']) for i in range(len(case['images']))]
    truths = [torch.from_numpy(golden.inputs[f'{name}_gt{i}']) for i in range(len(depths))]
    labels = torch.from_numpy(golden.inputs[f'{name}_labels'])
    expected = case['losses']
    with torch.inference_mode():
        alone = [depth_loss([d], [t]) for d, t in zip(depths, truths, strict=True)]
        depth = depth_loss(depths, truths)
        text = text_loss(network.logits(prompted), labels)
    found = {
        'depth': depth,
        'lm': text,
        'total': text + depth,
        'total_no_text': depth,
        'silog_per_image': torch.stack(alone),
    }
    for quantity, value in found.items():
        tolerance = Tolerance(rtol=_LOSSES)
        yield compare(name, f'loss {quantity}', value.numpy(), expected[quantity], tolerance)
