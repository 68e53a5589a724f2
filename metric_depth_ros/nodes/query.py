# SPDX-License-Identifier: Apache-2.0
"""The `query` node: a pixel in, the metric point that is seen there out; questions in words.

``python -m metric_depth_ros.nodes.query --ros-args --params-file config/query.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metric_depth_ros.nodes.running import run_node

if TYPE_CHECKING:
    from metric_depth_ros.ros.query_node import QueryNode

_HELP = """\
usage: query [--help] [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]

The metric point that is seen at a pixel, with its uncertainty; answers in words where a language
model is loaded (managed node).

subscribes to  pixel, image_mouse_left and depth/image_color_mouse_left (clicks of
               rqt_image_view), ~/question; depth/image, depth/camera_info and depth/confidence
               of the depth node, or image (image/compressed) and camera_info for a model
publishes      point, point_with_covariance, ~/answer, ~/status, /diagnostics

Parameters are described in docs/PARAMETERS.md and by `ros2 param describe /query NAME`; more in
docs/QUERY.md.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; see `run_node`."""
    return run_node('query', _HELP, _node, arguments)


def _node() -> QueryNode:
    from metric_depth_ros.ros.query_node import QueryNode

    return QueryNode()


if __name__ == '__main__':
    sys.exit(main())
