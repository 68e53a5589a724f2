# SPDX-License-Identifier: Apache-2.0
"""`metric-depth reconstruct`: a recording with poses becomes a mesh."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.cli.numbers import real
from metric_depth_ros.cli.rerun_option import add_rerun_argument, open_rerun
from metric_depth_ros.cli.topic_arguments import RECORDED, add_topic_argument, topics_from
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.ros.reconstruct_parameters import FusionSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metric_depth_ros.errors import InputError
    from metric_depth_ros.evaluation.rerun_log import RerunLog
    from metric_depth_ros.reconstruction.posed_frame import PosedFrame
    from metric_depth_ros.reconstruction.surface import Surface
    from metric_depth_ros.types import DepthEstimate

SENSOR = 'sensor'  # instead of an estimator: what the sensors measured
PUBLISHED = 'published'  # what a depth node has published into the bag
_F_SCORE_M = 0.02
_HEAVIEST = 100.0  # a voxel weighs no more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        'source', type=Path, metavar='BAG|FRAMESET', help='recording with poses of the camera'
    )
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='MESH.ply', help='mesh to write'
    )
    parser.add_argument('--cloud', type=Path, metavar='PLY', help='write its points alone too')
    add_estimator_arguments(parser)
    parser.epilog = (
        f'--estimator {SENSOR} fuses what the sensors measured, --estimator {PUBLISHED} the depth '
        'that a depth node has published into the bag; naming its topic with --topic '
        'depth/image:=TOPIC says so too.'
    )
    parser.add_argument(
        '--compare',
        action='store_true',
        help='fuse what the sensors measured too and print both: coverage, distance, and the '
        'F-score at 2 cm where the recording has ground truth',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures')
    parser.add_argument(
        '--mapanything', type=Path, metavar='DIR', help='write the views as MapAnything takes them'
    )
    add_rerun_argument(parser)
    _add_fusion_arguments(parser)
    _add_recording_arguments(parser)


def _add_fusion_arguments(parser: argparse.ArgumentParser) -> None:
    node = FusionSettings()
    fusion = parser.add_argument_group(
        'fusion', 'The node `reconstruct` has other defaults for the first three.'
    )
    fusion.add_argument(
        '--voxel',
        type=float,
        default=0.02,
        metavar='M',
        help=f'edge of a voxel in meters; default: 0.02 (node: {node.voxel_size_m:g})',
    )
    fusion.add_argument(
        '--max-depth',
        type=float,
        default=10.0,
        metavar='M',
        help=f'leave out depth beyond, in meters; default: 10 (node: {node.max_depth_m:g})',
    )
    fusion.add_argument(
        '--window',
        type=float,
        default=float('inf'),
        metavar='M',
        help='finish and free what is farther from the camera, in meters, which bounds memory; '
        f'default: never (node: {node.window_m:g})',
    )
    fusion.add_argument(
        '--min-weight',
        type=real(0.0, _HEAVIEST),
        default=0.2,
        metavar='W',
        help='leave out surfaces of less weight: the confidences of their measurements, added up; '
        'default: 0.2',
    )
    fusion.add_argument(
        '--min-confidence',
        type=real(0.0, 1.0),
        default=0.1,
        metavar='C',
        help='leave out depth of lower confidence, 0 to 1; default: 0.1',
    )
    fusion.add_argument(
        '--fusion-device',
        default='auto',
        metavar='D',
        help='auto, cpu, cuda, cuda:1; default: auto',
    )


def _add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group('recording')
    source.add_argument('--prompt', metavar='NAME', help='of a frame set; default: the first')
    source.add_argument(
        '--world-frame', default='odom', metavar='F', help='of a bag; default: odom'
    )
    source.add_argument(
        '--odometry', default='', metavar='TOPIC', help='poses of a bag; default: its /tf'
    )
    add_topic_argument(
        source,
        f'of a bag: {RECORDED}; with --estimator published depth/image, depth/camera_info, '
        'depth/confidence, image; may be repeated',
    )


def run(args: argparse.Namespace) -> int:
    """Fuse, write, and print the figures."""
    from metric_depth_ros.cli.outputs import prepare_file, prepare_folder, whole_file
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.registry import create_estimator, unused_options
    from metric_depth_ros.reconstruction.fusion import estimated, measured, published

    if 'depth/image' in topics_from(args):
        args.estimator = PUBLISHED
    _refuse_files(args)
    _refuse_options_of_other_sources(args)
    options = EstimatorOptions.of(args)
    is_measured = args.estimator in (SENSOR, PUBLISHED)
    if is_measured and (unused := unused_options(args.estimator, options)):
        raise InputError('estimator_option', unused)
    if args.estimator == PUBLISHED and args.compare:
        raise InputError(
            'usage',
            '--compare needs what the sensors measured, not --estimator published: fuse both, '
            'with --estimator published and --estimator sensor, and compare the files.',
        )
    prepare_file(args.out, '--out')
    for path, option in ((args.cloud, '--cloud'), (args.json, '--json')):
        if path is not None:
            prepare_file(path, option)
    if args.mapanything is not None:
        prepare_folder(args.mapanything, '--mapanything')
    depth_of: Callable[[PosedFrame], DepthEstimate]
    if is_measured:
        depth_of = measured if args.estimator == SENSOR else published
    else:
        depth_of = estimated(create_estimator(args.estimator, options))
    vertices: list[NDArray[np.float32]] = []
    with open_rerun(args) as log:
        frames, left_out, count = _write(args, _exporting(args, depth_of, log), vertices, log)
    print(f'{args.out}: {count} vertices from {frames} frames by {args.estimator}')
    if left_out:
        print(f'{left_out} frames were left out: they have no K')
    figures: dict[str, Any] = {'frames': frames, 'vertices': count, 'estimator': args.estimator}
    if args.compare:
        figures |= _comparison(args, vertices)
    if args.json is not None:
        text = json.dumps(figures, indent=1, allow_nan=False)
        with whole_file(args.json, '--json') as path:
            path.write_text(text + '\n', encoding='utf-8')
    return 0


def _refuse_files(args: argparse.Namespace) -> None:
    """Refuse names of another format, and one name for two files."""
    from metric_depth_ros.cli.outputs import refuse_one_for_two
    from metric_depth_ros.errors import InputError

    surfaces = {'--out': args.out, '--cloud': args.cloud}
    for option, path in surfaces.items():
        if path is not None and path.suffix.lower() != '.ply':
            raise InputError(
                'output_path',
                f'{option} {path} has the ending {path.suffix!r}, expected .ply, the format that '
                'is written.',
            )
    refuse_one_for_two({**surfaces, '--json': args.json, '--rerun': args.rerun})


def _refuse_options_of_other_sources(args: argparse.Namespace) -> None:
    """Refuse what chooses something in a frame set for a bag, and the other way round."""
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.framesets import INDEX_NAME

    if not args.source.exists():
        return  # it is refused where it is read
    of_set = {'--prompt': args.prompt}
    of_bag = {'--odometry': args.odometry, '--topic': ' '.join(args.topic)}
    is_set = (args.source / INDEX_NAME).is_file()
    kind, other = ('frame set', 'bag') if is_set else ('bag', 'frame set')
    for option, value in (of_bag if is_set else of_set).items():
        if value:
            raise InputError(
                'usage',
                f'{option} {value} is of a {other}, but {args.source} is a {kind}: leave it out.',
            )


def _write(
    args: argparse.Namespace,
    depth_of: Callable[[PosedFrame], DepthEstimate],
    kept: list[NDArray[np.float32]],
    log: RerunLog | None,
) -> tuple[int, int, int]:
    """Fuse into the files; `kept` gets what is compared.

    Returns
    -------
    tuple
        Number of frames fused, of frames left out, and of vertices.

    Raises
    ------
    InputError
        There is no surface: no file is written.
    """
    from contextlib import ExitStack

    from metric_depth_ros.reconstruction.surface import SurfaceWriter

    count = 0
    with ExitStack() as files:
        writers = [files.enter_context(SurfaceWriter(args.out))]
        if args.cloud is not None:
            writers.append(files.enter_context(SurfaceWriter(args.cloud, faces=False)))

        def finished(part: Surface) -> None:
            nonlocal count
            count += len(part.vertices)
            for writer in writers:
                writer.add(part)
            if args.compare:
                kept.append(part.vertices)
            if log is not None:
                log.surface(part.vertices, part.colors, part.triangles)

        frames, left_out = _fuse(args, depth_of, finished)
        if not count:
            raise _without_surface(args, frames)
    return frames, left_out, count


def _without_surface(args: argparse.Namespace, frames: int) -> InputError:
    """Return why nothing came of the frames."""
    from metric_depth_ros.errors import InputError

    if not frames:
        return InputError(
            'camera_missing',
            f'{args.source}: no frame with a pose has K, and --estimator {args.estimator} finds '
            'no intrinsics: add K, or take an estimator that recovers them.',
        )
    return InputError(
        'surface_missing',
        f'{args.source}: no surface by --estimator {args.estimator} from {frames} frame(s): the '
        f'depth is unknown, beyond --max-depth {args.max_depth:g} m, below '
        f'--min-confidence {args.min_confidence:g}, or adds up to less than --min-weight '
        f'{args.min_weight:g}; or --voxel {args.voxel:g} m is coarser than what is seen.',
    )


def _fuse(
    args: argparse.Namespace,
    depth_of: Callable[[PosedFrame], DepthEstimate],
    finished: Callable[[Surface], None],
) -> tuple[int, int]:
    from metric_depth_ros.reconstruction.fusion import fuse
    from metric_depth_ros.reconstruction.volume import Volume, VolumeSettings

    settings = VolumeSettings(
        voxel_m=args.voxel,
        max_depth_m=args.max_depth,
        min_weight=args.min_weight,
        window_m=args.window,
        device=args.fusion_device,
    )
    return fuse(_frames(args), depth_of, Volume(settings), finished, args.min_confidence)


def _frames(args: argparse.Namespace) -> Any:
    from metric_depth_ros.replay.posed_frames import posed_frames

    return posed_frames(
        args.source,
        prompt=args.prompt,
        world_frame=args.world_frame,
        odometry_topic=args.odometry,
        topics=topics_from(args),
        published=args.estimator == PUBLISHED,
    )


def _exporting(
    args: argparse.Namespace,
    depth_of: Callable[[PosedFrame], DepthEstimate],
    log: RerunLog | None,
) -> Callable[[PosedFrame], DepthEstimate]:
    """Return what answers alike and writes every view, where that is asked for."""
    from itertools import count

    from metric_depth_ros.cli.outputs import writing
    from metric_depth_ros.reconstruction.mapanything import write_view

    numbers = count()

    def answered(posed: PosedFrame) -> DepthEstimate:
        began_s = time.perf_counter()
        estimate = depth_of(posed)
        latency_ms = 1e3 * (time.perf_counter() - began_s)
        if args.mapanything is not None:
            with writing(args.mapanything, '--mapanything'):
                write_view(args.mapanything, next(numbers), posed, estimate)
        if log is not None:
            log.frame(
                posed.frame,
                estimate,
                ground_truth=posed.truth,
                T_world_camera=posed.T_world_camera,
                latency_ms=latency_ms,
            )
        return estimate

    return answered


def _comparison(args: argparse.Namespace, vertices: list[NDArray[np.float32]]) -> dict[str, Any]:
    """Fuse the measured depth alone, print the figures of both and return them.

    A distance is None where the surfaces are nowhere near each other.
    """
    import numpy as np

    from metric_depth_ros.reconstruction.figures import compare, f_score
    from metric_depth_ros.reconstruction.fusion import measured, true_points

    parts: list[NDArray[np.float32]] = []
    _fuse(args, measured, lambda part: parts.append(part.vertices))
    ours, raw = np.concatenate(vertices), np.concatenate(parts)
    found = compare(ours, raw)
    median_m = None if np.isnan(found.median_m) else found.median_m
    print(f'coverage: {found.coverage_ratio:.3f} of what fusing measured depth covers')
    distance = 'nothing to compare' if median_m is None else f'{1e3 * median_m:.2f} mm'
    print(f'median distance to it, where both exist: {distance}')
    figures = {'coverage_ratio': found.coverage_ratio, 'median_m': median_m}
    truth = true_points(_frames(args), args.max_depth, 0.5 * _F_SCORE_M)
    if len(truth):
        for name, cloud in ((args.estimator, ours), ('measured', raw)):
            score = f_score(cloud, truth, _F_SCORE_M)
            print(
                f'F-score at {100 * _F_SCORE_M:g} cm, {name}: {score.value:.3f} '
                f'(precision {score.precision:.3f}, recall {score.recall:.3f})'
            )
            key = 'f_score' if cloud is ours else 'f_score_measured'
            figures[key] = score.value
    return figures
