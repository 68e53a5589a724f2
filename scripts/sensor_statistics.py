#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare simulated LiDARs and radars with recorded ones, and write the table of docs/SENSORS.md.

Nothing is fitted to the recordings: they are only looked at. Needs the evaluation frame sets
(`--data`), which are not shipped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.framesets import load_frame_set
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.simulation.examples import simulate_examples
from metric_depth_ros.types import CameraModel, SparsePrompt

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs' / 'SENSORS.md'
RECORDED = (
    ('kitti_raw', 'lidar64'),
    ('kitti_raw', 'lidar16'),
    ('ddad', 'random25pct'),
    ('nuscenes_radar', 'radar'),
)
SIMULATED = ('lidar', 'solid_state', 'radar')
REACH_PX = 5.0  # truth is looked for this close to a point
HEADER = '| prompt | images | points | of pixels | hidden | behind | in front | depth quantiles |'
RULE = '|---|---:|---:|---:|---:|---:|---:|---:|'
START, END = '<!-- statistics -->', '<!-- end -->'

Measured = tuple[CameraModel, SparsePrompt, NDArray[np.float32]]


def main() -> int:
    """Print the table, and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='the evaluation frame sets')
    parser.add_argument('--views', type=int, default=60, help='simulated streets')
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f'--data {args.data} is no folder of evaluation frame sets', file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = [row(f'{s} {p}', recorded(args.data / s, p)) for s, p in RECORDED]
    streets = list(simulate_examples(range(args.views), 'validation', kind='street'))
    for name in SIMULATED:
        seen = ((e.camera, e.sensors[name], e.depth) for e in streets if e.sensors.get(name))
        rows.append(row(f'simulated {name}', seen))
    table = '\n'.join((HEADER, RULE, *rows))
    print(table)
    before, rest = DOCUMENT.read_text(encoding='utf-8').split(START)
    after = rest.split(END, 1)[1]
    DOCUMENT.write_text(f'{before}{START}\n{table}\n{END}{after}', encoding='utf-8')
    return 0


def recorded(folder: Path, name: str) -> Iterator[Measured]:
    """Yield the prompt of each frame, hidden points included, and its ground truth."""
    for frame in load_frame_set(folder).frames:
        assert frame.camera is not None
        points = frame.load_points(name)['xyz']
        T = frame.T_camera_sensor(name)
        prompt = prompt_from_cloud(frame.camera, points, T, remove_occluded=False)
        yield frame.camera, prompt, frame.load_ground_truth()


def row(title: str, measured: Iterator[Measured]) -> str:
    """Return a row of the table."""
    count, density, hidden, ratios, depths = [], [], [], [], []
    for camera, prompt, truth in measured:
        xyz = camera.unproject(prompt.uv, prompt.depth)
        hidden.append(1.0 - len(prompt_from_cloud(camera, xyz, np.eye(4))) / len(prompt))
        count.append(len(prompt))
        density.append(len(prompt) / truth.size)
        depths.append(prompt.depth)
        ratios.append(ratio_to_truth(prompt, truth))
    ratio = np.concatenate(ratios)
    low, middle, high = np.quantile(np.concatenate(depths), (0.1, 0.5, 0.9))
    return (
        f'| {title} | {len(count)} | {np.median(count):.0f} | {np.median(density):.2%} | '
        f'{np.mean(hidden):.1%} | {np.mean(ratio > 1.2):.1%} | {np.mean(ratio < 0.8):.1%} | '
        f'{low:.0f} / {middle:.0f} / {high:.0f} m |'
    )


def ratio_to_truth(prompt: SparsePrompt, truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return depth over the nearest true depth, of the points that have one nearby."""
    known = np.isfinite(truth)
    distance, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value = np.zeros(int(label.max()) + 1, np.float32)
    value[label[known]] = truth[known]
    column, row = np.rint(prompt.uv).astype(np.intp).T
    near = distance[row, column] <= REACH_PX
    return (prompt.depth / value[label[row, column]])[near]


if __name__ == '__main__':
    sys.exit(main())
