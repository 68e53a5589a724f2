# SPDX-License-Identifier: Apache-2.0
"""Measurements of a bundle to prompts of its image: one function a kind of source.

Imports no rclpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.compressed_depth import decode_compressed_depth
from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.point_times import decode_point_times
from metric_depth_ros.codecs.pointcloud import check_size, decode_xyz
from metric_depth_ros.codecs.radar import decode_radar
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.geometry.motion import move_swept_points
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.geometry.rigid import Transform, inverse
from metric_depth_ros.prompting.depth_image import (
    prompt_from_depth_image,
    prompt_from_registered_depth,
)
from metric_depth_ros.prompting.lidar import prompt_from_cloud, prompt_from_projected_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.prompting.radar import prompt_from_radar
from metric_depth_ros.ros.assembly import Arrival
from metric_depth_ros.ros.extrinsics import Extrinsics
from metric_depth_ros.ros.parameters import PromptSettings
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

# Called with a stream and a fault of it.
Report = Callable[[str, InputError], None]


@dataclass(frozen=True, eq=False)
class View:
    """What a measurement is to become a prompt of.

    Parameters
    ----------
    frame
        The frame, without a prompt as yet.
    extrinsics
        Where the sensors are.
    depth_camera
        Returns the camera of sensor_depth, or refuses.
    report
        Told of faults that do not cost the prompt.
    report_once
        Told of those that last, and may be none.
    rectification
        How the image of the frame came about, None for the raw image.
    """

    frame: Frame
    extrinsics: Extrinsics
    depth_camera: Callable[[], CameraModel]
    report: Report
    report_once: Report
    rectification: Rectification | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        height, width = self.frame.image.shape[:2]
        return width, height

    def camera(self) -> CameraModel:
        """Return the camera of the image, or refuse."""
        if self.frame.camera is None:
            raise InputError(
                'camera_unknown',
                'the camera of the image is not calibrated, so this cannot be placed in it: '
                'publish its CameraInfo.',
            )
        return self.frame.camera

    def transform(self, arrival: Arrival) -> Transform:
        """Return (4, 4) from the sensor at its stamp to the camera at that of the image."""
        return self.extrinsics.lookup(
            self.frame.frame_id,
            self.frame.stamp_ns,
            arrival.message.header.frame_id,
            arrival.stamp_ns,
        )

    def transform_moved(self, arrival: Arrival, after_s: float = 0.0) -> Transform | None:
        """Return the same from the sensor some time after its stamp, None with unknown motion."""
        return self.extrinsics.lookup_through_fixed_frame(
            self.frame.frame_id,
            self.frame.stamp_ns,
            arrival.message.header.frame_id,
            arrival.stamp_ns + round(after_s * NS_PER_S),
        )


def prompt_from(
    source: str, arrival: Arrival, view: View, settings: PromptSettings
) -> SparsePrompt:
    """Return what a source measured as a prompt.

    Parameters
    ----------
    source
        One of `parameters.PROMPT_SOURCES`.
    arrival
        Its message.
    view, settings
        What it is a prompt of, and how it is made.

    Raises
    ------
    InputError
        It cannot be used.
    """
    by_source = {'points': _from_points, 'sensor_depth': _from_depth, 'radar': _from_radar}
    return by_source[source](arrival, view, settings)


def _from_points(arrival: Arrival, view: View, settings: PromptSettings) -> SparsePrompt:
    cloud = arrival.message
    count = _checked_count(cloud, settings)
    camera = view.camera()
    points = decode_xyz(cloud)
    stilled = _stilled(points, arrival, view, settings)
    points, transform = stilled or (points, view.transform(arrival))
    prompt = prompt_from_cloud(
        camera,
        points,
        transform,
        sigma_m=settings.sigma_m,
        sigma_rel=settings.sigma_rel,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
        remove_occluded=settings.remove_occluded,
    )
    return _seen(prompt, count, points, settings)


def _from_radar(arrival: Arrival, view: View, settings: PromptSettings) -> SparsePrompt:
    count = _checked_count(arrival.message, settings)
    returns = decode_radar(arrival.message)
    prompt = prompt_from_radar(
        view.camera(),
        returns.xyz,
        view.transform(arrival),
        rcs_db=returns.rcs_db,
        velocity_mps=returns.velocity_mps,
        stamp_distance_s=abs(arrival.stamp_ns - view.frame.stamp_ns) / NS_PER_S,
        sigma_m=settings.radar_sigma_m,
        sigma_rel=settings.radar_sigma_rel,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )
    return _seen(prompt, count, returns.xyz, settings)


def _from_depth(arrival: Arrival, view: View, settings: PromptSettings) -> SparsePrompt:
    decode = (
        decode_compressed_depth if settings.depth_transport == 'compressedDepth' else decode_depth
    )
    depth = decode(arrival.message)
    alignment = settings.depth_alignment
    if alignment == 'auto':
        alignment = _alignment(depth, arrival, view)
    by_alignment = {
        'registered': _from_registered,
        'unregistered': _from_unregistered,
        'low_resolution': _from_low_resolution,
        'projected': _from_projected,
    }
    return by_alignment[alignment](depth, arrival, view, settings)


def _alignment(depth: NDArray[np.float32], arrival: Arrival, view: View) -> str:
    """Return how a depth image lies to the image, by the frames of both and their sizes."""
    depth_frame, frame = arrival.message.header.frame_id, view.frame.frame_id
    if not (depth_frame and frame):
        raise InputError(
            'transform_missing',
            f'prompt.depth_alignment is auto, which compares header.frame_id, but that of the '
            f'depth image is {depth_frame!r} and that of the image {frame!r}: set both in the '
            'drivers (mostly their parameter frame_id), or prompt.depth_alignment to registered '
            'where the depth has the pixels of the image.',
        )
    same_pixels = _is_one(depth_frame, frame) and depth.shape == view.frame.image.shape[:2]
    return 'registered' if same_pixels else 'unregistered'


def _is_one(frame: str, other: str) -> bool:
    """Return whether two names are of one frame: tf2 knows none that begins with a slash."""
    return frame.lstrip('/') == other.lstrip('/')


def _from_registered(
    depth: NDArray[np.float32], arrival: Arrival, view: View, settings: PromptSettings
) -> SparsePrompt:
    depth_frame, frame = arrival.message.header.frame_id, view.frame.frame_id
    if depth_frame and frame and not _is_one(depth_frame, frame):
        view.report_once('sensor_depth', _of_another_frame(depth_frame, frame))
    return prompt_from_registered_depth(
        _in_image(_without_flying_pixels(depth, settings), view),
        sigma_m_at_1m=settings.depth_sigma_m_at_1m,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def _of_another_frame(depth_frame: str, frame: str) -> InputError:
    return InputError(
        'depth_frame',
        f'prompt.depth_alignment is registered, but the depth image is of {depth_frame!r}, the '
        f'image of {frame!r}. If the driver registers its depth and only misnames its frame, all '
        'is well; else every depth is at a wrong pixel: remap sensor_depth/image to the '
        'registered depth, or set prompt.depth_alignment to auto.',
    )


def _from_unregistered(
    depth: NDArray[np.float32], arrival: Arrival, view: View, settings: PromptSettings
) -> SparsePrompt:
    return prompt_from_depth_image(
        view.camera(),
        _without_flying_pixels(depth, settings),
        view.depth_camera(),
        _place_of_depth(arrival, view),
        sigma_m_at_1m=settings.depth_sigma_m_at_1m,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def _place_of_depth(arrival: Arrival, view: View) -> Transform:
    """Return (4, 4) from the depth camera to the camera; one frame is one place.

    A file that names no frames has another one: that of the LiDAR.
    """
    if not view.frame.frame_id or arrival.message.header.frame_id != view.frame.frame_id:
        return view.transform(arrival)
    moved = view.transform_moved(arrival)
    return np.eye(4) if moved is None else moved


def _from_low_resolution(
    depth: NDArray[np.float32], arrival: Arrival, view: View, settings: PromptSettings
) -> SparsePrompt:
    if view.rectification is not None:
        raise InputError(
            'sensor_depth_size',
            'prompt.depth_alignment is low_resolution, which has the view of the raw image, but '
            'camera.rectify gives the image another one: set one of the two otherwise.',
        )
    return prompt_from_low_resolution(
        *view.size, depth, min_depth_m=settings.min_depth_m, max_depth_m=settings.max_depth_m
    )


def _from_projected(
    depth: NDArray[np.float32], arrival: Arrival, view: View, settings: PromptSettings
) -> SparsePrompt:
    return prompt_from_projected_cloud(
        _in_image(depth, view),
        sigma_m=settings.sigma_m,
        sigma_rel=settings.sigma_rel,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
        remove_occluded=settings.remove_occluded,
    )


def _stilled(
    points: NDArray[np.float32], arrival: Arrival, view: View, settings: PromptSettings
) -> tuple[NDArray[np.float32], Transform] | None:
    """Return the points as the sensor would have seen them all at once, amid its sweep.

    And (4, 4) from there to the camera, which tells how the sensor stands to it. None where the
    times of the points or the motion are not known.
    """
    times_s = _point_times(arrival, view, settings)
    if times_s is None:
        return None
    begin_s, end_s = float(times_s.min()), float(times_s.max())
    knots = []
    for time_s in (begin_s, 0.5 * (begin_s + end_s), end_s):
        transform = view.transform_moved(arrival, time_s)
        if transform is None:
            return None
        knots.append(transform)
    share = ((times_s - begin_s) / (end_s - begin_s)).astype(np.float32)
    middle = knots[1]
    return move_swept_points(points, share, *(inverse(middle) @ knot for knot in knots)), middle


def _point_times(
    arrival: Arrival, view: View, settings: PromptSettings
) -> NDArray[np.float64] | None:
    """Return when each point was measured after the stamp, None where that is not known."""
    if not settings.compensate_motion:
        return None
    unit = '' if settings.time_unit == 'auto' else settings.time_unit
    try:
        return decode_point_times(
            arrival.message, arrival.stamp_ns, field=settings.time_field, unit=unit
        )
    except InputError as error:
        if view.transform_moved(arrival) is not None:  # else nobody needs them
            told = f'{error} Until then the cloud is moved as a whole.'
            view.report('points', InputError(error.fault, told))
        return None


def _checked_count(cloud: Message, settings: PromptSettings) -> int:
    count = check_size(cloud)
    if count == 0:
        raise InputError('cloud_empty', 'the cloud has no points: check the sensor.')
    if count > settings.max_points:
        raise InputError(
            'cloud_too_large',
            f'the cloud has {count} points, more than prompt.max_points = '
            f'{settings.max_points}: raise it, or thin the cloud out (pcl_ros VoxelGrid).',
        )
    return count


def _seen(
    prompt: SparsePrompt, count: int, xyz: NDArray[np.float32], settings: PromptSettings
) -> SparsePrompt:
    if not len(prompt):
        finite = int(np.isfinite(xyz).all(axis=1).sum())
        raise InputError(
            'cloud_not_in_view',
            f'none of the {count} points ({finite} finite) lies in the image and within '
            f'prompt.min_depth_m to prompt.max_depth_m ({settings.min_depth_m:g} to '
            f'{settings.max_depth_m:g} m): check the extrinsics.',
        )
    return prompt


def _without_flying_pixels(
    depth: NDArray[np.float32], settings: PromptSettings
) -> NDArray[np.float32]:
    if not settings.remove_flying_pixels:
        return depth
    return np.where(floating_pixels(depth), np.float32(np.nan), depth)


def _in_image(depth: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Return depth that has the pixels of the raw image in those of the image, or refuse."""
    width, height = view.size
    if depth.shape != (height, width):
        raise InputError(
            'sensor_depth_size',
            f'the depth image is {depth.shape[1]}x{depth.shape[0]} but the image is '
            f'{width}x{height}: set prompt.depth_alignment to unregistered or low_resolution.',
        )
    return depth if view.rectification is None else view.rectification.depth(depth)
