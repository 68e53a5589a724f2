# SPDX-License-Identifier: Apache-2.0
"""Conditions under which a run counts as failed: ``abs_rel>0.1``. Imports `errors` only.

A condition compares one metric with one number. Metrics are given as nested mappings and named
with dots (``metrics_unprompted.mae_m``, ``masks.glass door.abs_rel``); a plain name is looked up
at the top level first and under ``metrics`` second. Nothing is evaluated as code.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metric_depth_ros.errors import InputError

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    '>=': operator.ge,
    '<=': operator.le,
    '==': operator.eq,
    '!=': operator.ne,
    '>': operator.gt,
    '<': operator.lt,
}
_PATTERN = re.compile(r'\s*([^\s<>=!][^<>=!]*?)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*')


@dataclass(frozen=True)
class Condition:
    """A comparison of one metric with one number, e.g. ``abs_rel > 0.1``."""

    name: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        """Return the condition as it is written on the command line."""
        return f'{self.name}{self.comparison}{self.limit:g}'

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Return the metric that the condition names.

        Parameters
        ----------
        metrics
            Numbers by name, nested to any depth; None stands for a value that does not exist.

        Raises
        ------
        InputError
            There is no metric of that name; the message lists those there are.
        """
        known = dict(_flatten(metrics))
        for name in self.names:
            if name in known:
                return known[name]
        raise InputError(
            'fail_if_name',
            f'--fail-if {self}: there is no metric {self.name!r}; there are '
            f'{", ".join(sorted(known)) or "none"}.',
        )

    def violated(self, metrics: Mapping[str, Any]) -> bool:
        """Return whether the condition for failure holds.

        A value that is not a number fails every condition: a run without a figure has not shown
        that it is good.
        """
        value = self.value(metrics)
        return math.isnan(value) or _COMPARISONS[self.comparison](value, self.limit)

    @property
    def names(self) -> tuple[str, str]:
        """Where the metric is looked up."""
        return self.name, f'metrics.{self.name}'


def parse_condition(text: str) -> Condition:
    """Read a condition such as ``'abs_rel>0.1'`` or ``'latency_ms.p95 >= 80'``.

    Raises
    ------
    InputError
        Not of the form NAME COMPARISON NUMBER.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise InputError(
            'fail_if_syntax',
            f'--fail-if {text!r} is not understood: expected NAME, one of '
            f'{" ".join(_COMPARISONS)}, and a number, for example abs_rel>0.1.',
        )
    name, comparison, number = match.groups()
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if math.isnan(limit):
        raise InputError(
            'fail_if_syntax', f'--fail-if {text!r}: {number!r} is not a number to compare with.'
        )
    return Condition(name, comparison, limit)


def concerned(
    condition: Condition, groups: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return the groups that have the metric of a condition.

    Where none has it, these are all of them, so that the condition is refused by its name.
    """
    names = set(condition.names)
    return [group for group in groups if names & dict(_flatten(group)).keys()] or groups


def _flatten(metrics: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, float]]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f'{prefix}{key}.')
        elif value is None:
            yield f'{prefix}{key}', math.nan
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f'{prefix}{key}', float(value)
