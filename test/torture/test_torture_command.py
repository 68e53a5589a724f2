# SPDX-License-Identifier: Apache-2.0
"""``metric-depth torture``: what it lists."""

import pytest

from metric_depth_ros.cli.main import main

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')


def test_the_list_names_the_rows_of_every_group(capsys):
    assert main(['torture', '--list']) == 0
    groups = {line.split(':')[0] for line in capsys.readouterr().out.splitlines()}
    assert groups >= {'messages', 'processes', 'files', 'fuzz', 'endurance'}


def test_words_that_no_fault_holds_are_refused_and_leave_the_report(tmp_path, capsys):
    arguments = ['--only', 'nothinglikethis', '--out', str(tmp_path / 'out')]
    assert main(['torture', *arguments]) == 2
    said = capsys.readouterr().err
    assert "--only 'nothinglikethis': no fault holds these words" in said
    assert '--list' in said
    assert not (tmp_path / 'out').exists()
