# SPDX-License-Identifier: Apache-2.0
"""A bundle of messages to a `Frame`, and an estimate to what is published. Imports no rclpy.

A fault of the image or its CameraInfo costs the frame; a fault of a prompt source costs only
that prompt. Both are reported under the name of the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.compressed import decode_compressed_color
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.codecs.pointcloud import check_size, decode_xyz
from metric_depth_ros.errors import InputError
from metric_depth_ros.prompting.depth_image import (
    prompt_from_depth_image,
    prompt_from_registered_depth,
)
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.extrinsics import Extrinsics
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, SparsePrompt

Report = Callable[[str, InputError], None]

# Faults of a CameraInfo that mean that the camera is not known.
_NO_CAMERA = ('camera_info_missing', 'camera_uncalibrated')


class FrameBuilder:
    """Turn bundles into frames.

    Parameters
    ----------
    extrinsics
        Where the sensors are.
    report
        Called with the stream and the fault of everything that cannot be used.
    camera_needed
        Whether an image without a calibrated CameraInfo is of no use; false for estimators that
        recover the intrinsics.
    """

    def __init__(
        self, extrinsics: Extrinsics, report: Report, *, camera_needed: bool = True
    ) -> None:
        self._extrinsics = extrinsics
        self._report = report
        self._camera_needed = camera_needed
        self._cameras: dict[str, tuple[tuple[object, ...], CameraModel]] = {}

    def build(self, bundle: Bundle, settings: DepthNodeSettings) -> Frame | None:
        """Return the frame of a bundle, None where its image or camera cannot be used."""
        message = bundle.image.message
        stream = 'image'
        try:
            image = (
                decode_compressed_color(message)
                if settings.image_transport == 'compressed'
                else decode_color(message)
            )
            stream = 'camera_info'
            camera = self._image_camera(bundle, settings.camera.rectified)
            frame_id = message.header.frame_id
            frame = Frame(bundle.image.stamp_ns, frame_id, image, camera)
        except InputError as error:
            self._report(stream, error)
            return None
        prompts = [
            prompt
            for source in settings.prompt.sources
            if (prompt := self._prompt(source, bundle, frame, settings)) is not None
        ]
        return Frame(
            frame.stamp_ns,
            frame_id,
            image,
            camera,
            SparsePrompt.merge(prompts) if prompts else None,
        )

    def _image_camera(self, bundle: Bundle, rectified: bool) -> CameraModel | None:
        """Return the camera of the image; None where it is not known and need not be."""
        try:
            return self._camera(bundle, 'camera_info', rectified)
        except InputError as error:
            if self._camera_needed or error.fault not in _NO_CAMERA:
                raise
            return None

    def _camera(self, bundle: Bundle, stream: str, rectified: bool) -> CameraModel:
        """Return the camera of a CameraInfo stream, made anew only when it has changed."""
        arrival = bundle.measurements.get(stream)
        if arrival is None:
            raise InputError(
                'camera_info_missing',
                'no CameraInfo has been received, so points cannot be placed in the image: '
                'publish it beside the image, or remap the topic to where it is. Some learned '
                'estimators do without (docs/MODELS.md).',
            )
        info = arrival.message
        key = (*_values_of(info), rectified)
        known = self._cameras.get(stream)
        if known is None or known[0] != key:
            known = (key, camera_from_info(info, rectified=rectified))
            self._cameras[stream] = known
        return known[1]

    def _prompt(
        self, source: str, bundle: Bundle, frame: Frame, settings: DepthNodeSettings
    ) -> SparsePrompt | None:
        try:
            arrival = _measurement(source, bundle, settings.prompt.max_age_s)
            if source == 'points':
                return self._prompt_from_points(arrival, frame, settings)
            return self._prompt_from_sensor_depth(arrival, bundle, frame, settings)
        except InputError as error:
            self._report(source, error)
            return None

    def _prompt_from_points(
        self, arrival: Arrival, frame: Frame, settings: DepthNodeSettings
    ) -> SparsePrompt:
        cloud, prompt = arrival.message, settings.prompt
        count = check_size(cloud)
        if count == 0:
            raise InputError('cloud_empty', 'the cloud has no points: check the sensor.')
        if count > prompt.max_points:
            raise InputError(
                'cloud_too_large',
                f'the cloud has {count} points, more than prompt.max_points = '
                f'{prompt.max_points}: raise it, or thin the cloud out (pcl_ros VoxelGrid).',
            )
        xyz = decode_xyz(cloud)
        points = prompt_from_cloud(
            _known_camera(frame),
            xyz,
            self._transform(arrival, frame),
            sigma_m=prompt.sigma_m,
            sigma_rel=prompt.sigma_rel,
            min_depth_m=prompt.min_depth_m,
            max_depth_m=prompt.max_depth_m,
            remove_occluded=prompt.remove_occluded,
        )
        if not len(points):
            finite = int(np.isfinite(xyz).all(axis=1).sum())
            raise InputError(
                'cloud_not_in_view',
                f'none of the {count} points ({finite} finite) lies in the image and within '
                f'prompt.min_depth_m to prompt.max_depth_m ({prompt.min_depth_m:g} to '
                f'{prompt.max_depth_m:g} m): check the extrinsics.',
            )
        return points

    def _prompt_from_sensor_depth(
        self, arrival: Arrival, bundle: Bundle, frame: Frame, settings: DepthNodeSettings
    ) -> SparsePrompt:
        depth, prompt = decode_depth(arrival.message), settings.prompt
        height, width = frame.image.shape[:2]
        same_pixels = (
            depth.shape == (height, width) and arrival.message.header.frame_id == frame.frame_id
        )
        alignment = prompt.depth_alignment
        if alignment == 'auto':
            alignment = 'registered' if same_pixels else 'unregistered'
        if alignment == 'low_resolution':
            return prompt_from_low_resolution(
                width, height, depth,
                min_depth_m=prompt.min_depth_m, max_depth_m=prompt.max_depth_m,
            )  # fmt: skip
        if alignment == 'registered':
            _check_registered(depth, width, height)
            return prompt_from_registered_depth(
                depth,
                sigma_m_at_1m=prompt.depth_sigma_m_at_1m,
                min_depth_m=prompt.min_depth_m,
                max_depth_m=prompt.max_depth_m,
            )
        return prompt_from_depth_image(
            _known_camera(frame),
            depth,
            self._camera(bundle, 'sensor_depth/camera_info', rectified=False),
            self._transform(arrival, frame),
            sigma_m_at_1m=prompt.depth_sigma_m_at_1m,
            min_depth_m=prompt.min_depth_m,
            max_depth_m=prompt.max_depth_m,
        )

    def _transform(self, arrival: Arrival, frame: Frame) -> NDArray[np.float64]:
        sensor_frame = arrival.message.header.frame_id
        return self._extrinsics.lookup(
            frame.frame_id, frame.stamp_ns, sensor_frame, arrival.stamp_ns
        )


@dataclass(frozen=True)
class LimitedDepth:
    """Depth as the output contract has it, with the camera that it belongs to."""

    depth: NDArray[np.float32]
    camera: CameraModel | None


def limited_depth(
    estimate: DepthEstimate, max_range_m: float, min_confidence: float
) -> LimitedDepth:
    """Apply the limits of the output: +Inf beyond range (REP-117), NaN where not trusted.

    Depth is never clipped to the limit. Values that are not positive are unknown.
    """
    depth = estimate.depth
    beyond = depth > max_range_m
    with np.errstate(invalid='ignore'):
        unknown = depth <= 0.0
    if min_confidence > 0.0 and estimate.confidence is not None:
        unknown |= estimate.confidence < min_confidence
    if beyond.any() or unknown.any():
        depth = depth.copy()
        depth[beyond] = np.inf
        depth[unknown] = np.nan
    return LimitedDepth(depth, estimate.camera)


def _measurement(source: str, bundle: Bundle, max_age_s: float) -> Arrival:
    """Return the measurement of a source, or refuse with why there is none."""
    arrival = bundle.measurements.get(source)
    if arrival is not None:
        return arrival
    offset_s = bundle.missed_s.get(source)
    if offset_s is None:
        raise InputError(
            'silent',
            'nothing has been received: check that the sensor publishes, and remap the topic to '
            'where it does.',
        )
    raise InputError(
        'stamp_far',
        f'the nearest message is {abs(offset_s):.3f} s {"after" if offset_s > 0 else "before"} '
        f'the image, more than prompt.max_age_s = {max_age_s:g}: the sensor is silent, or its '
        'stamps are of another clock than those of the camera.',
    )


def _known_camera(frame: Frame) -> CameraModel:
    if frame.camera is None:
        raise InputError(
            'camera_unknown',
            'the camera of the image is not calibrated, so this cannot be placed in it: publish '
            'its CameraInfo.',
        )
    return frame.camera


def _check_registered(depth: NDArray[np.float32], width: int, height: int) -> None:
    if depth.shape != (height, width):
        raise InputError(
            'sensor_depth_size',
            f'the depth image is {depth.shape[1]}x{depth.shape[0]} but the image is '
            f'{width}x{height}: set prompt.depth_alignment to unregistered or low_resolution.',
        )


def _values_of(info: Message) -> tuple[object, ...]:
    """Return the content of a CameraInfo as something that compares fast."""
    roi = info.roi
    return (
        info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k),
        tuple(info.r), tuple(info.p), info.binning_x, info.binning_y,
        roi.x_offset, roi.y_offset, roi.width, roi.height,
    )  # fmt: skip
