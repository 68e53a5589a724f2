# SPDX-License-Identifier: Apache-2.0
"""The picture of the demo: what cannot be written is refused before the work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metric_depth_ros import demo
from metric_depth_ros.cli.main import main
from metric_depth_ros.demo import SCENES, DemoPart, refuse_unwritable_picture
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.error_report import ErrorReport


@pytest.mark.parametrize('name', ['picture.foo', 'picture', 'picture.pbm'])
def test_a_picture_of_no_known_kind_is_refused_before_the_demo_runs(
    name, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(demo, 'run_demo', lambda *_, **__: pytest.fail('the demo has run'))
    arguments = ['--out', str(tmp_path / 'demo'), '--picture', str(tmp_path / name)]
    assert main(['demo', *arguments]) == 2
    assert f'{name} ends in {Path(name).suffix!r}' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['picture.png', 'picture.JPG', 'picture.webp'])
def test_a_color_picture_is_not_refused(name):
    assert refuse_unwritable_picture(Path(name), '--picture') is None


def test_a_demo_that_is_refused_leaves_no_report_of_an_earlier_one(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise InputError('estimator', 'unknown estimator')

    monkeypatch.setattr(demo, '_run_scene', refuse)
    (tmp_path / '.metric_depth_demo').touch()
    (tmp_path / 'report.html').write_text('of an earlier demo')
    assert main(['demo', '--out', str(tmp_path)]) == 2
    assert not (tmp_path / 'report.html').exists()


def test_frames_that_were_passed_over_are_told_with_what_helps(tmp_path, capsys, monkeypatch):
    counts = {'frames_in': 20, 'replaced': 7, 'stale': 0, 'bad_input': 0}
    told = demo.passed_over(counts, 2.0)
    assert '7 replaced by newer ones, of 20' in told
    assert '--rate 2 asks' in told
    assert demo.passed_over({**counts, 'replaced': 0}, 2.0) == ''
    part = replace(part_of(SCENES[0], 2), passed_over=told)
    assert told in str(demo._section(part))
    monkeypatch.setattr(demo, 'run_demo', lambda *_, **__: [part])
    assert main(['demo', '--out', str(tmp_path / 'demo')]) == 0
    assert '7 replaced by newer ones' in capsys.readouterr().err


def part_of(scene, answered):
    figures = {
        'frames_in': 2,
        'frames_out': answered,
        'metrics': {'abs_rel': None},
        'latency_ms': {'p50': None},
    }
    picture = np.zeros((48, 64, 3), np.uint8)
    pictures = [dict.fromkeys(('image', 'prompt', 'depth', 'cloud'), picture)] * answered
    failures = [] if answered else ['no frame was answered']
    return DemoPart(scene, figures, failures, pictures, ErrorReport())


@pytest.mark.parametrize('answered', [(0, 2), (0, 0)])
def test_a_scene_without_an_answer_is_told_and_left_out_of_the_picture(
    answered, tmp_path, capsys, monkeypatch
):
    parts = [part_of(scene, count) for scene, count in zip(SCENES, answered, strict=True)]
    monkeypatch.setattr(demo, 'run_demo', lambda *_, **__: parts)
    picture = tmp_path / 'picture.png'
    assert main(['demo', '--out', str(tmp_path / 'demo'), '--picture', str(picture)]) == 1
    assert 'no frame was answered' in capsys.readouterr().err
    assert picture.is_file() == any(answered)
