# SPDX-License-Identifier: Apache-2.0
"""Frame sets: recorded images with prompts and ground truth in a folder with a ``frames.json``.

The index is checked when a set is opened; pixels and points are read only when asked for, so that
a set of any length can be gone through one frame at a time. May import `types`, `geometry` and
`prompting`.
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
