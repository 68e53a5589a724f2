# SPDX-License-Identifier: Apache-2.0
"""`PosedFrame`: a frame with the place of its camera. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.types import DepthEstimate, Frame


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A frame and where it was taken.

    Parameters
    ----------
    frame
        Image, camera and what the sensors measured.
    T_world_camera
        (4, 4) place of the camera's optical frame.
    truth
        (H, W) float32 meters, ground truth of the same view, NaN where unknown; or None.
    published
        Depth that a node has published of it, or None.
    """

    frame: Frame
    T_world_camera: Transform
    truth: NDArray[np.float32] | None = None
    published: DepthEstimate | None = None
