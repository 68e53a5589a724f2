# SPDX-License-Identifier: Apache-2.0
"""What every recipe offers to the trainer, and the recipes by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import RECIPES, section_from, within
from metric_depth_ros.types import SparsePrompt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from metric_depth_ros.networks.pyramid_network import PyramidConfig

_MOST_CHANNELS = 1 << 14

Pyramid = TypeVar('Pyramid', bound='PyramidConfig')
Described = TypeVar('Described', bound='DescribedConfig')


@dataclass(frozen=True, eq=False)
class Prepared:
    """One example, made ready by a data worker.

    Parameters
    ----------
    example
        As it is seen: window, size.
    prompt
        What the network is told of its depth.
    arrays
        Input and target of the network, by name.
    """

    example: Example
    prompt: SparsePrompt
    arrays: Mapping[str, Any]


class Options(Protocol):
    """A dataclass, which is all that the options of the recipes have in common."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class DescribedConfig(Protocol):
    """Architecture of a network whose checkpoints hold a ``model_config``."""

    def as_model_config(self) -> dict[str, Any]:
        """Return every value of it, as a ``model_config`` has them."""
        ...


class Recipe(ABC):
    """A network, the preparation of its input, and its losses.

    Parameters
    ----------
    options
        A dataclass. Its `sizes`, where it has them, are the (width, height) that the examples of
        a step may have; none for their own.
    """

    backbone_prefixes: tuple[str, ...] = ()
    """Beginnings of the names of parameters that learn at the backbone's rate; the first is that
    of the transformer, which weights to start from may hold alone."""

    new_prefixes: tuple[str, ...] = ()
    """Beginnings of the names of weights that a checkpoint to start from may lack."""

    unused_prefixes: tuple[str, ...] = ()
    """Beginnings of the names of weights that it may have, and the network has not."""

    learns_without_scale: bool = False
    """Whether there is something to learn from depth whose unit is unknown."""

    def __init__(self, options: Options) -> None:
        self.plain_options: dict[str, Any] = asdict(options)
        self._sizes: tuple[tuple[int, int], ...] = tuple(self.plain_options.get('sizes', ()))

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the network with random weights; what has no loss is frozen."""

    @abstractmethod
    def model_config(self) -> dict[str, Any]:
        """Return every plain value of its shape, as they are stored with its weights."""

    def view_size(self, rng: np.random.Generator) -> tuple[int, int] | None:
        """Return the (width, height) of all examples of one step, or None for their own."""
        return self._sizes[int(rng.integers(len(self._sizes)))] if self._sizes else None

    def drawn_for_step(self, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return what else is the same for all examples of one step: arrays, by name."""
        return {}

    @abstractmethod
    def prepare(
        self,
        example: Example,
        size: tuple[int, int] | None,
        rng: np.random.Generator,
        *,
        real: bool,
        augment: bool,
    ) -> Prepared | None:
        """Prepare an example in a data worker; None when nothing can be learned from it.

        Parameters
        ----------
        size
            Of `view_size`; None keeps the whole example.
        rng
            Decides window, prompt and all else.
        real
            Depth is measured, not rendered.
        augment
            Change what can be changed at random; else only the prompt is drawn.
        """

    def collate(self, prepared: Sequence[Prepared]) -> dict[str, Any]:
        """Return a batch: arrays of one size, stacked to tensors that begin with B."""
        import torch

        names = prepared[0].arrays
        return {
            name: torch.from_numpy(np.stack([np.asarray(one.arrays[name]) for one in prepared]))
            for name in names
        }

    @abstractmethod
    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the means over the images: ``'loss'``, which is minimized, and its parts."""

    @abstractmethod
    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return the depth of every image in meters, in the size of the network's answer."""

    def baseline(self, prepared: Prepared) -> NDArray[np.float32] | None:
        """Return the depth that the network has to be better than; None where there is none."""
        return None


def create_recipe(
    name: str, network: Mapping[str, Any], options: Mapping[str, Any], where: str
) -> Recipe:
    """Make a recipe.

    Parameters
    ----------
    name
        One of `config.RECIPES`: a module here, with `create(network, options, where)`.
    network, options
        Plain values of the configuration.
    where
        Names the configuration in errors.

    Raises
    ------
    InputError
        An unknown name, or values that the recipe cannot use.
    """
    if name not in RECIPES:
        raise InputError(
            'training_config',
            f'{where}: recipe is {name!r}, expected one of {", ".join(RECIPES)}.',
        )
    module: Any = import_module(f'metric_depth_ros.training.recipes.{name}')
    recipe: Recipe = module.create(network, options, where)
    return recipe


def pyramid_from(kind: type[Pyramid], network: Mapping[str, Any], where: str) -> Pyramid:
    """Return the shape of a network on an image pyramid, of which no layer is without channels.

    Parameters
    ----------
    network
        Plain values of the configuration.
    where
        Names them in errors.

    Raises
    ------
    InputError
        A key that is unknown or missing, or a value that the network cannot have.
    """
    shape = section_from(kind, network, where)
    try:
        within('decoder_width', shape.decoder_width, 2, _MOST_CHANNELS)  # the head has half of it
        within('head_width', shape.head_width, 1, _MOST_CHANNELS)
        for level, width in enumerate(shape.widths):
            within(f'widths[{level}]', width, 1, _MOST_CHANNELS)
    except ValueError as error:
        raise InputError('training_config', f'{where}: {error}') from error
    return shape


def described_from(
    read: Callable[[Mapping[str, Any]], Described],
    network: Mapping[str, Any],
    known: Collection[str],
    where: str,
) -> Described:
    """Return the architecture that a ``model_config`` in a configuration tells.

    Parameters
    ----------
    read
        Reads one of a checkpoint, in which it ignores what its authors added.
    network
        Plain values of the configuration.
    known
        Its keys.
    where
        Names them in errors.

    Raises
    ------
    InputError
        A key that is unknown or missing, or a value that the network cannot have.
    """
    _refuse_unknown(network, known, where)
    try:
        shape = read(network)
    except InputError as error:
        raise InputError(error.fault, f'{where}: {error}') from error
    for name, part in shape.as_model_config().items():
        # Those of encoders that decide anything have no defaults, or one value.
        if name in network and name != 'encoder' and isinstance(part, Mapping):
            _refuse_unknown(network[name], part, f'{where}: {name}')
    return shape


def _refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise InputError(
            'training_config',
            f'{where}: unknown {", ".join(unknown)}; known are {", ".join(known)}.',
        )


def freeze(network: nn.Module, *parts: str) -> None:
    """Take parameters out of the training that checkpoints have but nothing uses.

    Parameters
    ----------
    parts
        What their names contain.
    """
    for name, parameter in network.named_parameters():
        if any(part in name for part in parts):
            parameter.requires_grad_(False)
