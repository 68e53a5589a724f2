# SPDX-License-Identifier: Apache-2.0
"""Measured tables on their way into documents."""

import pytest
import reconstruction_figures
from figures import fill

PLACE = '<!-- figures:{} -->\nold\n<!-- end -->\n'


def test_a_table_goes_between_its_markers(tmp_path):
    document = tmp_path / 'COMPACT.md'
    document.write_text(f'before\n{PLACE.format("monocular")}after\n')
    fill(document, {'monocular': '| new |'})
    expected = 'before\n<!-- figures:monocular -->\n| new |\n<!-- end -->\nafter\n'
    assert document.read_text() == expected


def test_a_document_without_the_place_of_a_table_is_refused_and_left_alone(tmp_path):
    document = tmp_path / 'README.md'
    document.write_text(PLACE.format('ratios'))
    with pytest.raises(SystemExit, match=r'README\.md has no place for deciles'):
        fill(document, {'ratios': '| new |', 'deciles': '| new |'})
    assert document.read_text() == PLACE.format('ratios')


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
