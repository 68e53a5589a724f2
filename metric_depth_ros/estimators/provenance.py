# SPDX-License-Identifier: Apache-2.0
"""What an estimator is made of: noted while it is made, told beside its figures.

A path names weights that may be others tomorrow, and ``auto`` a device that depends on the
machine: only whoever loads them knows. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provenance:
    """What an estimator is made of.

    Parameters
    ----------
    weights
        What the weights of each of its networks are, by name: the SHA-256 of their files,
        of an exported network with that of its ``.data`` after a plus sign; of
        `depthlm` and ``hf`` the name of the folder, for those of the Hub their commit.
    devices
        Kinds of the devices that its networks run on.
    """

    weights: dict[str, str] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


_NOTED: ContextVar[Provenance | None] = ContextVar('provenance', default=None)


@contextmanager
def noted_provenance() -> Iterator[Provenance]:
    """Yield what the estimators that are made meanwhile are made of; filled as they are."""
    noted = Provenance()
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note_weights(network: str, identity: Callable[[], str]) -> None:
    """Note which weights a network has; their identity is asked for if anybody wants to know."""
    noted = _NOTED.get()
    if noted is not None:
        noted.weights[network] = identity()


def note_device(kind: str) -> None:
    """Note on what kind of device a network runs, if anybody wants to know."""
    noted = _NOTED.get()
    if noted is not None:
        noted.devices.add(kind)
