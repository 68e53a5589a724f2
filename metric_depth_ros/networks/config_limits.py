# SPDX-License-Identifier: Apache-2.0
"""Limits of what configurations of transformers may ask for, held before they are obeyed.

A few hundred bytes of a ``config.json`` can ask for a million layers, or for a list of a million
labels, and transformers begins to make them; those of a ``preprocessor_config.json`` for images
that no memory holds. Imports `errors` and siblings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from reprlib import repr as shown
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones import MOST_BLOCKS
from metric_depth_ros.networks.checkpoint_files import listed

LARGEST_SIDE_PX = 1 << 13  # of an image that a preprocessor makes
_LARGEST_NUMBER = 1 << 31
_LARGEST_SIZE = 1 << 16  # channels, labels, entries
_LONGEST_LIST = 128  # of numbers; words, such as the names of layers, may be more
_MOST_PARTS = 64  # of a block, or stages of blocks: numbers that multiply others
_LIMITS = (
    (re.compile(r'depths?|(n_|num_)?layers|num_\w+_layers'), MOST_BLOCKS),
    (re.compile(r'\w*num\w*_(blocks|stages|layers|experts)|focal_levels'), _MOST_PARTS),
    (re.compile(r'num_labels|head_dim|\w*hidden_size|intermediate_size'), _LARGEST_SIZE),
)


def refuse_excess(config: Mapping[str, Any], source: str) -> None:
    """Refuse numbers, lists and dicts larger than those of any network.

    Parameters
    ----------
    config
        Parsed JSON.
    source
        Where it comes from, for the message.

    Raises
    ------
    InputError
        `checkpoint_config`, with the key, its value and the limit.
    """
    pending: list[tuple[str, Any]] = [('the whole', config)]
    while pending:
        key, value = pending.pop()
        for number, of_what, most in _claims(key, value):
            if number > most:
                raise InputError(
                    'checkpoint_config',
                    f'{listed([key])} in {source} is {shown(value)}, expected at most {most}'
                    f'{of_what}: nothing is built of it. Fetch it from its authors again.',
                )
        if isinstance(value, Mapping):
            pending += [(str(name), part) for name, part in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(key, part) for part in value]


def refuse_large_images(config: Mapping[str, Any], source: str) -> None:
    """Refuse a preprocessor of images that has a number larger than any image's side.

    Parameters
    ----------
    config, source
        As of `refuse_excess`.

    Raises
    ------
    InputError
        `checkpoint_config`, with the key, its value and the limit.
    """
    pending: list[tuple[str, Any]] = [(str(key), value) for key, value in config.items()]
    while pending:
        key, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(f'{key}.{name}', part) for name, part in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(key, part) for part in value]
        elif type(value) in (int, float) and not abs(value) <= LARGEST_SIDE_PX:
            raise InputError(
                'checkpoint_config',
                f'{listed([key])} in {source} is {shown(value)}, expected at most '
                f'{LARGEST_SIDE_PX} (pixels of a side): no image is resized to it. Fetch it from '
                'its authors again.',
            )


def _claims(key: str, value: Any) -> Iterator[tuple[int, str, int]]:
    """Yield the numbers that a value claims, of what, and how many there may be."""
    most = next((most for name, most in _LIMITS if name.fullmatch(key)), _LARGEST_NUMBER)
    if isinstance(value, Mapping):
        yield len(value), ' entries', _LARGEST_SIZE
    elif isinstance(value, list | tuple):
        words = all(isinstance(part, str) for part in value)
        yield len(value), ' entries', _LARGEST_SIZE if words else _LONGEST_LIST
        yield sum(abs(part) for part in value if type(part) is int), ' together', most
    elif type(value) is int:
        yield abs(value), '', most
