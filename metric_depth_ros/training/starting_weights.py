# SPDX-License-Identifier: Apache-2.0
"""Weights that a training begins with: a whole network's, or those of a part of it. Torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoint_files import listed
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.networks.key_names import State

_LOGGER = logging.getLogger(__name__)


def start_from(
    network: nn.Module,
    path: Path,
    new_prefixes: Sequence[str],
    backbone_prefixes: Sequence[str],
    unused_prefixes: Sequence[str] = (),
) -> None:
    """Load weights; nothing of a checkpoint is executed.

    Parameters
    ----------
    network
        With random weights.
    path
        Checkpoint with official names or the network's own: of the whole network, or of its
        backbone alone, the names then without that part's.
    new_prefixes
        Beginnings of the names of parts that may be missing and stay random.
    backbone_prefixes
        Beginnings of the names of the backbone's weights; the first of them is that of the
        transformer that may come alone.
    unused_prefixes
        Beginnings of the names of parts that are left out: those of a network with more heads.

    Raises
    ------
    InputError
        A checkpoint that cannot be read, has what the network has not, or lacks what may not be
        missing.
    """
    state = _without(read_checkpoint(path).state, unused_prefixes)
    own = network.state_dict()
    may_be_missing = tuple(new_prefixes)
    if backbone_prefixes and not _name_parts(state) & _name_parts(own):
        backbone = backbone_prefixes[0]
        state = {backbone + name: tensor for name, tensor in state.items()}
        may_be_missing = tuple(name for name in own if not name.startswith(backbone))
    translate = getattr(network, 'from_official', None)
    if translate is not None:
        state = translate(state)
    if found := _misfits(state, own, may_be_missing):
        raise InputError(
            'training_start',
            f'{path} does not fit {type(network).__name__}: {"; ".join(found)}. start_from takes '
            'weights of the same architecture: check network.',
        )
    if missing := own.keys() - state.keys():
        _LOGGER.info('%s: %d tensors begin at random', path, len(missing))
    network.load_state_dict(state, strict=False)


def _without(state: State, prefixes: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights whose names have none of these beginnings."""
    left_out = tuple(prefixes)
    return {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}


def _name_parts(state: State) -> set[str]:
    """Return the parts of a network that weights are of."""
    return {name.partition('.')[0] for name in state}


def _misfits(state: State, own: State, may_be_missing: tuple[str, ...]) -> list[str]:
    """Return what of a state does not fit the network's own."""
    faults = {
        'unexpected': [name for name in state if name not in own],
        'missing': [
            name for name in own if name not in state and not name.startswith(may_be_missing)
        ],
        'of another shape': [
            name for name in own if name in state and own[name].shape != state[name].shape
        ],
    }
    return [f'{len(names)} {fault} ({listed(names)})' for fault, names in faults.items() if names]
