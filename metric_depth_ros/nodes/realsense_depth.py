# SPDX-License-Identifier: Apache-2.0
"""The `realsense` and the `depth` node in one process, without middleware between.

``python -m metric_depth_ros.nodes.realsense_depth --ros-args --params-file
config/realsense_depth.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metric_depth_ros.errors import InputError
from metric_depth_ros.nodes.running import run_nodes

if TYPE_CHECKING:
    from metric_depth_ros.ros.managed_node import ManagedNode

_HELP = """\
usage: realsense_depth [--help] [--ros-args [--params-file FILE] [-p NODE:NAME:=VALUE] ...]

Dense metric depth of RealSense cameras: the node realsense and the node depth in one process,
which hands images over without the middleware. Needs pyrealsense2 (pip install pyrealsense2).

The nodes are called camera and depth. With several cameras (-p depth:cameras:=[front,rear]) there
is one node for each: front_camera, rear_camera.

publishes      what realsense and depth publish (see their --help); what nobody subscribes to is
               not computed, save depth
subscribes to  points and radar, where depth:prompt.sources has them

Parameters are described in docs/PARAMETERS.md and by `ros2 param describe`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nodes until they are interrupted; see `run_nodes`."""
    return run_nodes('realsense_depth', _HELP, _nodes, arguments)


def _nodes() -> list[ManagedNode]:
    from metric_depth_ros.ros.depth_node import DepthNode
    from metric_depth_ros.ros.realsense.node import NAME, RealsenseNode

    depth = DepthNode()
    cameras = depth.get_parameter('cameras').value or ('',)
    names = [f'{camera.replace("/", "_")}_{NAME}' if camera else NAME for camera in cameras]
    all_names = [*names, depth.get_name()]
    # A node called as a camera would have the topics of its depth, such as depth/camera_info.
    if len(set(all_names)) < len(all_names) or set(names) & set(cameras):
        depth.destroy_node()
        raise InputError(
            'parameter',
            f'parameter cameras is {", ".join(cameras)}, which gives nodes the names '
            f'{", ".join(names)}, and there is {all_names[-1]}: expected names that differ, also '
            'from those of the cameras (/ counts as _).',
        )
    nodes = []
    for camera, name in zip(cameras, names, strict=True):
        node = RealsenseNode(name)
        depth.take_from(camera, node.feed)
        nodes.append(node)
    return [*nodes, depth]  # ended in this order: no frame comes to a depth node that is gone


if __name__ == '__main__':
    sys.exit(main())
