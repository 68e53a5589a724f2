# SPDX-License-Identifier: Apache-2.0
"""Topics of the depth node where nobody has remapped them. Imports nothing."""

from __future__ import annotations

DEPTH_TOPIC = '/depth/image'
CAMERA_INFO_TOPIC = '/depth/camera_info'
CONFIDENCE_TOPIC = '/depth/confidence'
POINTS_TOPIC = '/depth/points'
