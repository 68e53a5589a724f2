# SPDX-License-Identifier: Apache-2.0
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.fail_if import Condition, concerned, parse_condition

METRICS = {
    'frames_in': 10,
    'metrics': {'abs_rel': 0.2, 'rmse_m': None},
    'metrics_unprompted': {'abs_rel': 0.3},
    'latency_ms': {'p95': 40.0},
}


@pytest.mark.parametrize(
    ('text', 'violated'),
    [
        ('abs_rel>0.1', True),
        ('abs_rel > 0.2', False),
        ('abs_rel>=0.2', True),
        ('metrics_unprompted.abs_rel<0.25', False),
        ('latency_ms.p95 >= 4e1', True),
        ('frames_in!=10', False),
        ('frames_in == 10', True),
    ],
)
def test_a_condition_compares_a_metric_with_a_number(text: str, violated: bool) -> None:
    assert parse_condition(text).violated(METRICS) is violated


def test_a_figure_that_does_not_exist_fails_every_condition() -> None:
    assert parse_condition('rmse_m>100').violated(METRICS)


def test_an_unknown_metric_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r'no metric .absrel.*latency_ms\.p95, metrics\.abs_rel'):
        parse_condition('absrel>1').violated(METRICS)


def test_groups_without_a_metric_are_passed_over_unless_none_has_it() -> None:
    dense = {'metrics': {**METRICS['metrics'], 'boundary_f1': 0.1}}
    assert concerned(parse_condition('boundary_f1<0.2'), [METRICS, dense]) == [dense]
    assert concerned(parse_condition('rmse_m>1'), [METRICS, dense]) == [METRICS, dense]
    assert concerned(parse_condition('absrel>1'), [METRICS, dense]) == [METRICS, dense]


@pytest.mark.parametrize(
    'text', ['', 'abs_rel', 'abs_rel>', '>0.1', ' >0.1', 'abs_rel=>1', 'a>1; b>2']
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match='not understood'):
        parse_condition(text)


@pytest.mark.parametrize('name', ['glass-door', 'see through', '2nd'])
def test_a_condition_names_a_region_of_any_name(name: str) -> None:
    condition = parse_condition(f' masks.{name}.abs_rel > 0.1')
    assert condition.violated({'masks': {name: {'abs_rel': 0.2}}})


def test_a_name_is_looked_up_and_not_evaluated() -> None:
    with pytest.raises(InputError, match='no metric'):
        parse_condition('__import__("os")>1').violated(METRICS)


@pytest.mark.parametrize('number', ['x', 'nan'])
def test_the_limit_must_be_a_number(number: str) -> None:
    with pytest.raises(InputError, match='not a number'):
        parse_condition(f'abs_rel>{number}')


def test_a_condition_reads_back_as_it_is_written() -> None:
    assert parse_condition(str(Condition('abs_rel', '>', 0.1))) == Condition('abs_rel', '>', 0.1)
