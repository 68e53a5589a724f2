# SPDX-License-Identifier: Apache-2.0
"""Recording of the intermediate results of a pyramid network, by forward hooks. Torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_OF_DEPTH_PRO = {'encoder.image_encoder': 'image_vit_out', 'fov.encoder.0': 'fov_vit_out'}


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
    recording = _Recording()
    encoder = network.get_submodule('encoder')
    hooked: list[tuple[nn.Module, Any]] = [
        (encoder.get_submodule('patch_encoder'), partial(recording.backbone, 'vit_out')),
        (encoder.get_submodule('merge_high'), recording.merge),
        (encoder.get_submodule('merge_middle'), recording.merge),
        (encoder, recording.encoder),
        (network.get_submodule('decoder'), recording.decoder),
        (network, recording.network),
    ]
    modules = dict(network.named_modules())
    for path, name in _OF_DEPTH_PRO.items():
        if path in modules:
            hooked.append((modules[path], partial(recording.backbone, name)))
    hooks = [module.register_forward_hook(hook) for module, hook in hooked]
    try:
        yield recording.found
    finally:
        for hook in hooks:
            hook.remove()


class _Recording:
    """Forward hooks, and what they have seen."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}
        self._merges = 0

    def backbone(self, name: str, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        tokens, taps = output
        kept = torch.cat([tokens[:, :1], tokens[:, module.prefix_tokens :]], dim=1)
        seen = {name: kept, **{f'tap{index}': tap for index, tap in enumerate(taps)}}
        if name == 'vit_out':
            seen['vit_in'] = inputs[0]
        for key, value in seen.items():
            before = self.found.get(key)
            self.found[key] = value if before is None else torch.cat([before, value])

    def merge(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.found[f'merge{self._merges}'] = output
        self._merges += 1

    def encoder(self, module: nn.Module, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        self.found['network_input'] = inputs[0]
        self.found.update({f'encoding{index}': value for index, value in enumerate(output)})

    def decoder(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.found['decoder_features'], self.found['decoder_lowres'] = output

    def network(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        self.found.update(zip(('canonical_inverse_depth', 'fov_deg'), outputs, strict=False))
