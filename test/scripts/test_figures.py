# SPDX-License-Identifier: Apache-2.0
"""Measured tables on their way into documents."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'
PLACE = '<!-- figures:{} -->\nold\n<!-- end -->\n'


@pytest.fixture(scope='module')
def scripts():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import figures
        import reconstruction_figures
    finally:
        sys.path.remove(str(SCRIPTS))
    return figures, reconstruction_figures


def test_a_table_goes_between_its_markers(scripts, tmp_path):
    document = tmp_path / 'COMPACT.md'
    document.write_text(f'before\n{PLACE.format("monocular")}after\n')
    scripts[0].fill(document, {'monocular': '| new |'})
    expected = 'before\n<!-- figures:monocular -->\n| new |\n<!-- end -->\nafter\n'
    assert document.read_text() == expected


def test_a_document_without_the_place_of_a_table_is_refused_and_left_alone(scripts, tmp_path):
    document = tmp_path / 'README.md'
    document.write_text(PLACE.format('ratios'))
    with pytest.raises(SystemExit, match=r'README\.md has no place for deciles'):
        scripts[0].fill(document, {'ratios': '| new |', 'deciles': '| new |'})
    assert document.read_text() == PLACE.format('ratios')


def test_recordings_whose_surfaces_share_nothing_are_no_part_of_the_mean(scripts):
    _, reconstruction = scripts
    figures = {'f_score': 0.5, 'f_score_measured': 0.4, 'coverage_ratio': 1.0, 'median_m': 0.002}
    rows = [('indoor 1', figures), ('indoor 2', figures | {'median_m': None})]
    means = dict(reconstruction.means(rows))
    assert means['indoor, mean']['median_m'] == 0.002
    assert means['tabletop, mean']['median_m'] is None
    assert '| indoor 2 | 0.500 | 0.400 | 1.000 | nothing to compare |' in reconstruction.markdown(
        rows
    )
