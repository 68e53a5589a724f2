# SPDX-License-Identifier: Apache-2.0
"""Reading the ``model_config`` that MoGe's, LingBot's and DepthVLM's checkpoints carry, and back.

The architecture comes from a file, so every value is checked before anything is built from it;
what would take hours or more memory than there is to build, is refused. Imports `errors` and
siblings.

Source: the constructor arguments in the reference code of MoGe-2 and LingBot-Depth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from reprlib import repr as shown
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import NAMED_CONFIGS, DinoV2Config, named_config
from metric_depth_ros.networks.checkpoint_files import listed
from metric_depth_ros.networks.checkpoints import Checkpoint
from metric_depth_ros.networks.convstack import (
    ACTIVATIONS,
    LEVELS,
    NORMS,
    RESAMPLERS,
    ConvStackConfig,
)

_LOGGER = logging.getLogger(__name__)

_NUM_TOKENS_RANGE = (1200, 3600)
_LARGEST = 1 << 16  # channels or tokens
_MOST_LAYERS = 64  # in a row


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
        raise _unreadable(name, found, 'a dict')
    return found


def integers(values: Any, name: str) -> tuple[int, ...]:
    """Return a sequence of positive integers."""
    if (
        not isinstance(values, list | tuple)
        or len(values) > _MOST_LAYERS
        or not all(_is_count(value) for value in values)
    ):
        raise _unreadable(
            name, values, f'at most {_MOST_LAYERS} integers from 1 to {_LARGEST} in a list'
        )
    return tuple(values)


def choice(
    model_config: Mapping[str, Any], name: str, default: str, known: Collection[str]
) -> str:
    """Return one of several known words."""
    value = model_config.get(name, default)
    if not isinstance(value, str) or value not in known:
        raise _unreadable(name, value, f'one of {", ".join(known)}')
    return value


def num_tokens_range(model_config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of patches at the lowest and the highest resolution level."""
    values = integers(model_config.get('num_tokens_range', _NUM_TOKENS_RANGE), 'num_tokens_range')
    if len(values) != 2 or values[0] > values[1]:
        raise _unreadable('num_tokens_range', values, 'the fewest and the most')
    return values[0], values[1]


def encoder(model_config: Mapping[str, Any]) -> tuple[DinoV2Config, tuple[int, ...], int]:
    """Return the transformer's shape, its tapped blocks and the channels of the encoder's map."""
    config = part(model_config, 'encoder')
    backbone = _backbone(config.get('backbone'))
    taps = find_taps(config.get('intermediate_layers'), backbone.depth)
    (dim_out,) = integers([config.get('dim_out')], 'dim_out of the encoder')
    return backbone, taps, dim_out


def find_taps(intermediate_layers: Any, depth: int) -> tuple[int, ...]:
    """Return the ascending blocks that a configuration's ``intermediate_layers`` means.

    Parameters
    ----------
    intermediate_layers
        Numbers of blocks from 0, or how many of the last ones.
    depth
        Number of blocks.
    """
    name = 'intermediate_layers'
    layers: Sequence[int]
    if type(intermediate_layers) is int:
        layers = range(depth - intermediate_layers, depth) if intermediate_layers <= depth else ()
    elif isinstance(intermediate_layers, list | tuple):
        layers = intermediate_layers
    else:
        raise _unreadable(name, intermediate_layers, 'a number or a list of numbers')
    if not layers or not all(type(tap) is int and 0 <= tap < depth for tap in layers):
        raise _unreadable(name, intermediate_layers, f'some of the {depth} blocks')
    taps = tuple(sorted(layers))
    if len(set(taps)) != len(taps):
        raise _unreadable(name, intermediate_layers, 'each block once')
    return taps


def stack(
    model_config: Mapping[str, Any], name: str, channels: int | None = None
) -> ConvStackConfig:
    """Return the configuration of a decoder that must be there.

    Parameters
    ----------
    model_config
        Of the whole network.
    name
        Of the decoder.
    channels
        What its last level must give; None for the features as they are, or any number.
    """
    config = part(model_config, name)
    blocks, resamplers = config.get('num_res_blocks', 1), config.get('resamplers')
    (hidden_factor,) = integers(
        [config.get('dim_times_res_block_hidden', 1)], f'dim_times_res_block_hidden of the {name}'
    )
    parsed = ConvStackConfig(
        dim_in=_levels(config.get('dim_in'), f'dim_in of the {name}', _is_width),
        dim_out=_levels(_spread(config.get('dim_out')), f'dim_out of the {name}', _is_width),
        dim_res_blocks=_levels(
            config.get('dim_res_blocks'), f'dim_res_blocks of the {name}', _is_count
        ),
        num_res_blocks=_levels(_spread(blocks), f'num_res_blocks of the {name}', _is_short),
        resamplers=_levels(
            _spread(resamplers, LEVELS - 1),
            f'resamplers of the {name}',
            RESAMPLERS.__contains__,
            LEVELS - 1,
        ),
        hidden_factor=hidden_factor,
        in_norm=choice(config, 'res_block_in_norm', 'layer_norm', NORMS),
        hidden_norm=choice(config, 'res_block_hidden_norm', 'group_norm', NORMS),
        activation=choice(config, 'activation', 'relu', ACTIVATIONS),
    )
    if channels is not None and parsed.dim_out[-1] != channels:
        raise _unreadable(f'dim_out of the {name}', config.get('dim_out'), f'{channels} at last')
    return parsed


def stack_described(config: ConvStackConfig) -> dict[str, Any]:
    """Return every argument of a decoder, as `stack` reads them."""
    return {
        'dim_in': list(config.dim_in),
        'dim_out': list(config.dim_out),
        'dim_res_blocks': list(config.dim_res_blocks),
        'num_res_blocks': list(config.num_res_blocks),
        'resamplers': list(config.resamplers),
        'dim_times_res_block_hidden': config.hidden_factor,
        'res_block_in_norm': config.in_norm,
        'res_block_hidden_norm': config.hidden_norm,
        'activation': config.activation,
    }


def optional_stack(
    model_config: Mapping[str, Any], name: str, channels: int
) -> ConvStackConfig | None:
    """Return the configuration of a decoder, or None where there is none."""
    return None if model_config.get(name) is None else stack(model_config, name, channels)


def perceptron(model_config: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Return the widths of a perceptron with one output, which must be there."""
    label = f'dims of the {name}'
    widths = integers(part(model_config, name).get('dims'), label)
    if len(widths) < 2 or widths[-1] != 1:
        raise _unreadable(label, widths, 'two widths or more, 1 at last')
    return widths


def report_unknown_keys(model_config: Mapping[str, Any], known: Collection[str]) -> None:
    """Log the keys that the authors' class would ignore too."""
    unknown = sorted(str(key) for key in model_config if key not in known)
    if unknown:
        _LOGGER.warning('ignored in the model_config: %s', listed(unknown))


def backbone_described(config: DinoV2Config) -> str | dict[str, int]:
    """Return the public name of a shape, or its fields where it has none, as `encoder` reads."""
    names = [name for name, named in NAMED_CONFIGS.items() if named == config]
    return names[0] if names else {name: getattr(config, name) for name in _backbone_sizes()}


def _backbone_sizes() -> list[str]:
    return [field.name for field in fields(DinoV2Config) if field.type == 'int']


def _backbone(value: Any) -> DinoV2Config:
    """Return a shape by its public name, or by its fields where it has none (small networks)."""
    if not isinstance(value, Mapping):
        return named_config(str(value))
    known = _backbone_sizes()
    if not value.keys() <= set(known) or not all(_is_count(size) for size in value.values()):
        raise _unreadable('the backbone', value, f'positive integers for {", ".join(known)}')
    try:
        return DinoV2Config(**value)
    except TypeError as error:
        raise InputError(
            'checkpoint_config', f'the backbone of the model_config is incomplete: {error}.'
        ) from error


def _spread(value: Any, count: int = LEVELS) -> Any:
    """Return a single value once a level."""
    return value if isinstance(value, list | tuple) else (value,) * count


def _levels(
    values: Any, name: str, accepts: Callable[[Any], bool], count: int = LEVELS
) -> tuple[Any, ...]:
    """Return one value a level."""
    if not isinstance(values, list | tuple) or len(values) != count:
        raise _unreadable(name, values, f'a list of {count} levels')
    if not all(accepts(value) for value in values):
        raise _unreadable(name, values, 'values that the network knows')
    return tuple(values)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LARGEST


def _is_width(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_short(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_LAYERS


def _unreadable(name: str, value: Any, expected: str) -> InputError:
    return InputError(
        'checkpoint_config',
        f'{name} of the model_config is {shown(value)}, expected {expected}.',
    )
