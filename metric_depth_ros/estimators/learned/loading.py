# SPDX-License-Identifier: Apache-2.0
"""Networks by name: built on the meta device, and loaded from the checkpoint that was chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.learned.presets import with_preset
from metric_depth_ros.estimators.learned.shipped import manifest, shipped_checkpoint
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.provenance import note_weights
from metric_depth_ros.estimators.runtime.onnx_session import open_exported
from metric_depth_ros.networks.checkpoint_files import first_line
from metric_depth_ros.networks.checkpoints import (
    Checkpoint,
    Network,
    load_strict,
    read_checkpoint,
    sha256_of,
)
from metric_depth_ros.networks.hub import resolve_checkpoint
from metric_depth_ros.networks.model_folder import read_folder, resolve_folder
from metric_depth_ros.plain_values import PlainValues
from metric_depth_ros.resources import user_path

_LOGGER = logging.getLogger(__name__)
_DESCRIPTION = PlainValues('checkpoint_config', least_int=0)
Config = TypeVar('Config')


class _Architecture(NamedTuple):
    """How a network is built.

    Parameters
    ----------
    released
        As its authors released it.
    described
        As a ``model_config`` describes it.
    loaded
        As a checkpoint describes it, with its weights.
    """

    released: Callable[[], nn.Module]
    described: Callable[[Mapping[str, Any]], nn.Module]
    loaded: Callable[[Checkpoint], nn.Module]


def build_network(name: str, device: str = 'meta') -> nn.Module:
    """Return the released architecture of a network, with random weights or, on meta, none."""
    with torch.device(device):
        return _ARCHITECTURES[name]().released().eval()


def skeleton(name: str, model_config: Mapping[str, Any] | None) -> nn.Module:
    """Return a network on the meta device, as described or, without a description, released.

    Raises
    ------
    InputError
        A description of no network that can be built.
    """
    if model_config is None:
        return build_network(name)
    try:
        with torch.device('meta'):
            return _ARCHITECTURES[name]().described(model_config).eval()
    except (InputError, ModuleNotFoundError):
        raise
    except Exception as error:  # what torch and transformers make of wrong values has no base
        raise InputError(
            'checkpoint_config',
            f'the model_config is of no {name} that can be built: {first_line(error)}.',
        ) from error


def read_weights(name: str, options: EstimatorOptions, variant: str = '') -> Checkpoint:
    """Return the checkpoint that the options, or else the catalog, name for a network.

    Raises
    ------
    InputError
        A variant that the network does not have; weights that are not on this machine and cannot
        be fetched, or cannot be read.
    """
    model = MODELS[name]
    repository = model.repository_of(variant)
    given = options.weights_of(name)
    if name in manifest() and not given:
        checkpoint = shipped_checkpoint(name)
        note_weights(name, lambda: checkpoint.sha256)
        return checkpoint
    reference = given or repository
    if not reference:
        raise InputError(
            'checkpoint_missing',
            f'the weights of {name} are unreleased: give a checkpoint of your own with the '
            'option weights (--weights, parameter model.weights).',
        )
    if model.is_folder:
        checkpoint = read_folder(resolve_folder(reference, options.revision or None))
    else:
        repository, filename = _split_file(reference, model.filename)
        checkpoint = read_checkpoint(
            resolve_checkpoint(repository, filename, options.revision or None)
        )
    note_weights(name, lambda: checkpoint.sha256)
    _LOGGER.info('%s: weights %s, sha256 %s', name, checkpoint.path, checkpoint.sha256)
    return checkpoint


def _split_file(reference: str, filename: str) -> tuple[str, str]:
    """Return repository and file of ``owner/name/file``; other references keep the usual file."""
    parts = reference.split('/')
    if len(parts) == 3 and all(parts) and not Path(reference).exists():
        return f'{parts[0]}/{parts[1]}', parts[2]
    return reference, filename


def load_network(name: str, options: EstimatorOptions, variant: str = '') -> nn.Module:
    """Return a network with its weights, on the CPU, for inference.

    Parameters
    ----------
    name
        One of `catalog.MODELS`.
    options
        Where the weights are.
    variant
        Which of several published weights, unless the options name a checkpoint.

    Raises
    ------
    InputError
        Weights that are not to be had, or that do not fit, a preset of other networks, or options
        of torch for an exported file.
    """
    if options.backend == 'onnx':
        _refuse_options_of_torch(options)
    if options.backend_of(name) == 'onnx':
        exported, build = options.weights_of(name), partial(skeleton, name)
        network = open_exported(name, exported, options.device, build, options.preset)
        note_weights(name, lambda: _identity(user_path(exported)))
    else:
        network = network_from(name, read_weights(name, options, variant))
    return with_preset(name, network, options.preset)


def _identity(exported: Path) -> str:
    """Return the digests of an exported file and of its weights, where they lie beside it."""
    files = (exported, exported.with_name(f'{exported.name}.data'))
    return '+'.join(sha256_of(file) for file in files if file.is_file())


def _refuse_options_of_torch(options: EstimatorOptions) -> None:
    """Refuse what an exported file does not have: it is in float32, and compiled by its runtime.

    Only with the backend: where a file is given by its name alone, they may be for a companion.
    """
    for option, value in {'precision': ('auto', 'fp32'), 'compile': (False,)}.items():
        given = getattr(options, option)
        if given not in value:
            raise InputError(
                'estimator_option',
                f'{option} is {given!r}, which an exported file does not have: set it to '
                f'{value[0]!r}, or backend to torch (parameters model.{option}, model.backend; '
                f'options --{option}, --backend).',
            )


def network_from(name: str, checkpoint: Checkpoint) -> nn.Module:
    """Return the network that a checkpoint describes, with its weights, on the CPU.

    Raises
    ------
    InputError
        Weights that do not fit.
    """
    return _ARCHITECTURES[name]().loaded(checkpoint).eval()


def config_from(kind: type[Config], model_config: Mapping[str, Any]) -> Config:
    """Return the configuration of a network of the plain values that a checkpoint carries.

    Raises
    ------
    InputError
        A field that is missing, unknown, or of another type.
    """
    return _DESCRIPTION.read(kind, model_config, 'the model_config')


def _fixed(name: str, class_name: str) -> _Architecture:
    """Return the architecture of a network whose released checkpoint does not describe it."""
    network, config = _classes(name, class_name)

    def loaded(checkpoint: Checkpoint) -> nn.Module:
        built = skeleton(name, checkpoint.model_config)
        load_strict(cast(Network, built), checkpoint.state)
        return built

    return _Architecture(
        lambda: network(config()),
        lambda model_config: network(config_from(config, model_config)),
        loaded,
    )


def _self_described(name: str, class_name: str) -> _Architecture:
    """Return the architecture of a network whose released checkpoint describes it."""
    network, config = _classes(name, class_name)
    return _Architecture(
        lambda: network(config.released()),
        lambda values: network(config.from_model_config(values)),
        network.from_checkpoint,
    )


def _classes(name: str, class_name: str) -> tuple[Any, Any]:
    """Return the class of a network and that of its configuration, of the module of its name."""
    module = import_module(f'metric_depth_ros.networks.{name}')
    return getattr(module, class_name), getattr(module, f'{class_name}Config')


def _depthvlm(name: str, size: str) -> _Architecture:
    from metric_depth_ros.networks.depthvlm import DepthVlm, DepthVlmConfig, from_checkpoint

    def loaded(checkpoint: Checkpoint) -> nn.Module:
        built = skeleton(name, checkpoint.model_config)
        from_checkpoint(cast(DepthVlm, built), checkpoint.state)
        return built

    return _Architecture(
        lambda: DepthVlm(DepthVlmConfig.released(size)),
        lambda values: DepthVlm(DepthVlmConfig.from_model_config(values)),
        loaded,
    )


def _depthlm() -> _Architecture:
    """Return the architecture of DepthLM, of which transformers loads every kind itself."""
    from metric_depth_ros.estimators.learned.depthlm import load_model
    from metric_depth_ros.networks.depthlm import DepthLm

    def described(values: Mapping[str, Any]) -> nn.Module:
        raise InputError(
            'checkpoint_config', 'depthlm is built as released only; its folders describe theirs.'
        )

    return _Architecture(
        DepthLm, described, lambda checkpoint: cast(nn.Module, load_model(checkpoint.path)[1])
    )


# A network is imported when it is asked for: the small ones need nothing but torch, and others
# packages that take seconds to load.
_ARCHITECTURES: Mapping[str, Callable[[], _Architecture]] = {
    'student_depthmap': partial(_fixed, 'student_depthmap', 'StudentDepthMap'),
    'student_pointmap': partial(_self_described, 'student_pointmap', 'StudentPointMap'),
    'depth_pro': partial(_fixed, 'depth_pro', 'DepthPro'),
    'teacher': partial(_fixed, 'teacher', 'Teacher'),
    'compact_teacher': partial(_fixed, 'compact_teacher', 'CompactTeacher'),
    'compact_student': partial(_fixed, 'compact_student', 'CompactStudent'),
    'lingbot_depth': partial(_self_described, 'lingbot_depth', 'LingBotDepth'),
    'depthvlm': partial(_depthvlm, 'depthvlm', '4b'),
    'depthvlm_8b': partial(_depthvlm, 'depthvlm_8b', '8b'),
    'depthlm': _depthlm,
}
