# SPDX-License-Identifier: Apache-2.0
"""Whole numbers on the command line, as types of `argparse`."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """Return a number that is 1 or more."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """Return a number that is 0 or more."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f'{text} is not {least} or more')
    return value
