# SPDX-License-Identifier: Apache-2.0
"""People. Each stands at the origin of its stage and faces along x."""

from __future__ import annotations

from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation


def add_person(stage: Stage) -> None:
    """Add someone who stands or walks."""
    coat, trousers, skin = stage.look('cloth'), stage.look('cloth'), stage.look('skin')
    stride = stage.draw(0.0, 0.3)
    for side in (-1.0, 1.0):
        stage.rod((side * stride, 0.1 * side, 0.05), (0.0, 0.09 * side, 0.88), 0.08, trousers)
        hand = (-side * stride * 0.8 + 0.05, 0.3 * side, 0.85)
        stage.rod(hand, (0.0, 0.22 * side, 1.4), 0.05, coat)
    stage.ellipsoid((0.0, 0.0, 1.15), (0.15, 0.24, 0.4), coat)
    stage.ellipsoid((0.0, 0.0, 1.64), (0.11, 0.1, 0.14), skin)
    if stage.chance(0.3):
        stage.box((-0.2, 0.0, 1.2), (0.2, 0.32, 0.45), stage.look('cloth'), rotation(pitch=0.1))
