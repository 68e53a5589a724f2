# SPDX-License-Identifier: Apache-2.0
"""``metric-depth export``: a network as an ONNX file, checked against torch before it is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from metric_depth_ros.cli.numbers import size
from metric_depth_ros.estimators.options import PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument('name', metavar='NAME', help='of `metric-depth models`')
    parser.add_argument(
        '--weights',
        default='',
        metavar='W',
        help='checkpoint file or Hugging Face id; default: the released one',
    )
    parser.add_argument('--revision', default='', help='of the Hugging Face repository')
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='FILE', help='file to write: NAME.onnx'
    )
    parser.add_argument(
        '--size',
        type=size(1, 99_999),
        default=(640, 480),
        metavar='WIDTHxHEIGHT',
        help='of the images; built into the file; default: 640x480',
    )
    parser.add_argument(
        '--preset',
        default='full',
        choices=PRESETS,
        help='realtime: fewer crops, a smaller canvas; built into the file; default: full',
    )
    parser.add_argument(
        '--resolution-scale',
        type=float,
        default=1.0,
        metavar='S',
        help='tokens of the image, in multiples of the usual; built into the file; default: 1',
    )


def run(args: argparse.Namespace) -> int:
    """Export one network and tell how far it is from torch."""
    from metric_depth_ros.cli.outputs import prepare_file, writing
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.options import EstimatorOptions

    if args.out.suffix != '.onnx':
        raise InputError('output_path', f'--out is {args.out}, expected a file name *.onnx.')
    options = EstimatorOptions(
        device='cpu',
        weights=args.weights,
        revision=args.revision,
        resolution_scale=args.resolution_scale,
        preset=args.preset,
    )
    prepare_file(args.out, '--out')

    from metric_depth_ros.estimators.learned.example import INFER, network_batch
    from metric_depth_ros.estimators.learned.loading import network_from, read_weights
    from metric_depth_ros.estimators.learned.presets import with_preset
    from metric_depth_ros.estimators.runtime.onnx_export import export_network, recorded_call

    name, _, variant = args.name.partition(':')
    if name not in INFER:
        raise InputError('model', f'export got {args.name!r}, expected one of {", ".join(INFER)}.')
    options.refuse_weights_of_others([name])
    checkpoint = read_weights(name, options, variant)
    network = with_preset(name, network_from(name, checkpoint), args.preset)
    # Without a camera, so that a network which recovers the focal length is exported whole.
    known = name not in ('depth_pro', 'student_pointmap')
    scale = options.resolution_scale
    batch = network_batch(name, network, args.size, scale=scale, camera=known)
    call = recorded_call(network, INFER[name], batch, scale)
    with writing(args.out, '--out'):
        error = export_network(name, network, call, checkpoint.model_config, args.out, args.preset)
    width, height = args.size
    print(f'{args.out}: {args.name} for images of {width}x{height}')
    print(f'sha256 of the weights {checkpoint.sha256}')
    print(f'largest error relative to torch {error:.1e}')
    preset = '' if args.preset == 'full' else f' --preset {args.preset}'
    print(f'use it with --estimator {args.name} --backend onnx --weights {args.out}{preset}')
    return 0
