# SPDX-License-Identifier: Apache-2.0
"""Record a scene into a rosbag2 with the layout of `bags.layout`. May import bags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.messages import (
    camera_info_message,
    cloud_message,
    color_message,
    depth_message,
    transforms_message,
)
from metric_depth_ros.bags.writer import BagWriter, new_bag
from metric_depth_ros.simulation.camera import render
from metric_depth_ros.simulation.photography import expose_randomly
from metric_depth_ros.simulation.scene import Scene
from metric_depth_ros.simulation.sensors.lidar import scan
from metric_depth_ros.simulation.sensors.rgbd import measure
from metric_depth_ros.simulation.sensors.shots import gloss_of

_START_NS = 1_767_225_600_000_000_000  # 2026-01-01 UTC: a stamp of 0 means "not set" to ROS
# Frames are made side by side, each with one torch thread: torch's own threads wait for each
# other after every small operation, which takes ten times as long on a machine that is busy.
_WORKERS = 2


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """What the sensors deliver at one instant.

    Parameters
    ----------
    stamp_ns
        Time of the frame.
    image
        (H, W, 3) uint8 RGB.
    truth
        (H, W) float32 meters along the optical axis, NaN where nothing is in range.
    cloud
        Fields of the LiDAR cloud, or None.
    sensor_depth
        (H, W) float32 meters of the depth camera, NaN in its holes, or None.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    truth: NDArray[np.float32]
    cloud: dict[str, NDArray] | None
    sensor_depth: NDArray[np.float32] | None


def simulate_frames(
    scene: Scene, indices: Iterable[int], rate_hz: float, seed: int, device: str = 'cpu'
) -> Iterator[SimulatedFrame]:
    """Yield frames in the order asked for; only a few are in memory at a time.

    Parameters
    ----------
    scene
        What to look at.
    indices, rate_hz
        Frame i is taken at i / rate_hz seconds.
    seed
        Seed of the sensors' noise; a frame depends on it and its index, not on other frames.
    device
        Where to cast rays.
    """
    scene = replace(scene, world=scene.world.to(device))
    threads = torch.get_num_threads()
    waiting = iter(indices)
    with ThreadPoolExecutor(_WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def submit(count: int) -> list[Future[SimulatedFrame]]:
            return [
                pool.submit(_simulate_frame, scene, index, rate_hz, seed)
                for index in islice(waiting, count)
            ]

        try:
            pending = submit(_WORKERS)
            while pending:
                frame = pending.pop(0).result()
                pending += submit(1)
                yield frame
        finally:
            torch.set_num_threads(threads)


def _simulate_frame(scene: Scene, index: int, rate_hz: float, seed: int) -> SimulatedFrame:
    rng = np.random.default_rng((seed, index))
    T_world_base = scene.base_at(index / rate_hz)
    world = scene.world
    T_world_camera = _place(T_world_base @ scene.T_base_camera, world.device)
    view = render(world, scene.camera, T_world_camera)
    image = expose_randomly(view.radiance[0], rng, scene.noise)
    truth = view.depth[0].cpu().numpy()
    cloud = sensor_depth = None
    if scene.lidar is not None:
        assert scene.T_base_lidar is not None
        cloud = scan(world, scene.lidar, T_world_base @ scene.T_base_lidar, rng)
    if scene.depth_camera is not None:
        gloss = gloss_of(world, view.hits).reshape(truth.shape)
        sensor_depth = measure(truth, image, scene.camera, scene.depth_camera, rng, gloss)
    return SimulatedFrame(
        stamp_ns=_START_NS + round(index * 1e9 / rate_hz),
        image=image,
        truth=np.where(truth <= scene.max_truth_m, truth, np.float32(np.nan)),
        cloud=cloud,
        sensor_depth=sensor_depth,
    )


def record(
    scene: Scene,
    path: Path,
    *,
    count: int,
    rate_hz: float,
    seed: int = 0,
    device: str = 'cpu',
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Simulate `count` frames into a new bag.

    Parameters
    ----------
    scene
        What to record.
    path
        Bag folder to create.
    count, rate_hz
        Number of frames, and how many a second.
    seed
        Seed of the sensors' noise.
    device
        Where to cast rays.
    progress
        Called with (frames done, frames in all).

    Raises
    ------
    InputError
        `path` exists already, or the disk is full.

    Whatever ends it early, no bag is left behind: a shorter one would look whole.
    """
    transforms = {(layout.BASE_FRAME, layout.CAMERA_FRAME): scene.T_base_camera}
    if scene.T_base_lidar is not None:
        transforms[layout.BASE_FRAME, layout.LIDAR_FRAME] = scene.T_base_lidar
    with new_bag(path) as bag:
        bag.write(layout.TF_STATIC_TOPIC, transforms_message(transforms, _START_NS), _START_NS)
        for i, frame in enumerate(simulate_frames(scene, range(count), rate_hz, seed, device)):
            T_odom_base = {(layout.ODOM_FRAME, layout.BASE_FRAME): scene.base_at(i / rate_hz)}
            pose = transforms_message(T_odom_base, frame.stamp_ns)
            bag.write(layout.TF_TOPIC, pose, frame.stamp_ns)
            _write_frame(bag, scene, frame)
            progress(i + 1, count)


def _write_frame(bag: BagWriter, scene: Scene, frame: SimulatedFrame) -> None:
    """Write one frame; the image goes last, since a node starts to work when it arrives."""
    stamp_ns = frame.stamp_ns
    here = (stamp_ns, layout.CAMERA_FRAME)
    camera_info = camera_info_message(scene.camera, *here)
    bag.write(layout.GROUND_TRUTH_TOPIC, depth_message(frame.truth, *here), stamp_ns)
    if frame.cloud is not None:
        cloud = cloud_message(frame.cloud, stamp_ns, layout.LIDAR_FRAME)
        bag.write(layout.POINTS_TOPIC, cloud, stamp_ns)
    if frame.sensor_depth is not None:
        depth = depth_message(frame.sensor_depth, *here, encoding='16UC1')
        bag.write(layout.SENSOR_DEPTH_INFO_TOPIC, camera_info, stamp_ns)
        bag.write(layout.SENSOR_DEPTH_TOPIC, depth, stamp_ns)
    bag.write(layout.CAMERA_INFO_TOPIC, camera_info, stamp_ns)
    bag.write(layout.IMAGE_TOPIC, color_message(frame.image, *here), stamp_ns)


def _place(transform: NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(transform.astype(np.float32))[None].to(device)
