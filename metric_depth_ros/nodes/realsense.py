# SPDX-License-Identifier: Apache-2.0
"""The `realsense` node: a RealSense camera, without realsense-ros.

``python -m metric_depth_ros.nodes.realsense --ros-args --params-file config/realsense.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metric_depth_ros.nodes.running import run_node

if TYPE_CHECKING:
    from metric_depth_ros.ros.realsense.node import RealsenseNode

_HELP = """\
usage: realsense [--help] [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]

A RealSense camera, or a recording of one, on the topics of RGB-D cameras (managed node). Needs
pyrealsense2 (pip install pyrealsense2).

publishes      ~/color/image_raw, ~/color/camera_info, ~/depth/image_rect_raw,
               ~/depth/camera_info, ~/aligned_depth_to_color/image_raw and camera_info (parameter
               depth.align_to_color), /tf_static, /diagnostics

The node is called camera; -r __node:=NAME changes that, and with it its topics and frames.
Parameters are described in docs/PARAMETERS.md and by `ros2 param describe /camera NAME`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; see `run_node`."""
    return run_node('realsense', _HELP, _node, arguments)


def _node() -> RealsenseNode:
    from metric_depth_ros.ros.realsense.node import RealsenseNode

    return RealsenseNode()


if __name__ == '__main__':
    sys.exit(main())
