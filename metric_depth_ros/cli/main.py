# SPDX-License-Identifier: Apache-2.0
"""Entry point of `metric-depth`: picks the command and turns bad input into one sentence.

Imports nothing but the standard library, `errors`, `libraries` and `middleware` before a command
is chosen.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from importlib import import_module

from metric_depth_ros import __version__
from metric_depth_ros.errors import InputError
from metric_depth_ros.libraries import missing_libraries_named
from metric_depth_ros.middleware import refuse_missing_middleware

# command -> (module under metric_depth_ros.cli, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    'doctor': ('doctor', 'tell what is installed, what is missing, and what to do'),
    'demo': ('demo', 'simulate, replay, score and write a report'),
    'run': ('run', 'start the depth node, with a params file and remaps'),
    'complete': ('complete', 'complete one image with one prompt, no ROS needed'),
    'models': ('models', 'list the learned models: weights, licenses, whether they are here'),
    'replay': ('replay', 'play a bag through the live node and score what it publishes'),
    'evaluate': ('evaluate', 'score an estimator on recorded frame sets'),
    'repeat': ('repeat', 'compute a snapshot of the node again and compare it bit by bit'),
    'reconstruct': ('reconstruct', 'fuse a recording with poses into a mesh'),
    'tokenize': ('tokenize', 'the depth of recordings as tokens, for policies'),
    'make-bag': ('make_bag', 'turn a frame set into a rosbag2 bag'),
    'simulate': ('simulate', 'simulate a drive or a room into a rosbag2 bag'),
    'make-shards': ('make_shards', 'simulate examples to train on'),
    'pseudo-label': ('pseudo_label', 'label examples with a teacher, for a student'),
    'train': ('train', 'train a network as a configuration says'),
    'export': ('export', 'write a learned model as an ONNX file'),
    'benchmark': ('benchmark', 'an estimator on a data set of the papers, beside their rows'),
    'conformance': ('conformance', "compare with values of the papers' own code"),
    'bench': ('bench', 'measure speed, as ratios to a baseline of the same run'),
    'torture': ('torture', 'a campaign of faults against a live node, with a report'),
}
_EPILOG = """\
examples:
  metric-depth doctor
  metric-depth demo
  metric-depth complete IMAGE.jpg --camera CAM.yaml --prompt POINTS.ply -o out
  metric-depth evaluate FRAMESET --estimator compact_teacher
  metric-depth run --params-file config/kitti.yaml -r image:=/camera/image_raw

`run` is the depth node. The others, `query`, `reconstruct`, `realsense` and `realsense_depth`, are
executables of their own: NAME --ros-args, or ros2 run metric_depth_ros NAME --ros-args.
"""
_LOAD_RCLPY = ('replay', 'demo', 'torture', 'bench')  # a node refuses a missing middleware itself
EXIT_BAD_INPUT = 2
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
EXIT_INTERRUPTED = 130


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the chosen command's module is imported."""
    parser = argparse.ArgumentParser(
        prog='metric-depth',
        description='Metric depth for ROS 2: sparse sensor prompts in, dense metric depth out.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line)
        if name == chosen:
            implementation = import_module(f'metric_depth_ros.cli.{module}')
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        The command's exit code; 2 for bad input or usage, a package or a middleware that is not
        installed, a file that cannot be used or a full disk, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if not a.startswith('-')), None)
    try:
        with missing_libraries_named():
            args = _parser(chosen).parse_args(arguments)
            if chosen in _LOAD_RCLPY:
                refuse_missing_middleware()
            return int(args.run(args))
    except InputError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing left to say
        return 0
    except OSError as error:
        if error.errno not in _NO_SPACE and error.filename is None:
            raise
        sentence = _sentence(error)
    print(f'metric-depth {chosen}: {sentence}', file=sys.stderr)
    return EXIT_BAD_INPUT


def _sentence(error: OSError) -> str:
    """Return what the system refused: room on a disk, or a file that it names."""
    if error.errno in _NO_SPACE:
        place = f' ({error.filename})' if error.filename else ''
        return f'{error.strerror}{place}. Free space, or let the command write to another place.'
    return (
        f'{error.filename} cannot be used: {error.strerror}. Name another path, or let this '
        'user read and write that one.'
    )


if __name__ == '__main__':
    sys.exit(main())
