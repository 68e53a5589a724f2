# SPDX-License-Identifier: Apache-2.0
"""Measure how often the truth lies within the uncertainty that the `query` node tells.

Random pixels of frame sets are asked about, as the node does. Of a normal error 68 % lie within
one standard deviation and 95 % within two; heavy tails show as more within one and fewer within
two. Run from the repository root: python scripts/query_uncertainty.py DIR [DIR ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.framesets import RecordedFrame, find_frame_sets
from metric_depth_ros.ros.dense_depth import DenseDepth
from metric_depth_ros.ros.pixel_point import point_of_dense
from metric_depth_ros.ros.query_parameters import UncertaintySettings

_PIXELS = 400  # of each frame
_ROW = '| {} | {} | {:.3f} | {:.3f} | {:.0%} | {:.0%} |'


def main() -> None:
    """Print a table, a row for each prompt of each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folders', nargs='+', help='frame sets')
    parser.add_argument('--estimator', default='classical')
    parser.add_argument('--confidence', default='quadratic', help='parameter of the query node')
    parser.add_argument('--half', type=float, default=0.1, help='half_confidence_error')
    parser.add_argument('--frames', type=int, default=4, help='of each set, evenly over it')
    args = parser.parse_args()
    settings = UncertaintySettings(
        confidence=args.confidence, half_confidence_error=args.half, pixel_px=0.0
    )
    estimator = create_estimator(args.estimator)
    print('| prompt | pixels | median error / depth | median sigma / depth | in 1 | in 2 |')
    print('|---|---|---|---|---|---|')
    whole = []
    for frame_set in find_frame_sets(args.folders):
        step = max(1, len(frame_set.frames) // args.frames)
        chosen = frame_set.frames[::step][: args.frames]
        for name in frame_set.prompt_names():
            rows = np.array([r for f in chosen for r in _asked(estimator, f, name, settings)])
            if len(rows):
                whole.append(rows)
                print(_words(f'{frame_set.name}/{name}', rows), flush=True)
    print(_words('all', np.concatenate(whole)))


def _asked(
    estimator: Estimator, frame: RecordedFrame, prompt: str, settings: UncertaintySettings
) -> Iterator[tuple[float, float]]:
    """Yield error and standard deviation over the true depth, of pixels that have both."""
    if frame.camera is None or prompt not in frame.prompt_names():
        return
    estimate = estimator.estimate(frame.load_frame(prompt))
    truth = frame.load_ground_truth()
    dense = DenseDepth(0, '', estimate.depth, frame.camera, estimate.confidence)
    rows, columns = np.nonzero(np.isfinite(truth))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_PIXELS]
    for row, column in zip(rows[chosen], columns[chosen], strict=True):
        try:
            found = point_of_dense(dense, (float(column), float(row)), settings, '')
        except InputError:
            continue
        depth = float(truth[row, column])
        yield abs(float(found.point[2]) - depth) / depth, found.sigma_depth / depth


def _words(name: str, rows: np.ndarray) -> str:
    error, sigma = rows.T
    within = [float((error <= count * sigma).mean()) for count in (1, 2)]
    return _ROW.format(name, len(rows), float(np.median(error)), float(np.median(sigma)), *within)


if __name__ == '__main__':
    main()
