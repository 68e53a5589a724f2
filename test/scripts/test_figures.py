# SPDX-License-Identifier: Apache-2.0
"""Measured tables on their way into documents."""

from pathlib import Path

import figures
import pytest
import reconstruction_figures
from figures import fill

from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.replay.session import RECORDING

PLACE = '<!-- figures:{} -->\nold\n<!-- end -->\n'


@pytest.mark.parametrize('old', ['old\n', ''])
def test_a_table_goes_between_its_markers(tmp_path, old):
    document = tmp_path / 'COMPACT.md'
    place = PLACE.format('monocular').replace('old\n', old)
    document.write_text(f'before\n{place}after\n{PLACE.format("ratios")}')
    fill(document, {'monocular': '| new |'})
    expected = 'before\n<!-- figures:monocular -->\n| new |\n<!-- end -->\nafter\n'
    assert document.read_text() == expected + PLACE.format('ratios')


def test_a_document_without_the_place_of_a_table_is_refused_and_left_alone(tmp_path):
    document = tmp_path / 'README.md'
    document.write_text(PLACE.format('ratios'))
    with pytest.raises(SystemExit, match=r'README\.md has no place for deciles'):
        fill(document, {'ratios': '| new |', 'deciles': '| new |'})
    assert document.read_text() == PLACE.format('ratios')


def test_figures_are_measured_anew_where_they_were_measured_before(tmp_path, monkeypatch):
    replayed = []

    def run(command, *arguments):
        if command == 'replay':
            folder = Path(arguments[arguments.index('--out') + 1])
            with BagWriter(folder / RECORDING):  # which refuses one that is there
                replayed.append(folder.name)

    monkeypatch.setattr(figures, 'OUT', tmp_path)
    monkeypatch.setattr(figures, 'run', run)
    for _ in range(2):
        figures.measure(tmp_path / 'data')
    assert replayed == 2 * list(figures.REPLAYS)


def test_recordings_whose_surfaces_share_nothing_are_no_part_of_the_mean():
    figures = {'f_score': 0.5, 'f_score_measured': 0.4, 'coverage_ratio': 1.0, 'median_m': 0.002}
    rows = [('indoor 1', figures), ('indoor 2', figures | {'median_m': None})]
    means = dict(reconstruction_figures.means(rows))
    assert means['indoor, mean']['median_m'] == 0.002
    assert means['tabletop, mean']['median_m'] is None
    assert (
        '| indoor 2 | 0.500 | 0.400 | 1.000 | nothing to compare |'
        in reconstruction_figures.markdown(rows)
    )


def test_a_mean_without_a_figure_or_not_above_the_measured_one_is_not_better():
    better = reconstruction_figures.better
    assert better({'f_score': 0.5, 'f_score_measured': 0.4})
    assert not better({'f_score': 0.4, 'f_score_measured': 0.4})
    assert not better({'f_score': None, 'f_score_measured': 0.4})


def test_prompts_of_the_truth_stand_below_and_every_set_has_one_vote_in_its_mean():
    names = figures.ESTIMATORS

    def row(frames, prompt, of_truth, ratio):
        return figures.GroupScores(
            frames, prompt, 2, of_truth, 0.1, dict.fromkeys(names, ratio / 10)
        )

    rows = [row('a', 'x', True, 0.25), row('a', 'y', True, 1.0), row('b', 'lidar', False, 2.0)]
    lines = figures.accuracy_by_set_table(rows).splitlines()[2:]
    assert lines[0].startswith('| b | 2 | lidar | 2.00 |')
    assert lines[1].startswith('| a | 2 | 2, made of the truth | 0.50 |')
    assert lines[2].startswith('| **geometric mean of the 2 sets** | 4 | | **1.000** |')
    assert '**0.794**' in lines[3]
