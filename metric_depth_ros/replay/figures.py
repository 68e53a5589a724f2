# SPDX-License-Identifier: Apache-2.0
"""The figures of a replay as they stand in its JSON, and whether it went well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metric_depth_ros.evaluation.fail_if import Condition
from metric_depth_ros.evaluation.machine import describe_machine, describe_versions
from metric_depth_ros.evaluation.scoring import known_figures
from metric_depth_ros.replay.scoring import ReplayScore

if TYPE_CHECKING:
    from metric_depth_ros.replay.session import ReplayOptions, ReplayRun


def replay_figures(
    options: ReplayOptions, run: ReplayRun, score: ReplayScore | None
) -> dict[str, Any]:
    """Return the content of the JSON; figures that do not exist are None.

    ``lost`` counts the images that were played and neither answered nor reported by the node as
    replaced, stale or bad; those with the stamp of an earlier one are counted apart.
    """
    answers = run.answers
    frames_out = len(answers.latencies_ms())
    accounted = sum(run.counters.get(name, 0) for name in ('replaced', 'stale', 'bad_input'))
    methods = sorted({status['method'] for status in answers.status.values()})
    return {
        'bag': str(options.bag),
        'frames_in': answers.images,
        'frames_out': frames_out,
        'replaced': run.counters.get('replaced', 0),
        'stale': run.counters.get('stale', 0),
        'bad_input': run.counters.get('bad_input', 0),
        'lost': max(0, len(answers.played) - frames_out - accounted),
        'repeated_stamps': answers.repeated,
        'points_out': len(answers.points) if options.with_points else None,
        'latency_ms': _spread(answers.latencies_ms(), (50, 95, 99), with_max=True),
        'estimator_ms': _spread(answers.estimator_ms(), (50, 95)),
        'rss_mb': run.rss_mb,
        'cpu_percent': run.cpu_percent,
        'metrics': None if score is None else known_figures(score.metrics),
        'metrics_unprompted': None if score is None else known_figures(score.metrics_unprompted),
        'frames_scored': 0 if score is None else score.frames,
        'method': ', '.join(methods),
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
    if figures['lost'] or not figures['frames_out']:
        rate = figures['rate'] / 2 if slower is None else slower
        more_time = '' if run.node_died else f': give it more time with --rate {rate:g}'
        found.append(
            f'{figures["lost"]} of {figures["frames_in"]} images were neither answered nor '
            f'accounted for by the node{more_time}'
        )
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
