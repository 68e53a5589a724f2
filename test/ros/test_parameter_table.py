# SPDX-License-Identifier: Apache-2.0
"""The parameter table: values checked in words, and the document that is generated from it."""

import math
from pathlib import Path

import pytest
import yaml

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameter_document import NODES, markdown
from metric_depth_ros.ros.parameters import DEPTH_NODE, DepthNodeSettings

ROOT = Path(__file__).parents[2]
ROWS = {f'{node} {name}': row for node, t in NODES.items() for name, row in t.rows.items()}


def test_defaults_are_valid_settings():
    assert DEPTH_NODE.settings({}) == DepthNodeSettings()


@pytest.mark.parametrize('row', ROWS.values(), ids=ROWS)
def test_every_default_passes_its_own_check(row):
    assert row.checked(row.default) == row.default


@pytest.mark.parametrize('row', ROWS.values(), ids=ROWS)
def test_every_number_has_a_range_and_a_description(row):
    assert row.description.endswith('.')
    if row.kind in (int, float):
        assert row.minimum < row.maximum


def test_an_integer_is_taken_where_a_double_is_meant():
    assert DEPTH_NODE.settings({'prompt.max_age_s': 1}).prompt.max_age_s == 1.0


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('prompt.max_age_s', '0.1', 'a number'),
        ('prompt.max_age_s', True, 'a number'),
        ('prompt.max_age_s', math.nan, 'a finite number'),
        ('prompt.max_age_s', -0.1, '0 to 60'),
        ('prompt.max_points', 2.5, 'an integer'),
        ('prompt.max_points', 0, '1 to'),
        ('autostart', 1, 'true or false'),
        ('estimator', 3, 'a string'),
        ('extrinsics.source', 'tf', 'tf2 or file or bag'),
        ('prompt.sources', 'points', 'a list of strings'),
        ('prompt.sources', ['lidar'], 'points, sensor_depth'),
        ('depth.encoding', '8UC1', '32FC1 or 16UC1'),
    ],
)
def test_a_wrong_value_is_refused_with_name_value_and_expectation(name, value, words):
    with pytest.raises(InputError) as refusal:
        DEPTH_NODE.settings({name: value})
    assert name in str(refusal.value)
    assert repr(value) in str(refusal.value)
    assert words in str(refusal.value)


def test_depth_limits_that_contradict_are_refused():
    with pytest.raises(InputError, match=r'prompt\.max_depth_m'):
        DEPTH_NODE.settings({'prompt.min_depth_m': 5.0, 'prompt.max_depth_m': 2.0})


@pytest.mark.parametrize('source', ['file', 'bag'])
def test_a_file_or_bag_needs_a_path(source):
    with pytest.raises(InputError, match=r'extrinsics\.path is empty'):
        DEPTH_NODE.settings({'extrinsics.source': source})


def test_an_empty_list_of_sources_is_allowed():
    assert DEPTH_NODE.settings({'prompt.sources': None}).prompt.sources == ()


def test_the_parameter_document_is_the_table():
    assert (ROOT / 'docs/PARAMETERS.md').read_text() == markdown(), (
        'regenerate: python -m metric_depth_ros.ros.parameter_document docs/PARAMETERS.md'
    )


@pytest.mark.parametrize('path', sorted((ROOT / 'config').glob('*.yaml')), ids=lambda p: p.name)
def test_every_shipped_configuration_is_accepted(path):
    content = yaml.safe_load(path.read_text())
    for name, node in content.items():
        executable = {'camera': 'realsense'}.get(name.rpartition('/')[2], path.stem)
        table = NODES.get(executable, DEPTH_NODE)  # a file named as a node is of that node
        table.settings(node['ros__parameters'])
