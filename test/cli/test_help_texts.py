# SPDX-License-Identifier: Apache-2.0
"""``--help`` says what every argument is, and the defaults that are not the same everywhere."""

import argparse
import re

import pytest

from metric_depth_ros.cli.main import COMMANDS, _parser, main
from metric_depth_ros.nodes import depth
from metric_depth_ros.ros.reconstruct_parameters import FusionSettings


def subparsers(parser):
    """Yield the parsers of the commands within one, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def arguments(parser):
    for _, inner in subparsers(parser):
        yield from arguments(inner)
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            yield action


def help_of(command, capsys):
    with pytest.raises(SystemExit):
        main([command, '--help'])
    return ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize('command', COMMANDS)
def test_every_argument_says_what_it_is(command):
    chosen = dict(subparsers(_parser(command)))[command]
    assert [action.dest for action in arguments(chosen) if not action.help] == []


@pytest.mark.parametrize('command', COMMANDS)
def test_defaults_are_told_in_one_spelling(command):
    chosen = dict(subparsers(_parser(command)))[command]
    odd = re.compile(r'\(default|default [^:]|\[[^]]*\]$|default:\S')
    assert [a.dest for a in arguments(chosen) if odd.search(a.help % vars(a))] == []


def test_the_default_rate_of_a_simulation_is_told(capsys):
    assert 'frames a second; default: 10' in help_of('simulate', capsys)


def test_reconstruct_tells_where_the_node_has_other_defaults(capsys):
    told, node = help_of('reconstruct', capsys), FusionSettings()
    assert f'edge of a voxel in meters; default: 0.02 (node: {node.voxel_size_m:g})' in told
    assert f'default: 10 (node: {node.max_depth_m:g})' in told
    assert f'default: never (node: {node.window_m:g})' in told


def test_the_depth_node_names_its_service(capsys):
    assert depth.main(['--help']) == 0
    assert '~/save_snapshot' in capsys.readouterr().out
