# SPDX-License-Identifier: Apache-2.0
"""The estimator of a command: its name and how it runs, as command-line options."""

from __future__ import annotations

import argparse

from metric_depth_ros.estimators.options import BACKENDS, PRECISIONS, PRESETS


def add_estimator_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--estimator`` and the options of the learned ones."""
    parser.add_argument(
        '--estimator',
        default='classical',
        metavar='NAME[:VARIANT]',
        help='default: classical; `metric-depth models` lists the learned ones',
    )
    add_learned_arguments(parser)


def add_learned_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the learned estimators."""
    learned = parser.add_argument_group('learned estimators')
    learned.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1; default: auto')
    learned.add_argument(
        '--weights',
        default='',
        metavar='W',
        help='checkpoint file or Hugging Face id, or NAME=W,NAME=W; default: the released ones',
    )
    learned.add_argument('--revision', default='', help='of the Hugging Face repository')
    learned.add_argument('--precision', default='auto', choices=PRECISIONS, help='default: auto')
    learned.add_argument('--compile', action='store_true', help='compile the network')
    learned.add_argument(
        '--resolution-scale',
        type=float,
        default=1.0,
        metavar='S',
        help='tokens of the image, in multiples of the usual (3 and 9: finer); default: 1',
    )
    learned.add_argument('--backend', default='torch', choices=BACKENDS, help='default: torch')
    learned.add_argument(
        '--preset',
        default='full',
        choices=PRESETS,
        help='realtime: a fifth of the arithmetic, with less detail (student_depthmap, teacher); '
        'default: full',
    )
