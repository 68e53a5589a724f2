# SPDX-License-Identifier: Apache-2.0
"""``metric-depth torture``: what it lists, and what is left of a campaign that is cut short."""

import json

import pytest

from metric_depth_ros.cli import torture
from metric_depth_ros.cli.main import EXIT_INTERRUPTED, main
from metric_depth_ros.torture.fault import Outcome

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
    assert 'leave' not in said
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('done', [0, 2])
def test_an_interrupted_campaign_leaves_the_report_of_what_was_done(
    done, tmp_path, monkeypatch, capsys
):
    def interrupted(folder, only, tell):
        for number in range(done):
            tell(Outcome('files', f'fault {number}', 'refused', 'refused', True, None, 0.0))
        raise KeyboardInterrupt

    monkeypatch.setattr(torture, '_live', lambda folder, only, tell: None)
    monkeypatch.setattr(torture, '_files', interrupted)
    assert main(['torture', '--out', str(tmp_path)]) == EXIT_INTERRUPTED
    if not done:  # an earlier report is worth more than none
        assert not list(tmp_path.iterdir())
        return
    report = json.loads((tmp_path / 'torture.json').read_text())
    assert [fault['name'] for fault in report['faults']] == ['fault 0', 'fault 1']
    assert not report['is_whole']
    for name in ('torture.txt', 'torture.html'):
        assert 'interrupted after 2 faults' in (tmp_path / name).read_text()
    assert 'interrupted after 2 faults' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (('--only', 'endurance', '--frames', '0'), '--frames 0 leaves'),
        (('--only', 'fuzz', '--fuzz', '0'), '--fuzz 0 leaves'),
        (('--frames', '999'), '--frames 999: fewer do not show'),
    ],
)
def test_a_campaign_that_proves_nothing_is_refused_and_leaves_the_report(
    arguments, told, tmp_path, capsys
):
    assert main(['torture', *arguments, '--out', str(tmp_path / 'out')]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
