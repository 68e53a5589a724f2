# SPDX-License-Identifier: Apache-2.0
"""The `depth` node: camera and depth sensors in, dense metric depth out.

``python -m metric_depth_ros.nodes.depth --ros-args --params-file config/kitti.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metric_depth_ros.nodes.running import run_node

if TYPE_CHECKING:
    from metric_depth_ros.ros.depth_node import DepthNode

_HELP = """\
usage: depth [--help] [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]

Dense metric depth from a camera and the sparse depth of other sensors (managed node).

subscribes to  image (or image/compressed), camera_info, points, radar, sensor_depth/image (or
               sensor_depth/image/compressedDepth), sensor_depth/camera_info
publishes      depth/image, depth/camera_info, depth/points, depth/points_voxels,
               depth/confidence, depth/image_color, depth/prompt, ~/status, /diagnostics
services       ~/save_snapshot writes the newest frame and what was made of it into a folder

Parameters are described in docs/PARAMETERS.md and by `ros2 param describe /depth NAME`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; see `run_node`."""
    return run_node('depth', _HELP, _node, arguments)


def _node() -> DepthNode:
    from metric_depth_ros.ros.depth_node import DepthNode

    return DepthNode()


if __name__ == '__main__':
    sys.exit(main())
