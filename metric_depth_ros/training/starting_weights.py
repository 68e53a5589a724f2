# SPDX-License-Identifier: Apache-2.0
"""Weights that a training begins with: a whole network's, or those of a part of it. Torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import read_checkpoint

_LOGGER = logging.getLogger(__name__)
_NAMED_AT_MOST = 5


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
    state = {
        name: tensor
        for name, tensor in read_checkpoint(path).state.items()
        if not name.startswith(tuple(unused_prefixes))
    }
    own = network.state_dict()
    allowed = tuple(new_prefixes)
    parts = {name.partition('.')[0] for name in own}
    if backbone_prefixes and not any(name.partition('.')[0] in parts for name in state):
        state = {backbone_prefixes[0] + name: tensor for name, tensor in state.items()}
        allowed = tuple(name for name in own if not name.startswith(backbone_prefixes[0]))
    translate = getattr(network, 'from_official', None)
    if translate is not None:
        state = translate(state)
    unexpected = [name for name in state if name not in own]
    missing = [name for name in own if name not in state]
    misfits = [n for n in own if n in state and own[n].shape != state[n].shape]
    lacking = [name for name in missing if not (allowed and name.startswith(allowed))]
    faults = {'unexpected': unexpected, 'missing': lacking, 'of another shape': misfits}
    found = [
        f'{len(names)} {fault} ({", ".join(names[:_NAMED_AT_MOST])})'
        for fault, names in faults.items()
        if names
    ]
    if found:
        raise InputError(
            'training_start',
            f'{path} does not fit {type(network).__name__}: {"; ".join(found)}. start_from takes '
            'weights of the same architecture: check network.',
        )
    if missing:
        _LOGGER.info('%s: %d tensors begin at random', path, len(missing))
    network.load_state_dict(state, strict=False)
