# SPDX-License-Identifier: Apache-2.0
"""What the goldens of MoGe-2 and LingBot-Depth networks have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    compare,
    count_differences,
    not_computed,
)
from metric_depth_ros.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_RELATIVE = ('depth', 'intrinsics')


def model_config(golden: Golden) -> dict[str, Any]:
    """Return the model_config with the transformer's shape, which the goldens have beside it."""
    shape = golden.config['backbone']
    fixed = {'arch': 'dinov2', 'mlp_ratio': 4, 'num_register_tokens': 0, 'interpolate_offset': 0.1}
    different = {key: shape[key] for key, value in fixed.items() if shape.get(key, value) != value}
    if different:
        raise InputError(
            'golden_file', f'{golden.folder} has a backbone that is not supported: {different}.'
        )
    backbone = {
        'embed_dim': shape['embed_dim'],
        'depth': shape['depth'],
        'num_heads': shape['num_heads'],
        'patch_size': shape['patch_size'],
        'native_grid': shape['img_size'] // shape['patch_size'],
    }
    config = golden.config['model_config']
    return {**config, 'encoder': {**config['encoder'], 'backbone': backbone}}


def case_names(golden: Golden) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the configuration of every case."""
    for index, case in enumerate(golden.config['cases']):
        yield f'case{index}', case


def check_case(
    golden: Golden, name: str, computed: Mapping[str, Tensor], margin: Tensor | None
) -> Iterator[Check]:
    """Hold all stored quantities of a case against the computed ones.

    Parameters
    ----------
    golden
        Where they are stored.
    name
        The case.
    computed
        Quantity -> value, under the stored names.
    margin
        How far each pixel's mask probability is from undecided; pixels nearer than the golden
        says may go either way and are left out. None without a mask.
    """
    decided = None
    if margin is not None:
        decided = margin.numpy() >= _mask_margin(golden)
    for quantity, reference in golden.expected(name).items():
        if quantity not in computed:
            yield not_computed(name, quantity)
            continue
        value = computed[quantity].numpy()
        label = quantity.removeprefix('i_')
        if quantity == 'mask':
            yield count_differences(name, label, value, reference, decided)
        elif quantity.startswith('i_'):
            tolerance = golden.tolerance('tolerances', 'intermediate')
            yield compare(name, label, value, reference, tolerance)
        else:
            key = f'{quantity}_rtol' if quantity in _RELATIVE else 'points'
            tolerance = golden.tolerance('tolerances', key)
            where = decided if value.shape != () and quantity != 'intrinsics' else None
            yield compare(name, label, value, reference, tolerance, where)


@contextmanager
def listen(module: nn.Module, names: Sequence[str], heard: dict[str, Any]) -> Iterator[None]:
    """Keep what submodules return, under their names, and their first input under name/input.

    Names of submodules that the module does not have are passed over.
    """
    with ExitStack() as stack:
        for name in names:
            try:
                part = module.get_submodule(name)
            except AttributeError:
                continue

            def keep(_: Any, inputs: Any, output: Any, name: str = name) -> None:
                heard[name] = output
                heard[f'{name}/input'] = inputs[0]

            stack.callback(part.register_forward_hook(keep).remove)
        yield


def _mask_margin(golden: Golden) -> float:
    text = str(golden.config.get('tolerances', {}).get('mask', ''))
    found = re.search(r'<\s*([\d.]+(?:e[-+]?\d+)?)', text)
    return float(found[1]) if found else 0.0
