# SPDX-License-Identifier: Apache-2.0
"""Plain values to dataclasses."""

from dataclasses import dataclass

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.plain_values import PlainValues

STRICT = PlainValues('odd_values', least_int=0)
OF_YAML = PlainValues('odd_values', text_numbers=True)


@dataclass(frozen=True)
class Part:
    width: int
    rate: float = 1.0


@dataclass(frozen=True)
class Other:
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Whole:
    part: Part | Other
    taps: tuple[int | None, ...] = ()
    depth: int | None = None


@pytest.mark.parametrize('values', [STRICT, OF_YAML])
@pytest.mark.parametrize('depth', [None, 3])
def test_a_field_that_may_be_none_is_read_with_a_value_and_without(values, depth):
    read = values.read(Whole, {'part': {'width': 2}, 'depth': depth, 'taps': [1, None]}, 'here')
    assert read == Whole(Part(2), (1, None), depth)


def test_the_kind_of_a_part_is_told_by_its_fields():
    assert STRICT.read(Whole, {'part': {'sizes': [1, 2]}}, 'here').part == Other((1, 2))


def test_an_integer_is_taken_for_a_number_and_text_only_where_it_may_be():
    assert STRICT.read(Part, {'width': 1, 'rate': 2}, 'here').rate == 2.0
    assert OF_YAML.read(Part, {'width': 1, 'rate': '1e-6'}, 'here').rate == 1e-6
    with pytest.raises(InputError, match=r"here: rate is '1e-6', expected float"):
        STRICT.read(Part, {'width': 1, 'rate': '1e-6'}, 'here')


@pytest.mark.parametrize('rate', [10**400, True, 'fast', None, [1.0]])
def test_what_is_no_number_is_refused(rate):
    with pytest.raises(InputError, match=r'here: rate is .*, expected float') as refused:
        OF_YAML.read(Part, {'width': 1, 'rate': rate}, 'here')
    assert refused.value.fault == 'odd_values'


def test_an_integer_below_the_least_is_refused():
    assert OF_YAML.read(Part, {'width': -1}, 'here').width == -1
    with pytest.raises(InputError, match='here: width is -1, expected int, at least 0'):
        STRICT.read(Part, {'width': -1}, 'here')
