# SPDX-License-Identifier: Apache-2.0
"""Speed of everything but the network: each stage, and the live node, against floors.

The skin is all that a node does but the estimator: receive, decode, assemble, project, prompt,
encode, publish, and the waiting between its threads. It is measured on the live node with an
estimator that costs nothing, from the first message of a frame to its last answer. Its floor is
the round trip of messages of the same sizes through a node that looks at nothing, and one copy of
their bytes; both take turns in the same run. The floor of a stage is one copy of the bytes that it
moves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metric_depth_ros.bench.exchange import Exchange, Turn
from metric_depth_ros.bench.rig_messages import node_parameters
from metric_depth_ros.bench.rigs import RIGS, Rig, recorded_rig
from metric_depth_ros.bench.stages import stage_rows
from metric_depth_ros.bench.stopwatch import Row, processor_ms
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.replay.spinning_node import (
    environment,
    local_environment,
    random_domain,
    spinning_node,
)

_ECHO = 'metric_depth_ros.bench.echo'
_INSTANT = 'metric_depth_ros.bench.instant_node'
_FLOOR, _NODE = 'floor', 'node'
_LEAST_ANSWERED = 0.5  # of the frames; what is measured of fewer says nothing


def run(rounds: int, frame_sets: Sequence[str] = ()) -> list[Row]:
    """Time rigs over `rounds` frames each.

    Parameters
    ----------
    rounds
        Frames of each rig.
    frame_sets
        Folders of recorded rigs to take in place of the synthetic ones.

    Raises
    ------
    InputError
        A folder that is no rig, or a node that does not answer.
    """
    recorded = [recorded_rig(Path(folder)) for folder in frame_sets]
    with environment(local_environment()), tempfile.TemporaryDirectory() as folder:
        rigs = recorded or (spec.rig() for spec in RIGS)
        return [row for rig in rigs for row in _rig_rows(rig, rounds, Path(folder))]


def _rig_rows(rig: Rig, rounds: int, folder: Path) -> list[Row]:
    stages = stage_rows(rig, rounds)
    domain = random_domain()  # each rig its own: those gone linger on
    answer_bytes = rig.cameras[0].image.size // 3 * 4
    echo_arguments = [str(answer_bytes), *(camera.prefix for camera in rig.cameras)]
    with (
        _process(_ECHO, echo_arguments, folder, domain) as floor,
        _process(_INSTANT, _node_arguments(rig, folder), folder, domain) as node,
        spinning_node('bench', domain) as ros_node,
    ):
        exchange = Exchange(rig, {_FLOOR: floor.pid, _NODE: node.pid}, ros_node)
        exchange.connect()
        copy_ms = _copy_ms(exchange.bytes_sent + answer_bytes * len(rig.cameras), rounds)
        turns = exchange.by_turns(rounds)
    return [*stages, *_skin_rows(rig, turns[_FLOOR], turns[_NODE], copy_ms)]


def _node_arguments(rig: Rig, folder: Path) -> list[str]:
    parameters = {'estimator': 'instant', **node_parameters(rig, folder)}
    given = [part for name, value in parameters.items() for part in ('-p', f'{name}:={value}')]
    return ['--ros-args', '-r', f'__ns:=/{_NODE}', *given]


def _process(module: str, arguments: list[str], folder: Path, domain: int) -> NodeProcess:
    log = folder / f'{module}.log'
    return NodeProcess(arguments, log, {'ROS_DOMAIN_ID': str(domain)}, module)


def _copy_ms(size: int, rounds: int) -> float:
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    times = [processor_ms(lambda: np.copyto(target, source)) for _ in range(rounds + 1)]
    return float(np.median(times[1:]))


def _skin_rows(rig: Rig, floor: list[Turn], node: list[Turn], copy_ms: float) -> list[Row]:
    """Return floor and skin, as time that passed and as processor time."""
    answered = np.array([b.wall_ms is not None for b in node])
    both = answered & np.array([a.wall_ms is not None for a in floor])
    if both.mean() < _LEAST_ANSWERED:
        raise InputError(
            'bench',
            f'{rig.name}: {answered.sum()} of {len(node)} frames were answered; the others were '
            'lost on their way. Free the machine, or see metric-depth doctor.',
        )
    rows = []
    for clock, kind in (('wall_ms', ''), ('cpu_ms', ', processor time')):
        floor_ms = np.array([getattr(turn, clock) for turn in floor], float)[both] + copy_ms
        node_ms = np.array([getattr(turn, clock) for turn in node], float)[both]
        name = f'{rig.name}: round trip of the same sizes and one copy{kind}'
        skin = f'{rig.name}: skin ({answered.sum()} of {len(node)} frames){kind}'
        ratio = float(np.median(node_ms / floor_ms))
        rows += [
            Row(name, *_percentiles(floor_ms), name, 1.0),
            Row(skin, *_percentiles(node_ms), name, ratio, rig.bar),
        ]
    return rows


def _percentiles(times_ms: np.ndarray) -> tuple[float, float]:
    return float(np.percentile(times_ms, 50)), float(np.percentile(times_ms, 99))
