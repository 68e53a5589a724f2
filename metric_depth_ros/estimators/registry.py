# SPDX-License-Identifier: Apache-2.0
"""Estimators by name. A specification is ``name`` or ``name:variant``.

Factories import what they need when they are called, so that listing the names costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn, cast

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.options import EstimatorOptions, names_of

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
    return ComposedEstimator(_made(variant, options), str(device))


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

    return create(options, _made(variant or _USUAL_PRIOR, options.for_companion()))


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
_WRITTEN = {  # where the name alone is not all that there is
    'classical': 'classical, classical:fast',
    'composed': 'composed:PRIOR',
    'hf': 'hf:ID',
}
_OF_ANOTHER = ('composed', 'teacher')  # whose variant is a specification
_USUAL_PRIOR = 'depth_pro'  # of the teacher
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
        near = get_close_matches(name, _FACTORIES, 1)
        known = ', '.join(_WRITTEN.get(name, name) for name in _FACTORIES)
        raise InputError(
            'estimator',
            f'unknown estimator {spec!r}{f" (did you mean {near[0]}?)" if near else ""}: expected '
            f'one of {known} ({named}).',
        )
    if name in _OF_ANOTHER and variant:
        refuse_unknown(variant, named)


def _refuse(sentence: str) -> NoReturn:
    raise InputError('estimator_option', sentence)


def create_estimator(
    spec: str,
    options: EstimatorOptions = _DEFAULT_OPTIONS,
    named: str = _NAMED,
    beside: str = '',
    unused: Callable[[str], object] = _refuse,
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
    beside
        Specification of a second estimator, or none, that is made with the same options or with
        those of a companion.
    unused
        Called with a sentence about options that nothing uses.

    Raises
    ------
    InputError
        Unknown name or variant, also among the weights; weights that are not to be had; options
        that nothing uses, unless told `unused`; libraries that are missing; a factory of another
        package that returns no `Estimator`, one without a name, or whose class does not estimate.
    """
    refuse_unknown(spec, named)
    options.refuse_weights_of_others((*MODELS, *_foreign()))
    if sentence := unused_options(spec, options, beside):
        unused(sentence)
    return _made(spec, options)


def unused_options(spec: str, options: EstimatorOptions, beside: str = '') -> str:
    """Return a sentence about options that were given and that no network uses, or nothing.

    The device is none of them: estimators without a network may compute there, too.

    Parameters
    ----------
    spec, options, beside
        As of `create_estimator`.
    """
    foreign = _foreign()
    networks, others = (_names_in(s) & {*MODELS, 'hf', *foreign} for s in (spec, beside))
    if (networks | others) & foreign:  # what those use is not known here
        return ''
    users = [_with_repository(networks, options)] if networks else []
    users += [options.for_companion()] if others else []
    unused = [
        (option.name, value)
        for option in fields(options)
        if option.name != 'device'
        and (value := getattr(options, option.name)) != getattr(_DEFAULT_OPTIONS, option.name)
        and all(getattr(user, option.name) != value for user in users)
    ]
    if users:
        unused += [('weights', entry) for entry in options.weights_of_others(networks | others)]
    if not unused:
        return ''
    told = ', '.join(f'{name} {value!r} ({names_of(name)})' for name, value in unused)
    return (
        f'estimator {" with ".join(filter(None, (spec, beside)))} does not use '
        f'{told}: choose one that does (`metric-depth models` lists the learned '
        'ones), or leave this out.'
    )


def _with_repository(networks: set[str], options: EstimatorOptions) -> EstimatorOptions:
    """Return the options without a revision where all weights come with the package."""
    fetched = options.weights or any(n not in MODELS or MODELS[n].repository for n in networks)
    return options if fetched else replace(options, revision='')


def _foreign() -> set[str]:
    """Return the names that other packages registered."""
    return set(_FACTORIES) - set(ESTIMATOR_NAMES)


def _names_in(spec: str) -> set[str]:
    """Return the names of a specification: its own and that of its prior, whose may follow."""
    name, _, variant = spec.partition(':')
    if name == 'teacher':
        variant = variant or _USUAL_PRIOR
    return {name} | (_names_in(variant) if name in _OF_ANOTHER else set())


def _made(spec: str, options: EstimatorOptions) -> Estimator:
    """Make an estimator of a known name."""
    name, _, variant = spec.partition(':')
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
    return _checked(estimator, name)


def _checked(estimator: object, name: str) -> Estimator:
    """Return what a factory made, or refuse it as no estimator; it may be of another package."""
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
