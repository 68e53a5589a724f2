# SPDX-License-Identifier: Apache-2.0
"""``metric-depth complete``: dense depth of one image from files, without ROS."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.cli.numbers import positive
from metric_depth_ros.cli.rerun_option import add_rerun_argument, open_rerun
from metric_depth_ros.estimators.options import EstimatorOptions

if TYPE_CHECKING:
    from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, SparsePrompt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument('image', type=Path, metavar='IMAGE', help='color image, PNG or JPEG')
    parser.add_argument(
        '--camera',
        type=Path,
        metavar='CAM',
        help='calibration: ROS camera_info YAML, or YAML or JSON with width, height, K and '
        'distortion (model, coefficients); some learned estimators do without',
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
        type=positive(),
        default=0.001,
        metavar='M',
        help='meters per unit of a .png; default: 0.001',
    )
    parser.add_argument(
        '--extrinsics',
        type=Path,
        metavar='T',
        help='T_camera_sensor of points, YAML or JSON: 4x4, or translation and rotation '
        '[x y z w]; default: points are in the camera optical frame',
    )
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='OUT', help='folder for the results'
    )
    add_rerun_argument(parser)
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Estimate the depth of one image and write it."""
    from metric_depth_ros.cli.estimate_files import tell_estimate, write_estimate
    from metric_depth_ros.cli.outputs import folder_for
    from metric_depth_ros.errors import InputError

    if args.image.is_dir():
        raise InputError(
            'image_path',
            f'{args.image} is a folder, expected an image: `metric-depth repeat {args.image}` '
            'computes a snapshot of the node again.',
        )
    if args.extrinsics is not None and args.prompt is None:
        raise InputError(
            'prompt_missing',
            f'--extrinsics {args.extrinsics} places the points of a prompt, and there is none: '
            'name it with --prompt, or leave --extrinsics out.',
        )
    with folder_for(args.out, '--out'):
        options = EstimatorOptions.of(args)
        frame = _frame(args)
        estimate = _estimate(args, options, frame)
        tell_estimate(estimate)
        write_estimate(args.out, '--out', frame, estimate)
    return 0


def _frame(args: argparse.Namespace) -> Frame:
    """Read the image with what was given to it."""
    from dataclasses import replace

    from metric_depth_ros.errors import InputError
    from metric_depth_ros.framesets.loose_files import read_camera
    from metric_depth_ros.framesets.stored_arrays import load_color_image, read_png
    from metric_depth_ros.types import Frame

    stored = read_png(args.image)
    if stored.ndim == 2 and stored.dtype != 'uint8':
        raise InputError(
            'image_file',
            f'{args.image} is a 16-bit gray picture, as depth maps are, expected a color image: a '
            'depth map goes with --prompt.',
        )
    camera = None if args.camera is None else read_camera(args.camera)
    # Without the prompt first: a camera of another size is to be blamed, and not the prompt.
    frame = Frame(0, 'camera_optical_frame', load_color_image(args.image), camera)
    return frame if args.prompt is None else replace(frame, prompt=_prompt(args, camera))


def _estimate(args: argparse.Namespace, options: EstimatorOptions, frame: Frame) -> DepthEstimate:
    """Estimate the frame, and log it where that is asked for."""
    import numpy as np

    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.registry import create_estimator

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
    return estimate


def _prompt(args: argparse.Namespace, camera: CameraModel | None) -> SparsePrompt:
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.framesets.loose_files import read_prompt, read_transform

    if camera is None:
        raise InputError(
            'camera_missing', '--prompt needs --camera: it is placed in the image by it.'
        )
    T = None if args.extrinsics is None else read_transform(args.extrinsics)
    return read_prompt(args.prompt, camera, T, args.prompt_scale)
