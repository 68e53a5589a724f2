# SPDX-License-Identifier: Apache-2.0
"""Rounds of fuzzed messages: each has a seed of its own, so that any of them can be run again.

What hypothesis draws costs more than what is done with it. Each example therefore draws a few
replaced fields, and the messages are these one by one and in company. Loads hypothesis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from metric_depth_ros.torture.fuzz.kinds import Kind
from metric_depth_ros.torture.fuzz.replacements import REPLACEMENTS, Replacement
from metric_depth_ros.torture.fuzz.subject import Subject

_EXAMPLES = 160  # of a round
_DRAWN = 6  # replaced fields of an example


@dataclass(frozen=True)
class RoundResult:
    """How many messages were tried, and how many of them were answered with depth."""

    tried: int = 0
    answered: int = 0


def fuzz_round(kind: Kind, number: int) -> RoundResult:
    """Try some thousand messages.

    Parameters
    ----------
    kind
        Of the messages.
    number
        Of the round: its seed.

    Raises
    ------
    Exception
        The first message (made as small as may be) that neither is refused nor makes outputs of
        the image's size.
    """
    tried = answered = 0
    subject = Subject(kind)

    @seed(number)
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.lists(REPLACEMENTS[kind.name], min_size=_DRAWN, max_size=_DRAWN))
    def attempt(drawn: list[Replacement]) -> None:
        nonlocal tried, answered
        for replacements in companies(drawn):
            tried += 1
            answered += subject.answers(replacements)

    with np.errstate(all='ignore'):  # what is infinite is meant to be
        attempt()
    return RoundResult(tried, answered)


def companies(drawn: Sequence[Replacement]) -> Iterator[tuple[Replacement, ...]]:
    """Yield replacements one by one, two by two, and some in threes and fours.

    One field is never replaced twice, which would be another message once more.
    """
    groups = [*((one,) for one in drawn), *combinations(drawn, 2)]
    groups += [
        tuple(drawn[at : at + size]) for size in (3, 4) for at in range(len(drawn) - size + 1)
    ]
    for group in groups:
        if len({name for name, _ in group}) == len(group):
            yield group
