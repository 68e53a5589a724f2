#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draw docs/images/demo.png: what the demo's sensors see, and what an estimator makes of it.

    python scripts/readme_picture.py [--estimator NAME]

Frames of the demo's scenes, simulated anew; the live node is not involved.
"""

from __future__ import annotations

import argparse
import sys

import cv2
import numpy as np
from figures import ROOT

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.evaluation.pictures import (
    Picture,
    cloud_picture,
    colorize_depth,
    depth_range,
    fit,
    overlay_prompt,
)
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.simulation.recording import SimulatedFrame, simulate_frames
from metric_depth_ros.simulation.scene import Scene
from metric_depth_ros.simulation.scenes import make_scene
from metric_depth_ros.types import Frame, SparsePrompt

PICTURE = ROOT / 'docs' / 'images' / 'demo.png'
_SCENES = {'street': 28, 'tabletop': 5}  # the frame that is shown
_RATE_HZ = 10.0
_WIDTH, _GAP = 1000, 6


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--estimator', default='classical')
    estimator = create_estimator(parser.parse_args().estimator, EstimatorOptions())
    rows = [row for name, index in _SCENES.items() for row in _rows(name, index, estimator)]
    sheet = np.concatenate([part for row in rows for part in (row, _gap(row))][:-1])
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(PICTURE), sheet[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 9))
    return 0


def _rows(name: str, index: int, estimator: Estimator) -> list[Picture]:
    """Return image and prompt, and below depth and cloud; a small image needs one row."""
    scene = make_scene(name)
    frame = next(simulate_frames(scene, [index], _RATE_HZ, 0))
    prompt = _prompt(scene, frame)
    depth = estimator.estimate(Frame(0, '', frame.image, scene.camera, prompt)).depth
    limits_m = depth_range(frame.truth)
    height, width = depth.shape
    pictures = [
        frame.image,
        overlay_prompt(frame.image, prompt, limits_m),
        colorize_depth(depth, limits_m),
        cloud_picture(scene.camera, depth, frame.image, (width, height)),
    ]
    if width > 2 * height:
        return [_row(pictures[:2]), _row(pictures[2:])]
    return [_row(pictures)]


def _prompt(scene: Scene, frame: SimulatedFrame) -> SparsePrompt:
    if frame.cloud is None:
        assert frame.sensor_depth is not None
        return prompt_from_registered_depth(frame.sensor_depth)
    assert scene.T_base_lidar is not None
    points = np.stack([frame.cloud[axis] for axis in 'xyz'], axis=1)
    T_camera_lidar = np.linalg.inv(scene.T_base_camera) @ scene.T_base_lidar
    return prompt_from_cloud(scene.camera, points, T_camera_lidar)


def _row(pictures: list[Picture]) -> Picture:
    """Put pictures of one size side by side, so that all rows are as wide."""
    width = (_WIDTH - _GAP * (len(pictures) - 1)) // len(pictures)
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    row = np.full((height, _WIDTH, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        small = fit(picture, width, height)
        left = number * (width + _GAP)
        row[: small.shape[0], left : left + small.shape[1]] = small
    return row


def _gap(row: Picture) -> Picture:
    return np.full((_GAP, row.shape[1], 3), 255, np.uint8)


if __name__ == '__main__':
    sys.exit(main())
