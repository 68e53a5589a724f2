# SPDX-License-Identifier: Apache-2.0
"""The option ``--rerun`` of several commands."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metric_depth_ros.evaluation.rerun_log import RerunLog


def add_rerun_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--rerun``."""
    parser.add_argument(
        '--rerun',
        metavar='FILE.rrd',
        help='log image, prompt, depth, confidence, cloud and figures for the Rerun viewer; also '
        'live (starts a viewer) or rerun+http://HOST:PORT/proxy; needs rerun-sdk',
    )


def open_rerun(args: argparse.Namespace) -> AbstractContextManager[RerunLog | None]:
    """Return the log that is asked for, None where there is none; refused before the work."""
    if args.rerun is None:
        return nullcontext()
    from metric_depth_ros.cli.outputs import prepare_file
    from metric_depth_ros.evaluation.rerun_log import RerunLog

    if args.rerun.endswith('.rrd'):
        prepare_file(Path(args.rerun), '--rerun')
    return RerunLog(args.rerun)
