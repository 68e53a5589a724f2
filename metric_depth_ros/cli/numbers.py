# SPDX-License-Identifier: Apache-2.0
"""Numbers on the command line, as types of `argparse`. Standard library only."""

from __future__ import annotations

import math
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

_Number = TypeVar('_Number', int, float)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return the type of whole numbers from `least` on, up to `most` if there is one."""
    limits = f'{least} or more' if most is None else f'from {least} to {most}'

    def number(text: str) -> int:
        value = _parsed(int, text)
        if value is None or value < least or (most is not None and value > most):
            raise ArgumentTypeError(f'{text} is not a whole number, {limits}')
        return value

    return number


def real(low: float, high: float) -> Callable[[str], float]:
    """Return the type of numbers between two limits, both of which count."""

    def number(text: str) -> float:
        value = _parsed(float, text)
        if value is None or not low <= value <= high:
            raise ArgumentTypeError(f'{text} is not a number from {low:g} to {high:g}')
        return value

    return number


def positive(high: float = sys.float_info.max) -> Callable[[str], float]:
    """Return the type of numbers above 0, up to a limit, which counts; +Inf allows inf, too."""
    if math.isinf(high):
        expected = 'a number above 0, or inf'
    elif high == sys.float_info.max:
        expected = 'a finite number above 0'
    else:
        expected = f'a number above 0 and up to {high:g}'

    def number(text: str) -> float:
        value = _parsed(float, text)
        if value is None or not 0.0 < value <= high:
            raise ArgumentTypeError(f'{text} is not {expected}')
        return value

    return number


def size(least: int, most: int) -> Callable[[str], tuple[int, int]]:
    """Return the type of sizes such as 640x480, with limits of either side."""

    def sides(text: str) -> tuple[int, int]:
        match = re.fullmatch(r'(\d{1,9})x(\d{1,9})', text, re.ASCII)
        width, height = (0, 0) if match is None else (int(match[1]), int(match[2]))
        if not (least <= width <= most and least <= height <= most):
            raise ArgumentTypeError(
                f'{text} is not WIDTHxHEIGHT, as in 640x480, of {least} to {most} pixels each'
            )
        return width, height

    return sides


def _parsed(kind: Callable[[str], _Number], text: str) -> _Number | None:
    """Return a number, None of a text that is none."""
    try:
        return kind(text)
    except ValueError:
        return None
