# SPDX-License-Identifier: Apache-2.0
"""``metric-depth complete``: dense depth of one image from files, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELP = 'dense depth of one image from a sparse prompt; no ROS needed'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument('image', type=Path, metavar='IMAGE', help='color image, PNG or JPEG')
    parser.add_argument(
        '--camera',
        type=Path,
        required=True,
        metavar='CAM',
        help='calibration: ROS camera_info YAML, or YAML or JSON with width, height, K',
    )
    parser.add_argument(
        '--prompt',
        type=Path,
        required=True,
        metavar='P',
        help='depth map (16-bit .png, .npy, .npz with depth) or points (.npz with xyz, .npy, '
        '.ply, .pcd)',
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
    parser.add_argument(
        '--estimator', default='classical', metavar='NAME[:VARIANT]', help='default: classical'
    )
    parser.add_argument('--device', default='cpu', help='for estimators on torch; default: cpu')


def run(args: argparse.Namespace) -> int:
    """Estimate the depth of one image and write it."""
    import numpy as np

    from metric_depth_ros.cli.outputs import prepare_folder
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
    camera = frame_files.read_camera(args.camera)
    T = None if args.extrinsics is None else frame_files.read_transform(args.extrinsics)
    frame_files.import_open3d()  # refuse before the work, not after it
    frame = Frame(
        stamp_ns=0,
        frame_id='camera_optical_frame',
        image=load_color_image(args.image),
        camera=camera,
        prompt=frame_files.read_prompt(args.prompt, camera, T, args.prompt_scale),
    )
    estimate = create_estimator(args.estimator, args.device).estimate(frame)
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


def _summary(depth: NDArray[np.float32]) -> str:
    import numpy as np

    known = depth[np.isfinite(depth)]
    if not known.size:
        return 'no pixel has a depth'
    share = known.size / depth.size
    return f'{share:.1%} of the pixels have a depth, {known.min():.2f} to {known.max():.2f} m'
