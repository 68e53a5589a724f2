# SPDX-License-Identifier: Apache-2.0
"""Views as MapAnything takes them: one archive a view, with the keys of its input dictionaries.

Each ``NNNNNN.npz`` holds ``img`` (H, W, 3) uint8 RGB, ``intrinsics`` (3, 3) float32, ``depth_z``
(H, W) float32 meters along the optical axis with 0 where unknown, ``camera_poses`` (4, 4) float32
OpenCV camera to world, and ``is_metric_scale`` (1,) bool. A view goes into its
``preprocess_inputs`` as ``dict(np.load(path))``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.reconstruction.posed_frame import PosedFrame
from metric_depth_ros.types import DepthEstimate


def write_view(folder: Path, number: int, posed: PosedFrame, estimate: DepthEstimate) -> Path:
    """Write one view and return its file.

    A lens that distorts is made a pinhole, since the layout knows no other camera.

    Raises
    ------
    InputError
        The frame has no camera and the estimator recovered none: depth without intrinsics is
        refused there.
    """
    camera = estimate.camera or posed.frame.camera
    if camera is None:
        raise InputError(
            'camera_missing',
            'MapAnything takes depth only with intrinsics, and this frame has none: use an '
            'estimator that recovers them, or add K to the recording.',
        )
    image, depth = posed.frame.image, estimate.depth
    if not camera.distortion.is_identity:
        lens = Rectification(camera)
        camera, image, depth = lens.pinhole, lens.image(image), lens.depth(depth)
    path = folder / f'{number:06d}.npz'
    np.savez_compressed(
        path,
        img=image,
        intrinsics=camera.K.astype(np.float32),
        depth_z=np.where(np.isfinite(depth), depth, np.float32(0.0)),
        camera_poses=posed.T_world_camera.astype(np.float32),
        is_metric_scale=np.array([True]),
    )
    return path
