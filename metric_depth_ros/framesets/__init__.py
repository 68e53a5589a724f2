# SPDX-License-Identifier: Apache-2.0
"""Frame sets: recorded images with prompts and ground truth in a folder with a ``frames.json``.

The index is checked when a set is opened; pixels and points are read only when asked for, so that
a set of any length can be gone through one frame at a time. Frames that no index names are here
as well: `loose_files`, and `snapshots` of a node; and what calibrations of KITTI hold. May import
`types`, `geometry`, `prompting` and what is below them, and what checks files (`untrusted_files`,
`cloud_claims`).
"""

from metric_depth_ros.framesets.frames import (
    INDEX_NAME,
    FrameSet,
    GroundTruthEntry,
    PromptEntry,
    RecordedFrame,
)
from metric_depth_ros.framesets.index import find_frame_sets, load_frame_set

__all__ = [
    'INDEX_NAME',
    'FrameSet',
    'GroundTruthEntry',
    'PromptEntry',
    'RecordedFrame',
    'find_frame_sets',
    'load_frame_set',
]
