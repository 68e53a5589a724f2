# SPDX-License-Identifier: Apache-2.0
"""``metric-depth complete``: dense depth of one image from files, without ROS."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.cli.estimator_options import add_estimator_arguments, options_from
from metric_depth_ros.cli.rerun_option import add_rerun_argument, open_rerun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metric_depth_ros.types import CameraModel, SparsePrompt

HELP = 'dense depth of one image, from a sparse prompt or without; no ROS needed'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'image',
        type=Path,
        metavar='IMAGE',
        help='color image, PNG or JPEG; or a snapshot folder of the node (~/save_snapshot), which '
        'is computed again with its own parameters and compared bit by bit',
    )
    parser.add_argument(
        '--camera',
        type=Path,
        metavar='CAM',
        help='calibration: ROS camera_info YAML, or YAML or JSON with width, height, K; some '
        'learned estimators do without',
    )
    parser.add_argument(
        '--prompt',
        type=Path,
        metavar='P',
        help='depth map (16-bit .png, .npy, .npz with depth) or points (.npz with xyz, .npy, '
        '.ply, .pcd); needs --camera',
    )
    parser.add_argument(
        '--prompt-scale',
        type=float,
        default=0.001,
        metavar='M',
        help='meters per unit of a .png; default 0.001',
    )
    parser.add_argument(
        '--extrinsics',
        type=Path,
        metavar='T',
        help='T_camera_sensor of points, YAML or JSON: 4x4, or translation and rotation [x y z w] '
        '(default: points are in the camera optical frame)',
    )
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='OUT', help='folder for the results'
    )
    add_rerun_argument(parser)
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Estimate the depth of one image and write it."""
    from dataclasses import replace

    import numpy as np

    from metric_depth_ros.cli.outputs import prepare_folder, writing
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.registry import create_estimator
    from metric_depth_ros.evaluation import frame_files
    from metric_depth_ros.framesets import load_color_image
    from metric_depth_ros.types import Frame

    if not args.prompt_scale > 0.0:
        raise InputError(
            'prompt_scale', f'--prompt-scale is {args.prompt_scale}, expected a positive number.'
        )
    prepare_folder(args.out, '--out')
    if args.image.is_dir():
        return _repeat(args.image, args.out)
    options = options_from(args)
    frame = Frame(
        stamp_ns=0,
        frame_id='camera_optical_frame',
        image=load_color_image(args.image),
        camera=None if args.camera is None else frame_files.read_camera(args.camera),
    )
    if args.prompt is not None:
        frame = replace(frame, prompt=_prompt(args, frame.camera))
    with open_rerun(args) as log:
        estimator = create_estimator(args.estimator, options)
        began_s = time.perf_counter()
        estimate = estimator.estimate(frame)
        if frame.prompt is None and np.isnan(estimate.depth).all():
            raise InputError(
                'prompt_missing',
                f'--estimator {args.estimator} finds no depth without a prompt: name one with '
                '--prompt, or a monocular --estimator, e.g. compact_student.',
            )
        if log is not None:
            log.frame(frame, estimate, latency_ms=1e3 * (time.perf_counter() - began_s))
    with writing(args.out, '--out'):
        paths = frame_files.write_results(args.out, frame, estimate)
    print(f'{estimate.method}: {_summary(estimate.depth)}')
    cut = int(np.count_nonzero(estimate.depth * 1e3 >= frame_files.MAX_MILLIMETERS + 0.5))
    if cut:
        print(
            f'{cut} pixels are farther than 65.535 m, which 16-bit millimeters cannot hold: they '
            'are 0 in depth.png; depth.npz has them.'
        )
    for path in paths.values():
        print(path)
    return 0


def _repeat(folder: Path, out: Path) -> int:
    """Compute a snapshot again; exit 1 where the result differs from what was published."""
    import numpy as np

    from metric_depth_ros.cli.outputs import writing
    from metric_depth_ros.estimators.fallback import is_by_fallback
    from metric_depth_ros.evaluation import frame_files
    from metric_depth_ros.evaluation.snapshots import read_snapshot
    from metric_depth_ros.ros.estimation import estimator_from
    from metric_depth_ros.ros.framing import limited_depth
    from metric_depth_ros.ros.parameters import settings_from
    from metric_depth_ros.types import DepthEstimate

    snapshot = read_snapshot(folder)
    answered_by = 'monocular' if is_by_fallback(snapshot.method) else 'prompted'
    settings = settings_from({**snapshot.parameters, 'fallback_policy': answered_by})
    estimate = estimator_from(settings).estimate(snapshot.frame)
    depth = settings.depth
    limited = limited_depth(estimate, depth.max_range_m, depth.min_confidence, depth.edge_filter)
    repeated = DepthEstimate(limited.depth, estimate.confidence, limited.camera, estimate.method)
    with writing(out, '--out'):
        paths = frame_files.write_results(out, snapshot.frame, repeated)
    print(f'{snapshot.method}: {_summary(limited.depth)}')
    for path in paths.values():
        print(path)
    if np.array_equal(limited.depth, snapshot.depth, equal_nan=True):
        print('the depth is bit for bit what the node published')
        return 0
    equal = (limited.depth == snapshot.depth) | (
        np.isnan(limited.depth) & np.isnan(snapshot.depth)
    )
    print(f'{np.count_nonzero(~equal)} of {equal.size} pixels differ from what was published')
    return 1


def _prompt(args: argparse.Namespace, camera: CameraModel | None) -> SparsePrompt:
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.evaluation import frame_files

    if camera is None:
        raise InputError(
            'camera_missing', '--prompt needs --camera: it is placed in the image by it.'
        )
    T = None if args.extrinsics is None else frame_files.read_transform(args.extrinsics)
    return frame_files.read_prompt(args.prompt, camera, T, args.prompt_scale)


def _summary(depth: NDArray[np.float32]) -> str:
    import numpy as np

    known = depth[np.isfinite(depth)]
    if not known.size:
        return 'no pixel has a depth'
    share = known.size / depth.size
    return f'{share:.1%} of the pixels have a depth, {known.min():.2f} to {known.max():.2f} m'
