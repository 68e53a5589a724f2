# SPDX-License-Identifier: Apache-2.0
"""Networks by name: built on the meta device, and loaded from the checkpoint that was chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.learned.architecture import config_from
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.networks.checkpoints import (
    Checkpoint,
    Network,
    load_strict,
    read_checkpoint,
)
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig
from metric_depth_ros.networks.hub import resolve_checkpoint
from metric_depth_ros.networks.lingbot_depth import LingBotDepth, LingBotDepthConfig
from metric_depth_ros.networks.student_depthmap import StudentDepthMap, StudentDepthMapConfig
from metric_depth_ros.networks.student_pointmap import StudentPointMap, StudentPointMapConfig
from metric_depth_ros.networks.teacher import Teacher, TeacherConfig

_LOGGER = logging.getLogger(__name__)


class _Architecture(NamedTuple):
    """How a network is built: as released, and as a checkpoint describes it."""

    released: Callable[[], nn.Module]
    described: Callable[[Checkpoint], nn.Module]


def build_network(name: str, device: str = 'meta') -> nn.Module:
    """Return the released architecture of a network, with random weights or, on meta, none."""
    with torch.device(device):
        return _ARCHITECTURES[name].released().eval()


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
        Weights that are not on this machine and cannot be fetched, or that do not fit.
    """
    model = MODELS[name]
    repository = model.repository_of(variant)
    reference = options.weights_of(name) or repository
    if not reference:
        raise InputError(
            'checkpoint_missing',
            f'the weights of {name} are unreleased: give a checkpoint of your own with the '
            'option weights (--weights, parameter model.weights).',
        )
    path = resolve_checkpoint(reference, model.filename, options.revision or None)
    checkpoint = read_checkpoint(path)
    network = _ARCHITECTURES[name].described(checkpoint).eval()
    _LOGGER.info('%s: weights %s, sha256 %s', name, path, checkpoint.sha256)
    return network


def _fixed(network: Callable[[Any], nn.Module], config: type[Any]) -> _Architecture:
    """Return the architecture of a network whose released checkpoint does not describe it."""

    def described(checkpoint: Checkpoint) -> nn.Module:
        values = checkpoint.model_config
        shape = config() if values is None else config_from(config, values)
        try:
            with torch.device('meta'):
                built = network(shape)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            raise InputError(
                'checkpoint_config',
                f'the model_config of {checkpoint.path} is of no network that can be built: '
                f'{error}.',
            ) from error
        load_strict(cast(Network, built), checkpoint.state)
        return built

    return _Architecture(lambda: network(config()), described)


_ARCHITECTURES: dict[str, _Architecture] = {
    'student_depthmap': _fixed(StudentDepthMap, StudentDepthMapConfig),
    'depth_pro': _fixed(DepthPro, DepthProConfig),
    'teacher': _fixed(Teacher, TeacherConfig),
    'student_pointmap': _Architecture(
        lambda: StudentPointMap(StudentPointMapConfig.released()),
        StudentPointMap.from_checkpoint,
    ),
    'lingbot_depth': _Architecture(
        lambda: LingBotDepth(LingBotDepthConfig.released()), LingBotDepth.from_checkpoint
    ),
}
