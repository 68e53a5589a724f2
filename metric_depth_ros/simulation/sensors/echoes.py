# SPDX-License-Identifier: Apache-2.0
"""What a laser makes of its echoes: lost ones, noisy ones, mixed ones at edges. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.sensors.shots import Shots

_EDGE_M = 0.3
_EDGE_RELATIVE = 0.04
_SAME_EDGE_DEG = 5.0  # shots further apart than this do not tell of one edge
_PULSE_M = 1.5  # echoes closer together than this melt into one between both surfaces


@dataclass(frozen=True)
class EchoModel:
    """A laser and its receiver.

    Parameters
    ----------
    range_noise_m
        One standard deviation of the range.
    dropout
        Share of returns lost for no reason.
    max_range_m
        A white wall is seen up to this range; dark and slanted surfaces vanish earlier.
    divergence_deg
        Full width of the beam: at edges it meets two surfaces.
    """

    range_noise_m: float = 0.02
    dropout: float = 0.03
    max_range_m: float = 100.0
    divergence_deg: float = 0.15


def receive(
    shots: Shots,
    directions: NDArray[np.float32],
    ring: NDArray[np.integer],
    model: EchoModel,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the (R,) ranges that are measured, NaN where no echo comes back.

    Parameters
    ----------
    shots
        The rays' ends.
    directions
        (R, 3) unit vectors of the rays, in the order in which they were shot.
    ring
        (R,) laser that shot each.
    """
    range_m = _mix_at_edges(shots.range_m, directions, ring, model, rng)
    lost = rng.random(len(range_m)) < _loss(shots, model)
    noise = model.range_noise_m * rng.standard_normal(len(range_m))
    measured = (range_m + noise).astype(np.float32)
    lost |= ~np.isfinite(measured) | (measured <= 0.0) | (range_m > model.max_range_m)
    return np.where(lost, np.float32(np.nan), measured)


def _loss(shots: Shots, model: EchoModel) -> NDArray[np.float32]:
    """Return the chance that an echo is lost: far, dark, grazing and mirror-like surfaces."""
    reach = np.minimum(shots.range_m / model.max_range_m, 1.0)
    reflected = (0.1 + 0.9 * shots.brightness) * (0.1 + 0.9 * shots.incidence)
    # Echoes get lost that are weaker than that of a white wall at full range.
    weak = np.clip(1.0 - reflected / np.maximum(reach, 0.02) ** 2, 0.0, 1.0)
    grazing = 0.5 * np.clip(1.0 - shots.incidence / 0.06, 0.0, 1.0)
    # A mirror sends the light away, unless it is met head-on.
    mirrored = 0.7 * shots.gloss**3 * np.clip((0.98 - shots.incidence) / 0.1, 0.0, 1.0)
    return 1.0 - (1.0 - model.dropout) * (1.0 - weak) * (1.0 - grazing) * (1.0 - mirrored)


def _mix_at_edges(
    range_m: NDArray[np.float32],
    directions: NDArray[np.float32],
    ring: NDArray[np.integer],
    model: EchoModel,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Let beams that straddle an edge report the other surface, or a range in between."""
    order = np.argsort(ring, kind='stable')
    beside = np.empty_like(order)
    beside[order] = np.roll(order, -1)
    both = np.isfinite(range_m) & np.isfinite(range_m[beside]) & (ring[beside] == ring)
    step = np.subtract(range_m[beside], range_m, out=np.zeros_like(range_m), where=both)
    cosine = (directions * directions[beside]).sum(-1)
    apart_deg = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    edge = (np.abs(step) > _EDGE_M + _EDGE_RELATIVE * range_m) & (apart_deg < _SAME_EDGE_DEG)
    chance = rng.random(len(step)) * np.maximum(apart_deg, 1e-3)
    straddles = edge & (chance < model.divergence_deg)
    melted = np.abs(step) < _PULSE_M
    share = np.where(melted, rng.random(len(step)), rng.integers(0, 2, len(step)))
    return (range_m + np.where(straddles, share * step, 0.0)).astype(np.float32)
