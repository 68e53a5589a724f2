# SPDX-License-Identifier: Apache-2.0
"""Reading the ``model_config`` that MoGe's and LingBot's checkpoints carry.

The architecture comes from a file, so every value is checked before anything is built from it.
Imports `errors` and its siblings.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config, find_taps, named_config
from metric_depth_ros.networks.checkpoints import Checkpoint
from metric_depth_ros.networks.convstack import ConvStackConfig

_LOGGER = logging.getLogger(__name__)

_NUM_TOKENS_RANGE = (1200, 3600)


def required_model_config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the configuration of a checkpoint, which must have one."""
    if checkpoint.model_config is None:
        raise InputError(
            'checkpoint_config',
            f'the checkpoint {checkpoint.path} has no model_config, which tells its architecture.',
        )
    return checkpoint.model_config


def part(model_config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a configuration that must be there."""
    found = model_config.get(name)
    if not isinstance(found, Mapping):
        raise InputError(
            'checkpoint_config', f'the model_config has no {name}, or it is not a dict: {found!r}.'
        )
    return found


def stack(model_config: Mapping[str, Any], name: str) -> ConvStackConfig:
    """Return the configuration of a decoder that must be there."""
    return ConvStackConfig.from_model_config(part(model_config, name), name)


def optional_stack(model_config: Mapping[str, Any], name: str) -> ConvStackConfig | None:
    """Return the configuration of a decoder, or None where there is none."""
    return None if model_config.get(name) is None else stack(model_config, name)


def integers(values: Any, name: str) -> tuple[int, ...]:
    """Return a sequence of positive integers."""
    if not isinstance(values, list | tuple) or not all(_is_count(value) for value in values):
        raise InputError(
            'checkpoint_config',
            f'{name} of the model_config is {values!r}, expected a list of positive integers.',
        )
    return tuple(values)


def choice(
    model_config: Mapping[str, Any], name: str, default: str, known: Collection[str]
) -> str:
    """Return one of several known words."""
    value = model_config.get(name, default)
    if value not in known:
        raise InputError(
            'checkpoint_config',
            f'{name} of the model_config is {value!r}, expected one of {", ".join(known)}.',
        )
    return str(value)


def num_tokens_range(model_config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of patches at the lowest and the highest resolution level."""
    values = integers(model_config.get('num_tokens_range', _NUM_TOKENS_RANGE), 'num_tokens_range')
    if len(values) != 2 or values[0] > values[1]:
        raise InputError(
            'checkpoint_config',
            f'num_tokens_range of the model_config is {values}, expected the fewest and the most.',
        )
    return values[0], values[1]


def encoder(model_config: Mapping[str, Any]) -> tuple[DinoV2Config, tuple[int, ...], int]:
    """Return the transformer's shape, its tapped blocks and the channels of the encoder's map."""
    config = part(model_config, 'encoder')
    backbone = _backbone(config.get('backbone'))
    taps = find_taps(_layers(config.get('intermediate_layers')), backbone.depth)
    (dim_out,) = integers([config.get('dim_out')], 'dim_out of the encoder')
    return backbone, taps, dim_out


def report_unknown_keys(model_config: Mapping[str, Any], known: Collection[str]) -> None:
    """Log the keys that the authors' class would ignore too."""
    unknown = sorted(str(key) for key in model_config if key not in known)
    if unknown:
        _LOGGER.warning('ignored in the model_config: %s', ', '.join(unknown))


def _backbone(value: Any) -> DinoV2Config:
    """Return a shape by its public name, or by its fields where it has none (small networks)."""
    if not isinstance(value, Mapping):
        return named_config(str(value))
    known = [field.name for field in fields(DinoV2Config) if field.type == 'int']
    if not value.keys() <= set(known) or not all(_is_count(size) for size in value.values()):
        raise InputError(
            'checkpoint_config',
            f'the backbone of the model_config is {dict(value)}, expected positive integers for '
            f'{", ".join(known)}.',
        )
    try:
        return DinoV2Config(**value)
    except TypeError as error:
        raise InputError(
            'checkpoint_config', f'the backbone of the model_config is incomplete: {error}.'
        ) from error


def _layers(value: Any) -> int | list[int]:
    if _is_count(value):
        return int(value)
    if isinstance(value, list | tuple) and all(type(index) is int for index in value):
        return list(value)
    raise InputError(
        'checkpoint_config',
        f'intermediate_layers of the model_config is {value!r}, expected a number or a list.',
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
