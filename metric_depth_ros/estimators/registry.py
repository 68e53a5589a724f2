# SPDX-License-Identifier: Apache-2.0
"""Estimators by name. A specification is ``name`` or ``name:variant``.

Factories import what they need when they are called, so that listing the names costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.options import EstimatorOptions

Factory = Callable[[str, EstimatorOptions], Estimator]


def _classical(variant: str, options: EstimatorOptions) -> Estimator:
    from metric_depth_ros.estimators.classical.estimator import ClassicalCompletion

    return ClassicalCompletion(variant or 'quality')


def _nearest(variant: str, options: EstimatorOptions) -> Estimator:
    from metric_depth_ros.estimators.nearest import NearestFill

    _refuse_variant('nearest', variant)
    return NearestFill()


def _composed(variant: str, options: EstimatorOptions) -> Estimator:
    if not variant:
        raise InputError(
            'estimator',
            "estimator 'composed' needs the estimator that it aligns to the prompt: use e.g. "
            "'composed:student_pointmap'.",
        )
    from metric_depth_ros.estimators.composed import ComposedEstimator
    from metric_depth_ros.estimators.devices import torch_device

    device = torch_device(options.device)
    return ComposedEstimator(create_estimator(variant, options), str(device))


def _of_one_kind(name: str) -> Factory:
    """Return the factory of a network without variants: `create` of the module of its name."""

    def create(variant: str, options: EstimatorOptions) -> Estimator:
        _refuse_variant(name, variant)
        module = import_module(f'metric_depth_ros.estimators.learned.{name}')
        return cast(Estimator, module.create(options))

    return create


def _lingbot_depth(variant: str, options: EstimatorOptions) -> Estimator:
    from metric_depth_ros.estimators.learned.lingbot_depth import create

    return create(options, variant)


def _teacher(variant: str, options: EstimatorOptions) -> Estimator:
    from metric_depth_ros.estimators.learned.teacher import create

    return create(options, create_estimator(variant or 'depth_pro', options.for_companion()))


def _depthvlm(variant: str, options: EstimatorOptions) -> Estimator:
    _require_transformers('depthvlm')
    from metric_depth_ros.estimators.learned.depthvlm import create

    _refuse_variant('depthvlm', variant)
    return create(options)


def _depthvlm_8b(variant: str, options: EstimatorOptions) -> Estimator:
    _require_transformers('depthvlm_8b')
    from metric_depth_ros.estimators.learned.depthvlm import NAME_8B, create

    _refuse_variant(NAME_8B, variant)
    return create(options, NAME_8B)


def _depthlm(variant: str, options: EstimatorOptions) -> Estimator:
    _require_transformers('depthlm')
    from metric_depth_ros.estimators.learned.depthlm import create

    return create(options, variant)


def _hugging_face(variant: str, options: EstimatorOptions) -> Estimator:
    if not variant:
        raise InputError(
            'estimator',
            "estimator 'hf' needs the id or the folder of a model: use e.g. "
            "'hf:depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf'.",
        )
    from metric_depth_ros.estimators.learned.huggingface import create

    return create(variant, options)


_FACTORIES: dict[str, Factory] = {
    'classical': _classical,
    'nearest': _nearest,
    'composed': _composed,
    'compact_teacher': _of_one_kind('compact_teacher'),
    'compact_student': _of_one_kind('compact_student'),
    'student_depthmap': _of_one_kind('student_depthmap'),
    'student_pointmap': _of_one_kind('student_pointmap'),
    'lingbot_depth': _lingbot_depth,
    'depth_pro': _of_one_kind('depth_pro'),
    'teacher': _teacher,
    'depthvlm': _depthvlm,
    'depthvlm_8b': _depthvlm_8b,
    'depthlm': _depthlm,
    'hf': _hugging_face,
}
ESTIMATOR_NAMES: tuple[str, ...] = tuple(_FACTORIES)  # of this package
_OF_ANOTHER = ('composed', 'teacher')  # whose variant is a specification
_DEFAULT_OPTIONS = EstimatorOptions()
_NAMED = 'parameter estimator, option --estimator'
_LANGUAGE_MODELS_NEED = (5, 3)
_ABSTRACT = "Can't instantiate abstract class"  # begins what Python says of a class not whole
_LEARNED_NEED = ('torch', 'transformers', 'safetensors')


def register(name: str, factory: Factory) -> None:
    """Make an estimator of another package known by a name, before it is asked for.

    Parameters
    ----------
    name
        Of the specification, before its colon.
    factory
        Takes the variant, which may be empty, and how a learned estimator runs; returns an object
        whose class inherits from `Estimator` and states its `name`.
    """
    _FACTORIES[name] = factory


def refuse_unknown(spec: str, named: str = _NAMED) -> None:
    """Refuse a specification with a name that no estimator has, also that of a prior in it.

    Parameters
    ----------
    spec, named
        As of `create_estimator`.

    Raises
    ------
    InputError
        Unknown name. Whether a variant exists is not known before the estimator is made.
    """
    name, _, variant = spec.partition(':')
    if name not in _FACTORIES:
        raise InputError(
            'estimator',
            f'unknown estimator {spec!r}: expected one of {", ".join(_FACTORIES)} ({named}).',
        )
    if name in _OF_ANOTHER and variant:
        refuse_unknown(variant, named)


def create_estimator(
    spec: str, options: EstimatorOptions = _DEFAULT_OPTIONS, named: str = _NAMED
) -> Estimator:
    """Make an estimator from its specification.

    Parameters
    ----------
    spec
        ``'classical'`` (same as ``'classical:quality'``), ``'classical:fast'``, ``'nearest'``;
        ``'compact_teacher'``, ``'compact_student'``;
        ``'student_depthmap'``, ``'student_pointmap'``, ``'depth_pro'``;
        ``'depthvlm'``, ``'depthvlm_8b'``, ``'depthlm[:PIXELS]'``;
        ``'lingbot_depth[:completion]'``; ``'teacher[:PRIOR]'``, ``'composed:PRIOR'`` with the
        specification of a prior; ``'hf:ID'`` with a Hugging Face id or a folder.
    options
        How a learned estimator runs.
    named
        What the specification is called where it was told, for errors.

    Raises
    ------
    InputError
        Unknown name or variant, also among the weights; weights that are not to be had;
        libraries that are missing; a factory of another package that returns no `Estimator`,
        one without a name, or whose class does not estimate.
    """
    refuse_unknown(spec, named)
    name, _, variant = spec.partition(':')
    options.refuse_weights_of_others((*MODELS, *(_FACTORIES.keys() - set(ESTIMATOR_NAMES))))
    try:
        estimator = _FACTORIES[name](variant, options)
    except TypeError as error:
        if name in ESTIMATOR_NAMES or _ABSTRACT not in str(error):
            raise
        raise InputError(
            'estimator',
            f'the factory registered as {name!r} cannot make its estimator: {error}. Define that '
            'method in the class.',
        ) from error
    except ModuleNotFoundError as error:
        if error.name not in _LEARNED_NEED:
            raise
        raise InputError(
            'estimator_library',
            f'estimator {spec!r} needs {error.name}, which is not installed: run '
            f'`pip install {" ".join(_LEARNED_NEED)}`.',
        ) from error
    if not isinstance(estimator, Estimator):
        raise InputError(
            'estimator',
            f'the factory registered as {name!r} returned an object of '
            f'{type(estimator).__name__}, which is no Estimator: let that class inherit from '
            'metric_depth_ros.estimators.base.Estimator.',
        )
    stated = getattr(estimator, 'name', None)
    if not isinstance(stated, str):
        raise InputError(
            'estimator',
            f'the {type(estimator).__name__} that the factory registered as {name!r} returned has '
            f"{stated!r} for a name, expected a string: state name = '{name}' in that class.",
        )
    return estimator


def _refuse_variant(name: str, variant: str) -> None:
    if variant:
        raise InputError('estimator', f'estimator {name!r} has no variant, got {variant!r}.')


def _require_transformers(name: str) -> None:
    """Refuse versions of transformers that do not have the language models as they are here."""
    try:
        found = version('transformers')
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(name='transformers') from error
    if tuple(int(part) for part in found.split('.')[:2]) < _LANGUAGE_MODELS_NEED:
        least = '.'.join(map(str, _LANGUAGE_MODELS_NEED))
        raise InputError(
            'estimator_library',
            f'estimator {name!r} needs transformers {least} or later, {found} is installed: run '
            f"`pip install 'transformers>={least}'`.",
        )
