# SPDX-License-Identifier: Apache-2.0
"""Numbers on the command line: which there are, and how the others are refused."""

import math
from argparse import ArgumentTypeError

import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.cli.numbers import positive, real, size, whole

KINDS = {
    'whole': whole(1),
    'whole to 3': whole(0, 3),
    'real': real(0.0, 1.0),
    'positive': positive(),
    'positive to 9': positive(9.0),
    'positive or inf': positive(math.inf),
    'size': size(16, 640),
}


@pytest.mark.parametrize(
    ('kind', 'text', 'value'),
    [
        ('whole', '1', 1),
        ('whole to 3', '3', 3),
        ('real', '0', 0.0),
        ('real', '1', 1.0),
        ('positive', '1e-9', 1e-9),
        ('positive', '1.7e308', 1.7e308),
        ('positive to 9', '9', 9.0),
        ('positive or inf', 'inf', math.inf),
        ('size', '640x16', (640, 16)),
    ],
)
def test_a_number_within_its_limits_is_taken(kind, text, value):
    assert KINDS[kind](text) == value


@pytest.mark.parametrize(
    ('kind', 'text', 'expected'),
    [
        ('whole', '0', 'a whole number, 1 or more'),
        ('whole', '1.5', 'a whole number, 1 or more'),
        ('whole to 3', '4', 'a whole number, from 0 to 3'),
        ('real', 'nan', 'a number from 0 to 1'),
        ('real', '1.1', 'a number from 0 to 1'),
        ('real', 'much', 'a number from 0 to 1'),
        ('positive', '0', 'a finite number above 0'),
        ('positive', 'inf', 'a finite number above 0'),
        ('positive', 'nan', 'a finite number above 0'),
        ('positive to 9', '9.1', 'a number above 0 and up to 9'),
        ('positive or inf', '-inf', 'a number above 0, or inf'),
        ('positive or inf', 'nan', 'a number above 0, or inf'),
        ('size', '640', 'WIDTHxHEIGHT, as in 640x480, of 16 to 640 pixels each'),
        ('size', '640x15', 'WIDTHxHEIGHT, as in 640x480, of 16 to 640 pixels each'),
        ('size', '９９x９９', 'WIDTHxHEIGHT, as in 640x480, of 16 to 640 pixels each'),
    ],
)
def test_another_one_is_refused_with_what_was_expected(kind, text, expected):
    with pytest.raises(ArgumentTypeError) as refusal:
        KINDS[kind](text)
    assert str(refusal.value) == f'{text} is not {expected}'


@pytest.mark.parametrize(
    ('command', 'option', 'value'),
    [
        (['bench', 'codecs'], '--rounds', '0'),
        (['bench', 'model', 'teacher'], '--frames', '-1'),
        (['benchmark', 'nyu'], '--limit', '0'),
        (['complete', 'image.png', '-o', 'out'], '--prompt-scale', '0'),
        (['demo'], '--scale', 'nan'),
        (['export', 'teacher', '-o', 'x.onnx'], '--size', '640'),
        (['make-bag', 'set', 'out'], '--rate', '0'),
        (['pseudo-label', 'data', 'out'], '--worst-error', '0'),
        (['reconstruct', 'bag', '-o', 'm.ply'], '--min-weight', 'nan'),
        (['reconstruct', 'bag', '-o', 'm.ply'], '--min-confidence', '1.1'),
        (['replay', 'bag'], '--loops', '0'),
        (['replay', 'bag'], '--domain', '233'),
        (['simulate', 'out', '--scene', 'street'], '--size', '640x8'),
        (['torture'], '--frames', '-1'),
        (['torture'], '--fuzz', '-1'),
        (['train', 'teacher', '--config', 'x'], '--until', '0'),
    ],
)
def test_a_command_ends_with_2_and_names_the_option(command, option, value, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, f'{option}={value}'])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert f'argument {option}: {value} is not' in said
