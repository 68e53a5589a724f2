# SPDX-License-Identifier: Apache-2.0
"""`Example`: one random view with its true depth and what LiDARs and a radar see of it.

May import worlds, the camera and sensors. Sensors that can be made from depth and image alone are
drawn at training time instead (`sensors.policy`), so that a stored example never wears out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.camera import render
from metric_depth_ros.simulation.photography import expose_randomly
from metric_depth_ros.simulation.sensors.rig import Site, measure_with_rig
from metric_depth_ros.simulation.worlds import random_view
from metric_depth_ros.types import SparsePrompt

SPLITS = ('train', 'validation')
_WORD = 1 << 32


@dataclass(frozen=True, eq=False)
class Example:
    """One image with everything that a network may learn from it.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    depth
        (H, W) float32 meters along the optical Z axis. Rendered: +Inf in the sky and where a
        surface is beyond the view's `max_depth_m`, never NaN. Recorded: NaN where unknown, +Inf
        where the recording says so, which may only be beyond the sensor's range.
    camera
        Geometry of the image.
    kind
        Kind of world, one of `worlds.KINDS` where this package rendered it, another word
        elsewhere.
    sensors
        By name: all points of a sensor that fall into the image, as seen; points that a nearer
        surface hides from the camera are still there.
    metric
        Whether the depth is in meters; else its unit is unknown, and one was chosen.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel
    kind: str
    sensors: Mapping[str, SparsePrompt] = field(default_factory=dict)
    metric: bool = True


def simulate_example(
    seed: int,
    split: str = 'train',
    device: str = 'cpu',
    kind: str | None = None,
    size: tuple[int, int] | None = None,
    monocular: bool = False,
) -> Example:
    """Return one example; the same arguments give the same example.

    Parameters
    ----------
    seed
        Seed of the world, the view, the photograph and the sensors.
    split
        ``'train'`` or ``'validation'``: they never share a seed, nor a family of worlds.
    device
        Where to cast rays.
    kind, size
        Kind of world, and (width, height) in pixels; default: random.
    monocular
        For networks that see an image alone, and tell distance by whole scenes: never a window of
        a finer image, smaller, and without sensors.
    """
    view_rng, photo_rng, sensor_rng = _streams(seed, split)
    spec = random_view(view_rng, size, kind, split, whole=monocular)
    world = spec.world.to(device)
    T_world_camera = torch.from_numpy(spec.T_world_camera.astype(np.float32))[None].to(device)
    seen = render(world, spec.camera, T_world_camera)
    depth = seen.depth[0].cpu().numpy()
    depth = np.where(depth <= spec.max_depth_m, depth, np.float32(np.inf))
    sensors: Mapping[str, SparsePrompt] = {}
    if not monocular:
        known = depth[np.isfinite(depth)]
        typical_m = float(np.median(known)) if known.size else 10.0
        site = Site(world, spec.kind, spec.camera, spec.T_world_camera, typical_m)
        sensors = measure_with_rig(site, sensor_rng)
    return Example(
        image=expose_randomly(seen.radiance[0], photo_rng, spec.noise),
        depth=depth,
        camera=spec.camera,
        kind=spec.kind,
        sensors=sensors,
    )


def _streams(seed: int, split: str) -> list[np.random.Generator]:
    """Return three streams of random numbers that no other seed or split has."""
    # In words of 32 bits, always three: as one number, what a large seed has beyond its first word
    # would stand where a small one has its split.
    words = (seed % _WORD, SPLITS.index(split), seed // _WORD)
    return [np.random.default_rng(s) for s in np.random.SeedSequence(words).spawn(3)]


def simulate_examples(
    seeds: Iterable[int],
    split: str = 'train',
    device: str = 'cpu',
    kind: str | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Example]:
    """Yield an example for each seed, in order."""
    for seed in seeds:
        yield simulate_example(seed, split, device, kind, size)
