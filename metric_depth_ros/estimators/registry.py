# SPDX-License-Identifier: Apache-2.0
"""Estimators by name. A specification is ``name`` or ``name:variant``.

Factories import what they need when they are called, so that listing the names costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator


def _classical(variant: str, device: str) -> Estimator:
    from metric_depth_ros.estimators.classical.estimator import ClassicalCompletion

    return ClassicalCompletion(variant or 'quality')


def _nearest(variant: str, device: str) -> Estimator:
    from metric_depth_ros.estimators.nearest import NearestFill

    if variant:
        raise InputError('estimator', f"estimator 'nearest' has no variant, got {variant!r}.")
    return NearestFill()


_FACTORIES: dict[str, Callable[[str, str], Estimator]] = {
    'classical': _classical,
    'nearest': _nearest,
}
ESTIMATOR_NAMES: tuple[str, ...] = tuple(_FACTORIES)


def create_estimator(spec: str, device: str = 'cpu') -> Estimator:
    """Make an estimator from its specification.

    Parameters
    ----------
    spec
        ``'classical'`` (same as ``'classical:quality'``), ``'classical:fast'``, ``'nearest'``.
    device
        ``'cpu'``, ``'cuda'``, ``'cuda:1'``… for the methods that run on torch.

    Raises
    ------
    InputError
        Unknown name or variant.
    """
    name, _, variant = spec.partition(':')
    factory = _FACTORIES.get(name)
    if factory is None:
        raise InputError(
            'estimator',
            f'unknown estimator {spec!r}: expected one of {", ".join(ESTIMATOR_NAMES)} '
            '(parameter estimator, option --estimator).',
        )
    return factory(variant, device)
