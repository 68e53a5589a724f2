# SPDX-License-Identifier: Apache-2.0
"""Whether a network has exactly the keys and shapes of the published one.

Without the checkpoint, and without allocating a weight: networks are built on the meta device.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.networks.checkpoints import Network, parameter_count, released_keys

Keys = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class KeyReport:
    """Result of `check_keys`.

    Parameters
    ----------
    parameters, keys
        Counts of the network.
    differences
        A line for each difference to the published network.
    compared
        What it was compared with, in words; empty where there is no list of keys.
    """

    parameters: int
    keys: int
    differences: tuple[str, ...]
    compared: str


def check_keys(name: str, released: Keys | None = None) -> KeyReport:
    """Compare a network with a released list, or with the digest that the package ships.

    Parameters
    ----------
    name
        One of `catalog.MODELS`.
    released
        Key -> shape of the released checkpoint; differences are then named one by one.
    """
    network = build_network(name)
    ours = released_keys(cast(Network, network))
    if released is not None:
        differences, compared = _differences(ours, released), 'the given list'
    else:
        differences, compared = _digest_differences(name, ours)
    return KeyReport(parameter_count(network), len(ours), tuple(differences), compared)


def read_released(path: Path) -> Keys:
    """Read key -> shape from a JSON file.

    Raises
    ------
    InputError
        Not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError('released_keys', f'{path} cannot be read: {error}.') from error
    if isinstance(content, dict) and isinstance(content.get('keys'), dict):
        content = content['keys']  # beside what else is known of the checkpoint
    if not isinstance(content, dict) or not all(_is_shape(shape) for shape in content.values()):
        raise InputError(
            'released_keys', f'{path} does not hold key -> shape: expected {{"a.weight": [8, 3]}}.'
        )
    return content


def keys_digest(keys: Keys) -> str:
    """Return the SHA-256 over the sorted ``key:shape`` lines, e.g. ``cls_token:1x1x1280``."""
    lines = (f'{key}:{"x".join(map(str, shape))}' for key, shape in sorted(keys.items()))
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(side) is int for side in value)


def _differences(ours: Keys, released: Keys) -> list[str]:
    return [
        *(f'missing here: {key} {list(released[key])}' for key in released if key not in ours),
        *(f'not released: {key} {list(ours[key])}' for key in ours if key not in released),
        *(
            f'{key} is {list(ours[key])}, released {list(released[key])}'
            for key in ours
            if key in released and list(ours[key]) != list(released[key])
        ),
    ]


def _digest_differences(name: str, ours: Keys) -> tuple[list[str], str]:
    model = MODELS[name]
    if not model.released_digest:
        return [], ''
    compared = f'the digest of the {model.released_keys} keys of {model.keys_of}'
    if keys_digest(ours) == model.released_digest:
        return [], compared
    return [f'keys or shapes differ from {compared}; --released FILE names which'], compared
