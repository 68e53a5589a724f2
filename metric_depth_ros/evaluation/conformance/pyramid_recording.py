# SPDX-License-Identifier: Apache-2.0
"""What a pyramid network computes on its way, under the names of the goldens. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def record_intermediates(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record what a pyramid network computes on its way, under the names of the goldens.

    Parameters
    ----------
    network
        A network with `encoder` (`PyramidEncoder`) and `decoder`.

    Yields
    ------
    dict
        Filled by the next forward pass, whole tensors: ``network_input``, ``vit_in``, ``tapN``
        (raw block outputs), ``vit_out`` (class token and patches), ``mergeN`` in the order of the
        calls, ``encodingN``, ``decoder_features``, ``decoder_lowres`` and
        ``canonical_inverse_depth``; of Depth Pro also ``image_vit_out``, ``fov_vit_out`` and
        ``fov_deg``.
    """
    record: dict[str, Tensor] = {}
    merges: list[Tensor] = []
    encoder = network.get_submodule('encoder')
    backbone = encoder.get_submodule('patch_encoder')

    def on_backbone(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
            tokens, taps = output
            prefix = module.prefix_tokens
            kept = torch.cat([tokens[:, :1], tokens[:, prefix:]], dim=1)
            found = {name: kept, **{f'tap{index}': tap for index, tap in enumerate(taps)}}
            if name == 'vit_out':
                found['vit_in'] = inputs[0]
            for key, value in found.items():
                record[key] = torch.cat([record[key], value]) if key in record else value

        return hook

    def on_merge(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        record[f'merge{len(merges)}'] = output
        merges.append(output)

    def on_encoder(module: nn.Module, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        record['network_input'] = inputs[0]
        record.update({f'encoding{index}': value for index, value in enumerate(output)})

    def on_decoder(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        record['decoder_features'], record['decoder_lowres'] = output

    def on_network(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        record.update(zip(('canonical_inverse_depth', 'fov_deg'), outputs, strict=False))

    hooks = [
        backbone.register_forward_hook(on_backbone('vit_out')),
        encoder.get_submodule('merge_high').register_forward_hook(on_merge),
        encoder.get_submodule('merge_middle').register_forward_hook(on_merge),
        encoder.register_forward_hook(on_encoder),
        network.get_submodule('decoder').register_forward_hook(on_decoder),
        network.register_forward_hook(on_network),
    ]
    for path, name in (
        ('encoder.image_encoder', 'image_vit_out'),
        ('fov.encoder.0', 'fov_vit_out'),
    ):
        module = dict(network.named_modules()).get(path)
        if module is not None:
            hooks.append(module.register_forward_hook(on_backbone(name)))
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()
