# SPDX-License-Identifier: Apache-2.0
"""Keys and exit codes that others rely on stand in the documents."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from metric_depth_ros.cli.main import COMMANDS
from metric_depth_ros.replay.figures import replay_figures
from metric_depth_ros.replay.recorder import Answers
from metric_depth_ros.replay.session import ReplayOptions
from metric_depth_ros.ros.diagnostics import Counters, FrameReport, frame_status, health_status

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / 'metric_depth_ros/cli'
REPORT = FrameReport(1, 'nearest', 1.0, 1.0, 1.0, 1.0, 1.0, 1)


def text_of(document):
    return (ROOT / 'docs' / document).read_text(encoding='utf-8')


def section(document, title):
    """Return the rows of a chapter."""
    return text_of(document).partition(f'\n## {title}\n')[2].partition('\n## ')[0]


def named(key, text):
    """Tell whether a key is named, or stands among the endings after the first of its kind."""
    stem, _, ending = key.rpartition('.')
    if stem:
        return f'`{stem}.' in text and f'.{ending}`' in text
    stem, _, ending = key.rpartition('_')
    return f'`{key}`' in text or (f'`{stem}_p50`' in text and f'`_{ending}`' in text)


def test_every_key_of_status_and_diagnostics_is_explained():
    told, counters = section('CONSUMERS.md', 'What the node says of itself'), Counters()
    counters.answered(REPORT)
    statuses = (
        frame_status('/depth', 'camera', REPORT, counters, 0),
        health_status('depth: frames', 'camera', [], counters, 0, {}),
    )
    keys = {item.key for status in statuses for item in status.values}
    assert 'latency_ms_p95' in keys
    assert [key for key in sorted(keys) if not named(key, told)] == []


def test_every_key_of_a_replay_is_explained():
    told = section('EVALUATION.md', 'Replay')
    run = SimpleNamespace(
        answers=Answers(),
        counters={},
        rss_mb={'start': None, 'end': None},
        cpu_percent=None,
        warm_up_frames=1,
        exit_code=0,
    )
    score = SimpleNamespace(metrics={'NAME': 0.0}, metrics_unprompted={'NAME': 0.0}, frames=1)
    figures = replay_figures(ReplayOptions(Path('bag'), Path('out')), run, score)
    flat = [
        f'{key}.{inner}' if key not in ('machine', 'versions') else key
        for key, value in figures.items()
        for inner in (value if isinstance(value, dict) else [''])
    ]
    assert [key for key in flat if not named(key.removesuffix('.'), told)] == []


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_that_may_end_with_1_stands_among_the_exit_codes(command):
    tree = ast.parse((CLI / f'{COMMANDS[command][0]}.py').read_text(encoding='utf-8'))
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    ones = [
        value
        for value in returned
        if value is not None and any(ast.unparse(part) == '1' for part in codes(value))
    ]
    assert not ones or f'`{command}' in section('EVALUATION.md', 'Exit codes')


def codes(value):
    """Return what an expression may be."""
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
