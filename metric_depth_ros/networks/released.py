# SPDX-License-Identifier: Apache-2.0
"""Networks whose modules carry their authors' names. Imports torch and siblings."""

from __future__ import annotations

from torch import Tensor, nn

from metric_depth_ros.networks.backbones import Backbone
from metric_depth_ros.networks.key_names import State


class ReleasedNetwork(nn.Module):
    """A network whose keys are its authors', but for those of the transformers in it."""

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        return self._translated(state, to_official=False)

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names and shapes."""
        return self._translated(state, to_official=True)

    def _translated(self, state: State, *, to_official: bool) -> dict[str, Tensor]:
        backbones = {
            f'{name}.': module
            for name, module in self.named_modules()
            if isinstance(module, Backbone)
        }
        outside = tuple(backbones)
        translated = {key: value for key, value in state.items() if not key.startswith(outside)}
        for prefix, backbone in backbones.items():
            part = {
                key.removeprefix(prefix): value
                for key, value in state.items()
                if key.startswith(prefix)
            }
            names = backbone.to_official(part) if to_official else backbone.from_official(part)
            translated.update({prefix + key: value for key, value in names.items()})
        return translated
