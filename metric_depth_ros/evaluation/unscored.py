# SPDX-License-Identifier: Apache-2.0
"""Which frames of a group say nothing, and why: no ground truth that counts, an empty prompt."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.scoring import GroupResult
from metric_depth_ros.framesets import RecordedFrame


def doubts(result: GroupResult) -> list[str]:
    """Return a sentence for each reason why frames of a group say less than they seem to.

    The values named are those of the first such frame.
    """
    frames = result.group.frames
    name = f'{result.group.frame_set.name} / {result.group.prompt}'
    uncounted = [f for f, s in zip(frames, result.scores, strict=True) if not s.overall.pixels]
    empty = [f for f, n in zip(frames, result.prompt_points, strict=True) if not n]
    found = []
    if uncounted:
        found.append(
            f'{name}: {len(uncounted)} of {len(frames)} frames have no pixel of ground truth that '
            f'counts: {_why_uncounted(uncounted[0])}.'
        )
    if empty:
        found.append(
            f'{name}: {len(empty)} of {len(frames)} frames have an empty prompt: '
            f'{_why_empty(empty[0], result.group.prompt)}.'
        )
    return found


def _why_uncounted(frame: RecordedFrame) -> str:
    entry = frame.ground_truth
    assert entry is not None
    unlimited = replace(frame, ground_truth=replace(entry, min_m=0.0, max_m=math.inf))
    return (
        f'of frame {frame.id}, {_range(unlimited.load_ground_truth())} with its scale '
        f'{entry.scale:g}, and min_m {entry.min_m:g} to max_m {entry.max_m:g} count'
    )


def _why_empty(frame: RecordedFrame, prompt: str) -> str:
    entry = frame.prompts[prompt]
    if entry.format == 'points':
        count = len(frame.load_points(prompt)['xyz'])
        return (
            f'of frame {frame.id}, none of its {count} points is in the image with the scale '
            f'{entry.scale:g} and its T_camera_sensor'
        )
    depth = frame.load_depth_map(prompt)
    return f'of frame {frame.id}, {_range(depth)} with its scale {entry.scale:g}'


def _range(depth: NDArray[np.float32]) -> str:
    known = depth[np.isfinite(depth)]
    if not known.size:
        return 'no pixel has a value'
    return f'the values are {known.min():g} to {known.max():g} m'
