# SPDX-License-Identifier: Apache-2.0
"""The `reconstruct` node: published depth and poses in, a surface out.

``python -m metric_depth_ros.nodes.reconstruct --ros-args --params-file config/reconstruct.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metric_depth_ros.nodes.running import run_node

if TYPE_CHECKING:
    from metric_depth_ros.ros.reconstruct_node import ReconstructNode

_HELP = """\
usage: reconstruct [--help] [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]

Depth that a depth node publishes, fused into a surface (managed node).

subscribes to  depth/image, depth/camera_info, depth/confidence, image (with color); the poses
               from /tf, odometry or pose
publishes      reconstruction/points, /diagnostics
services       ~/save writes mesh and cloud

Parameters are described in docs/PARAMETERS.md and by `ros2 param describe /reconstruct NAME`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; see `run_node`."""
    return run_node('reconstruct', _HELP, _node, arguments)


def _node() -> ReconstructNode:
    from metric_depth_ros.ros.reconstruct_node import ReconstructNode

    return ReconstructNode()


if __name__ == '__main__':
    sys.exit(main())
