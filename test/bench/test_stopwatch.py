# SPDX-License-Identifier: Apache-2.0
"""The stopwatch's arithmetic, on a clock that the test sets."""

import itertools
import json
from pathlib import Path

import pytest

from metric_depth_ros.bench import stopwatch
from metric_depth_ros.bench.scene import random_prompt, street_like, surround_scan
from metric_depth_ros.cli.main import main


@pytest.fixture
def clock(monkeypatch):
    """Let every call take the number of seconds that it returns."""
    now = itertools.count()
    elapsed = {'s': 0.0}
    monkeypatch.setattr(stopwatch.time, 'perf_counter', lambda: elapsed['s'])

    def lasting(*seconds: float):
        turn = itertools.cycle(seconds)

        def call() -> None:
            next(now)
            elapsed['s'] += next(turn)

        return call

    return lasting


def test_ratios_are_formed_round_by_round(clock):
    # The machine slows down tenfold every other round; the ratio does not notice.
    rows = stopwatch.race({'floor': clock(1.0, 10.0), 'part': clock(3.0, 30.0)}, rounds=4)
    assert [row.ratio for row in rows] == pytest.approx([1.0, 3.0])
    assert rows[1].baseline == 'floor'


def test_the_first_round_is_not_counted(clock):
    rows = stopwatch.race({'floor': clock(50.0, 1.0, 1.0)}, rounds=2)
    assert rows[0].p50_ms == pytest.approx(1000.0)


def test_a_ratio_above_its_bar_is_told(clock):
    rows = stopwatch.race({'a': clock(1.0), 'b': clock(5.0)}, rounds=3, bars={'b': 4.0})
    assert rows[0].within_bar
    assert not rows[1].within_bar
    assert rows[1].as_dict()['within_bar'] is False


def test_the_scene_for_timing_is_the_same_every_time():
    first, second = street_like(96, 48), street_like(96, 48)
    assert (first.image == second.image).all()
    assert (first.depth == second.depth).all()
    assert (random_prompt(first, 50).uv == random_prompt(second, 50).uv).all()
    assert (surround_scan(100) == surround_scan(100)).all()


def test_every_key_of_the_saved_figures_is_documented(tmp_path, monkeypatch):
    row = stopwatch.Row('copy', 1.0, 2.0, 'copy', 1.0)
    monkeypatch.setattr('metric_depth_ros.bench.codecs.run', lambda rounds: [row])
    assert main(['bench', 'codecs', '--rounds', '1', '--out', str(tmp_path)]) == 0
    saved = json.loads((tmp_path / 'codecs.json').read_text())
    (kept,) = saved['rows']
    said = (Path(__file__).parents[2] / 'docs/BENCHMARKS.md').read_text('utf-8')
    keys = [*saved, *saved['machine'], *(f'rows[].{key}' for key in kept)]
    assert [key for key in keys if f'`{key}`' not in said] == []
