# SPDX-License-Identifier: Apache-2.0
"""The figures of a replay as they stand in its JSON, and whether it went well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metric_depth_ros.evaluation.fail_if import Condition
from metric_depth_ros.evaluation.metrics import METRIC_NAMES
from metric_depth_ros.evaluation.scoring import known_figures
from metric_depth_ros.machine import describe_machine, describe_versions
from metric_depth_ros.replay.scoring import ReplayScore

if TYPE_CHECKING:
    from metric_depth_ros.replay.session import ReplayOptions, ReplayRun

# What becomes of an image that the node does not answer, by its own counts.
_DROPPED = ('replaced', 'stale', 'bad_input', 'failed')


def replay_figures(
    options: ReplayOptions, run: ReplayRun, score: ReplayScore | None
) -> dict[str, Any]:
    """Return the content of the JSON; figures that do not exist are None.

    ``lost`` counts the images that were played and neither answered nor reported by the node as
    dropped, see `_DROPPED`; those with the stamp of an earlier one are counted apart.
    """
    answers = run.answers
    frames_out = len(answers.latencies_ms())
    dropped = {name: run.counters.get(name, 0) for name in _DROPPED}
    metrics, unprompted = (
        (dict.fromkeys(METRIC_NAMES, math.nan),) * 2
        if score is None
        else (score.metrics, score.metrics_unprompted)
    )
    return {
        'bag': str(options.bag),
        'frames_in': answers.images,
        'frames_out': frames_out,
        **dropped,
        'lost': max(0, len(answers.played) - frames_out - sum(dropped.values())),
        'repeated_stamps': answers.repeated,
        'points_out': len(answers.points) if options.with_points else None,
        'latency_ms': _spread(answers.latencies_ms(), (50, 95, 99), with_max=True),
        'estimator_ms': _spread(list(answers.estimator_ms.values()), (50, 95)),
        'rss_mb': run.rss_mb,
        'cpu_percent': run.cpu_percent,
        'metrics': known_figures(metrics),
        'metrics_unprompted': known_figures(unprompted),
        'frames_scored': 0 if score is None else score.frames,
        'method': ', '.join(sorted(answers.methods)),
        'rate': options.rate,
        'loops': options.loops,
        'warm_up_frames': run.warm_up_frames,
        'exit_code': run.exit_code,
        'machine': describe_machine(),
        'versions': describe_versions(),
    }


def failures(
    figures: Mapping[str, Any],
    run: ReplayRun,
    conditions: Sequence[Condition],
    slower: float | None = None,
) -> list[str]:
    """Return a sentence for each thing that makes the replay a failure.

    Parameters
    ----------
    figures, run
        What came out.
    conditions
        Of ``--fail-if``.
    slower
        The ``--rate`` that gives the node more time; None: half the speed of this replay.
    """
    found = []
    if run.node_died:
        found.append(f'the node died with exit code {run.exit_code}:\n{run.last_words}')
    elif run.exit_code:
        found.append(
            f'the node ended with exit code {run.exit_code} after SIGINT:\n{run.last_words}'
        )
    if figures['failed']:
        found.append(
            f'the estimator failed at {figures["failed"]} of {figures["frames_in"]} images: '
            'node.log says why'
        )
    if figures['lost']:
        rate = figures['rate'] / 2 if slower is None else slower
        more_time = '' if run.node_died else f': give it more time with --rate {rate:g}'
        found.append(
            f'{figures["lost"]} of {figures["frames_in"]} images were neither answered nor '
            f'accounted for by the node{more_time}'
        )
    elif not figures['frames_out']:
        found.append('no image was answered: node.log says why')
    points = figures['points_out']
    if points is not None and points < figures['frames_out']:
        found.append(
            f'{figures["frames_out"] - points} clouds of {figures["frames_out"]} are missing'
        )
    found += [
        f'--fail-if {condition} holds ({condition.value(figures):.4g})'
        for condition in conditions
        if condition.violated(figures)
    ]
    return found


def _spread(
    values: Sequence[float], percents: Sequence[int], with_max: bool = False
) -> dict[str, float | None]:
    spread: dict[str, float | None] = {
        f'p{percent}': float(np.percentile(values, percent)) if values else None
        for percent in percents
    }
    if with_max:
        spread['max'] = max(values, default=None)
    return spread
