# SPDX-License-Identifier: Apache-2.0
"""A folder of golden values, and how a value is held against one. NumPy only."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError

if TYPE_CHECKING:
    import torch

Arrays = Mapping[str, NDArray[Any]]

CONFIG_FILE = 'config.json'

_NUMBER = r'([\d.]+(?:e[-+]?\d+)?)'


@dataclass(frozen=True)
class Golden:
    """One golden folder.

    Parameters
    ----------
    folder
        Where it is.
    config
        What its ``config.json`` says.
    """

    folder: Path
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Golden:
        """Read the configuration of a folder."""
        path = folder / CONFIG_FILE
        try:
            config = json.loads(path.read_text('utf-8'))
        except (OSError, ValueError) as error:
            raise InputError('golden_file', f'{path} cannot be read: {error}.') from error
        if not isinstance(config, dict):
            raise InputError('golden_file', f'{path} is not a JSON object.')
        return cls(folder, config)

    @cached_property
    def inputs(self) -> Arrays:
        """Arrays that the authors' code was given; empty without the file."""
        return self._arrays('inputs.npz')

    @cached_property
    def outputs(self) -> Arrays:
        """Arrays that it returned, and its intermediates; empty without the file."""
        return self._arrays('outputs.npz')

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Return the weights it ran with, under official keys."""
        from metric_depth_ros.networks.checkpoints import read_checkpoint

        return read_checkpoint(self.folder / 'weights.safetensors').state

    def expected(self, case: str) -> dict[str, NDArray[Any]]:
        """Return a case's stored quantities by name (``'depth'``, ``'i_encoder_out'``)."""
        prefix = f'{case}_'
        return {
            key.removeprefix(prefix): value
            for key, value in self.outputs.items()
            if key.startswith(prefix)
        }

    def tolerance(self, *path: str) -> Tolerance:
        """Return a tolerance of the configuration, e.g. ``('tolerances', 'points')``."""
        found: Any = self.config
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, int | float):
            return Tolerance(rtol=found) if path[-1].endswith('rtol') else Tolerance(atol=found)
        if isinstance(found, str):
            return Tolerance.parse(found)
        raise InputError(
            'golden_file', f'{self.folder / CONFIG_FILE} has no tolerance {".".join(path)}.'
        )

    def _arrays(self, name: str) -> Arrays:
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError('golden_file', f'{path} cannot be read: {error}.') from error


@dataclass(frozen=True)
class Tolerance:
    """How far a value may be from its reference: ``atol + rtol |ref| + rtol_of_max max|ref|``."""

    atol: float = 0.0
    rtol: float = 0.0
    rtol_of_max: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read ``'atol 1e-4 + 2e-5*max|ref|'``, ``'atol 1e-4 + rtol 1e-4'`` and their parts."""
        of_max = re.search(rf'{_NUMBER}\s*\*\s*max\|ref\|', text)
        rtol = re.search(rf'rtol {_NUMBER}', text)
        atol = re.search(rf'atol {_NUMBER}(?!\s*\*|[\d.e])', text)
        if not (of_max or rtol or atol):
            raise InputError('golden_file', f'the tolerance {text!r} cannot be read.')
        return cls(*(float(found[1]) if found else 0.0 for found in (atol, rtol, of_max)))


@dataclass(frozen=True)
class Check:
    """One quantity of one case.

    Parameters
    ----------
    case, quantity
        What was compared.
    error, tolerance
        The largest error and what it may be: of the element that comes closest to, or exceeds,
        its tolerance by the largest factor. NaN is an error that nothing tolerates.
    """

    case: str
    quantity: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is tolerated."""
        return self.error <= self.tolerance


def compare(
    case: str,
    quantity: str,
    value: Any,
    reference: Any,
    tolerance: Tolerance,
    where: NDArray[np.bool_] | None = None,
) -> Check:
    """Hold a value against its reference, element by element.

    Infinite and NaN elements of the reference must be the same in the value.

    Parameters
    ----------
    case, quantity
        Names for the result.
    value, reference
        Arrays of one shape; another shape is an infinite error.
    tolerance
        What is allowed.
    where
        Elements that count, or None for all.
    """
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape:
        return Check(case, f'{quantity} {value.shape} != {reference.shape}', math.inf, 0.0)
    if where is not None:
        value, reference = value[where], reference[where]
    finite = np.isfinite(reference)
    if not np.array_equal(value[~finite], reference[~finite], equal_nan=True):
        return Check(case, f'{quantity} (not finite elsewhere)', math.inf, 0.0)
    value, reference = value[finite], reference[finite]
    if not reference.size:
        return Check(case, quantity, 0.0, tolerance.atol)
    magnitude = np.abs(reference)
    allowed = tolerance.atol + tolerance.rtol * magnitude + tolerance.rtol_of_max * magnitude.max()
    error = np.abs(value - reference)
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.where(error == 0, 0.0, error / allowed)
    worst = int(np.argmax(np.where(np.isnan(share), np.inf, share)))
    return Check(case, quantity, float(error[worst]), float(allowed[worst]))


def compare_case(
    golden: Golden,
    case: str,
    computed: Mapping[str, Any],
    tolerance: Tolerance,
    compared: Sequence[str] = (),
) -> Iterator[Check]:
    """Hold all stored quantities of a case but those `compared` before to one tolerance."""
    for quantity, reference in golden.expected(case).items():
        if quantity in compared:
            continue
        if quantity in computed:
            yield compare(case, quantity, computed[quantity], reference, tolerance)
        else:
            yield not_computed(case, quantity)


def not_computed(case: str, quantity: str) -> Check:
    """Return the failure of a stored quantity that this package does not compute."""
    return Check(case, f'{quantity} (not computed here)', math.inf, 0.0)


def count_differences(
    case: str, quantity: str, value: Any, reference: Any, where: NDArray[np.bool_] | None = None
) -> Check:
    """Hold flags or counts against their reference: the error is how many differ."""
    value, reference = np.asarray(value), np.asarray(reference)
    if value.shape != reference.shape:
        return Check(case, f'{quantity} {value.shape} != {reference.shape}', math.inf, 0.0)
    different = value != reference
    return Check(
        case, quantity, float((different if where is None else different & where).sum()), 0
    )


def find_goldens(path: Path) -> Iterator[Golden]:
    """Yield the goldens in and below a folder, in the order of their paths.

    Raises
    ------
    InputError
        Not a folder, or no golden in it.
    """
    found = False
    for config in sorted(path.rglob(CONFIG_FILE)):
        found = True
        yield Golden.open(config.parent)
    if not found:
        raise InputError(
            'golden_missing', f'there is no golden (a folder with {CONFIG_FILE}) at {path}.'
        )
