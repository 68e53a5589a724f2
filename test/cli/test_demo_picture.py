# SPDX-License-Identifier: Apache-2.0
"""The picture of the demo: what cannot be written is refused before the work."""

from pathlib import Path

import pytest

from metric_depth_ros import demo
from metric_depth_ros.cli.main import main
from metric_depth_ros.demo import refuse_unwritable_picture


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
