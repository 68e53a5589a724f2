# SPDX-License-Identifier: Apache-2.0
"""``metric-depth torture``: what it lists."""

import pytest

from metric_depth_ros.cli.main import main

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')


def test_the_list_names_the_rows_of_every_group(capsys):
    assert main(['torture', '--list']) == 0
    groups = {line.split(':')[0] for line in capsys.readouterr().out.splitlines()}
    assert groups >= {'messages', 'processes', 'files', 'fuzz', 'endurance'}
