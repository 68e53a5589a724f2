# SPDX-License-Identifier: Apache-2.0
"""Where examples come from: shards, frame sets, folders laid out as KITTI depth completion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from metric_depth_ros.errors import InputError
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.folders import FrameSetSource, KittiSource
from metric_depth_ros.training.shards import ShardSource


class ExampleSource(Protocol):
    """Numbered examples."""

    @property
    def groups(self) -> Sequence[int]:
        """Examples of each file or folder that is quick to read together, in order."""
        ...

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def load(self, index: int) -> Example:
        """Read an example; depth is as `Example` has it."""
        ...


SOURCE_KINDS = ('shards', 'frames', 'kitti')


def open_source(path: Path, kind: str) -> ExampleSource:
    """Open a source of one of `SOURCE_KINDS`.

    Raises
    ------
    InputError
        Nothing of the kind there.
    """
    if not path.exists():
        remedy = ', or make some there with `metric-depth make-shards`' if kind == 'shards' else ''
        raise InputError(
            'training_data', f'there is no {path} to take examples from: name another{remedy}.'
        )
    if kind == 'shards':
        return ShardSource(path)
    return FrameSetSource(path) if kind == 'frames' else KittiSource(path)
