# SPDX-License-Identifier: Apache-2.0
"""Worlds of different size as one batch, for tests of what is cast at several at once."""

from dataclasses import fields

import torch
from torch import Tensor

_NOWHERE = float('nan')  # every comparison with it is false, so no ray ever meets it


def stack_worlds(worlds):
    """Return one batch of several worlds on one device, padded to the largest counts.

    What fills a world up is seen by no ray: a solid that is nowhere, a wave of no height.
    """
    return _stacked(worlds)


def _stacked(records):
    columns = {}
    for field in fields(records[0]):
        values = [getattr(record, field.name) for record in records]
        if isinstance(values[0], Tensor):
            padding = _NOWHERE if field.name == 'local_from_world' else 0.0
            columns[field.name] = _concatenate_padded(values, padding)
        else:
            columns[field.name] = _stacked(values)
    return type(records[0])(**columns)


def _concatenate_padded(tensors, padding):
    """Concatenate along the batch; the second dimension is padded to the largest."""
    if tensors[0].dim() == 1:
        return torch.cat(list(tensors))
    count = max(t.shape[1] for t in tensors)
    return torch.cat(
        [
            torch.cat((t, t.new_full((t.shape[0], count - t.shape[1], *t.shape[2:]), padding)), 1)
            for t in tensors
        ]
    )
