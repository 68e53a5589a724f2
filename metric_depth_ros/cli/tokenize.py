# SPDX-License-Identifier: Apache-2.0
"""`metric-depth tokenize`: the depth of recordings as tokens for policies.

The file has a JSON object a line. The first says what the tokens are: ``format``, ``codes`` (rows
of the codebook), ``grid`` (rows and columns of tokens), ``estimator``. Every other is a frame:
``source``, ``frame``, ``stamp_ns``, ``tokens`` (row-major), ``text`` (the same as words),
``inverse_depth_low`` and ``inverse_depth_high`` (1/m, what 0 and 1 of the normalized image stand
for) and ``error`` (mean absolute error of that image). Where the estimator knows no depth at all,
as most do without a prompt, ``tokens`` is null and what follows is absent.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.cli.topic_arguments import RECORDED, add_topic_argument, topics_from
from metric_depth_ros.estimators.options import EstimatorOptions

if TYPE_CHECKING:
    from metric_depth_ros.estimators.base import Estimator
    from metric_depth_ros.estimators.learned.depth_tokenizer import DepthTokenizer
    from metric_depth_ros.types import Frame

FORMAT = 'metric-depth-tokens/1'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        'sources',
        type=Path,
        nargs='+',
        metavar='BAG|FRAMESET',
        help='recordings; of a frame set, the first prompt of every frame',
    )
    parser.add_argument(
        '--tokenizer',
        type=Path,
        metavar='W',
        help='weights that `metric-depth train depth_tokens` wrote; default: the shipped ones',
    )
    parser.add_argument(
        '-o',
        '--out',
        type=Path,
        required=True,
        metavar='TOKENS.jsonl',
        help='file to write: what the tokens are, then a line a frame (docs/TRAINING.md)',
    )
    add_topic_argument(parser, f'topic of the bags for {RECORDED}; may be repeated')
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the tokens and print how much of the depth they keep."""
    from metric_depth_ros.cli.outputs import prepare_file, whole_file
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.learned.depth_tokenizer import DepthTokenizer
    from metric_depth_ros.estimators.learned.shipped import shipped_checkpoint
    from metric_depth_ros.estimators.registry import create_estimator
    from metric_depth_ros.networks.checkpoints import read_checkpoint

    topics = topics_from(args)
    prepare_file(args.out, '--out')
    given = args.tokenizer
    checkpoint = shipped_checkpoint('depth_tokenizer') if given is None else read_checkpoint(given)
    tokenizer = DepthTokenizer(checkpoint, args.device)
    estimator = create_estimator(args.estimator, EstimatorOptions.of(args))
    config = tokenizer.config
    head = {
        'format': FORMAT,
        'codes': config.codes,
        'grid': [config.grid, config.grid],
        'estimator': args.estimator,
    }
    errors: list[float] = []
    unknown = 0
    # What is refused at the first frame or the last leaves the tokens of another time alone.
    with whole_file(args.out, '--out') as path, path.open('w', encoding='utf-8') as out:
        out.write(json.dumps(head) + '\n')
        for row in _rows(args.sources, topics, estimator, tokenizer):
            out.write(json.dumps(row) + '\n')
            if row['tokens'] is None:
                unknown += 1
            else:
                errors.append(row['error'])
        if not errors:
            raise InputError(
                'frame_set_missing',
                f'{args.estimator} knows no depth in any of the {unknown} frames of the sources: '
                'check their prompts.',
            )
    if unknown:
        print(f'{unknown} frames of which no depth is known have no tokens', file=sys.stderr)
    print(
        f'{args.out}: {len(errors)} frames of {config.grid**2} tokens; '
        f'mean absolute error of the normalized image {sum(errors) / len(errors):.4f}'
    )
    return 0


def _rows(
    sources: Sequence[Path],
    topics: Mapping[str, str],
    estimator: Estimator,
    tokenizer: DepthTokenizer,
) -> Iterator[dict[str, Any]]:
    """Yield what is written of every frame."""
    for source in sources:
        for name, frame in _frames(source, topics):
            row: dict[str, Any] = {
                'source': source.name,
                'frame': name,
                'stamp_ns': frame.stamp_ns,
                'tokens': None,
            }
            depth = estimator.estimate(frame).depth
            if (depth > 0.0).any():
                found = tokenizer.tokenize(depth)
                row |= {
                    'tokens': found.tokens.tolist(),
                    'text': found.text,
                    'inverse_depth_low': found.low,
                    'inverse_depth_high': found.high,
                    'error': found.error,
                }
            yield row


def _frames(source: Path, topics: Mapping[str, str]) -> Iterator[tuple[str, Frame]]:
    """Yield name and frame of everything in a frame set or a bag, each with its first prompt."""
    from metric_depth_ros.framesets import INDEX_NAME, load_frame_set
    from metric_depth_ros.replay.scoring import recorded_frames
    from metric_depth_ros.replay.streams import find_streams

    if (source / INDEX_NAME).is_file():
        for recorded in load_frame_set(source).frames:
            prompt = next(iter(recorded.prompt_names(scored_only=False)), None)
            yield recorded.id, recorded.load_frame(prompt)
        return
    for frame, _ in recorded_frames(source, find_streams(source, topics)):
        yield str(frame.stamp_ns), frame
