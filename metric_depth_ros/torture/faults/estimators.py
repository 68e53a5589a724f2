# SPDX-License-Identifier: Apache-2.0
"""Estimators that raise, hang, or answer what cannot be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.good_stream import frame
from metric_depth_ros.torture.rig import NotObservedError, Rig


def _reported(fault: str, words: str) -> Callable[[Rig], str]:
    """Ask for a fault whose frame must be dropped and reported."""

    def inject(rig: Rig) -> str:
        since = rig.log_position()
        stamps = [rig.now_ns() for _ in range(1 if fault == 'hang' else 2)]
        for stamp in stamps:
            rig.send(frame(stamp, fault=fault))
        line = rig.sees_log(words, since)
        if any(rig.answer_of(stamp) is not None for stamp in stamps):
            raise NotObservedError('the frame was answered all the same')
        return line.strip()[-160:]

    return inject


def _all_nan(rig: Rig) -> str:
    stamps = []

    def answer() -> object:
        stamps.append(rig.now_ns())
        rig.send(frame(stamps[-1], fault='all_nan'))
        return next((a for s in stamps if (a := rig.answer_of(s)) is not None), None)

    depth = decode_depth(rig.until(answer, 'answer of NaN'))
    if not np.isnan(depth).all():
        raise NotObservedError('the answer is not NaN')
    return 'published as unknown depth'


FAULTS: tuple[Fault, ...] = (
    Fault('estimator', 'it raises', 'the frame is dropped and reported',
          _reported('raise', 'as asked for')),
    Fault('estimator', 'it ends its thread', 'the frame is dropped and reported',
          _reported('exit', 'SystemExit')),
    Fault('estimator', 'the GPU is out of memory', 'the frame is dropped and reported',
          _reported('out_of_memory', 'out of memory')),
    Fault('estimator', 'depth of the wrong size', 'not published, reported',
          _reported('wrong_size', 'answered depth of shape (24, 32)')),
    Fault('estimator', 'depth of the wrong type', 'not published, reported',
          _reported('wrong_type', 'float64')),
    Fault('estimator', 'depth of NaN', 'published as unknown', _all_nan),
    Fault('estimator', 'it hangs for ever', 'given up after estimator_timeout_s, made anew',
          _reported('hang', '[estimator_hangs]'), may_grow=True),
)  # fmt: skip
