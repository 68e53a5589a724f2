# SPDX-License-Identifier: Apache-2.0
"""``metric-depth repeat``: a snapshot of the node computed again and compared bit by bit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metric_depth_ros.framesets.snapshots import Snapshot
    from metric_depth_ros.types import DepthEstimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'folder',
        type=Path,
        metavar='FOLDER',
        help='snapshot of the node (~/save_snapshot), which is computed with its own parameters',
    )
    parser.add_argument(
        '-o', '--out', type=Path, metavar='OUT', help='folder for the results; default: none'
    )


def run(args: argparse.Namespace) -> int:
    """Compute a snapshot again; exit 1 where the depth differs from what was published."""
    from metric_depth_ros.cli.estimate_files import tell_estimate, write_estimate
    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.framesets.snapshots import read_snapshot

    snapshot = read_snapshot(args.folder)
    if args.out is not None:
        prepare_folder(args.out, '--out')
    estimate = _estimated_again(snapshot)
    tell_estimate(estimate)
    if args.out is not None:
        write_estimate(args.out, '--out', snapshot.frame, estimate)
    return _compared(estimate.depth, snapshot.depth)


def _estimated_again(snapshot: Snapshot) -> DepthEstimate:
    """Estimate as the node did; of two estimators, with the one that answered."""
    from metric_depth_ros.estimators.fallback import is_by_fallback
    from metric_depth_ros.ros.estimation import estimator_from
    from metric_depth_ros.ros.limits import limited_depth
    from metric_depth_ros.ros.parameters import DEPTH_NODE
    from metric_depth_ros.types import DepthEstimate

    answered_by = 'monocular' if is_by_fallback(snapshot.method) else 'prompted'
    settings = DEPTH_NODE.settings({**snapshot.parameters, 'fallback_policy': answered_by})
    estimate = estimator_from(settings).estimate(snapshot.frame)
    depth = settings.depth
    limited = limited_depth(estimate, depth.max_range_m, depth.min_confidence, depth.edge_filter)
    return DepthEstimate(limited.depth, estimate.confidence, limited.camera, snapshot.method)


def _compared(depth: NDArray[np.float32], published: NDArray[np.float32]) -> int:
    """Say whether both are the same; return the exit code."""
    import numpy as np

    equal = (depth == published) | (np.isnan(depth) & np.isnan(published))
    if equal.all():
        print('the depth is bit for bit what the node published')
        return 0
    print(f'{np.count_nonzero(~equal)} of {equal.size} pixels differ from what was published')
    return 1
