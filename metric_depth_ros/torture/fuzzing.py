# SPDX-License-Identifier: Apache-2.0
"""Fuzzed messages as rows of the campaign; hypothesis is imported only when one is run."""

from __future__ import annotations

import time
import traceback

from metric_depth_ros.errors import InputError
from metric_depth_ros.torture.fault import Outcome

KINDS = ('image', 'compressed', 'camera_info', 'points', 'sensor_depth')


def fuzz_outcome(kind: str, examples: int) -> Outcome:
    """Try this many fuzzed messages of a kind.

    Raises
    ------
    InputError
        hypothesis is not installed.
    """
    try:
        from metric_depth_ros.torture.fuzz import fuzz
    except ModuleNotFoundError as error:
        raise InputError(
            'fuzz', f'fuzzing needs {error.name}: pip install {error.name}, or --fuzz 0.'
        ) from error
    began_s = time.monotonic()
    try:
        answered = fuzz(kind, examples)
        observed, passed = f'{answered} answered with depth, the others refused by name', True
    except Exception:
        observed, passed = traceback.format_exc()[-1500:], False
    return Outcome(
        'fuzz',
        f'{examples} messages: {kind}',
        'refused by name, or depth of the size of the image',
        observed,
        passed,
        None,
        time.monotonic() - began_s,
    )
