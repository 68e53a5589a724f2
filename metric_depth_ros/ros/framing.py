# SPDX-License-Identifier: Apache-2.0
"""A bundle of messages to a `Frame`. Imports no rclpy.

A fault of the image or its CameraInfo costs the frame; a fault of a prompt source costs only
that prompt. Both are reported under the name of the stream.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.compressed import decode_compressed_color
from metric_depth_ros.codecs.image import decode_color
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.extrinsics import Extrinsics
from metric_depth_ros.ros.parameters import CameraSettings, DepthNodeSettings
from metric_depth_ros.ros.prompts import Report, View, prompt_from
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

# Faults of a CameraInfo that mean that the camera is not known.
_NO_CAMERA = ('camera_info_missing', 'camera_uncalibrated')
_WITHOUT_INFO = {  # by stream
    'camera_info': 'no CameraInfo has been received, so points cannot be placed in the image: '
    'publish it beside the image, or remap the topic to where it is. Some learned estimators do '
    'without (docs/MODELS.md).',
    'sensor_depth/camera_info': 'no CameraInfo of the depth camera has been received, so its '
    'pixels cannot be placed in the image: publish it beside the depth image, or remap '
    'sensor_depth/camera_info to where it is. Depth in the pixels of the image needs none '
    '(parameter prompt.depth_alignment).',
}


def decode_image(message: Message, transport: str) -> NDArray[np.uint8]:
    """Return the pixels of an image message, RGB.

    Raises
    ------
    InputError
        It cannot be decoded.
    """
    return decode_compressed_color(message) if transport == 'compressed' else decode_color(message)


class CameraReader:
    """Give images their cameras. A camera is made anew only when its CameraInfo has changed."""

    def __init__(self) -> None:
        self._cameras: dict[str, tuple[tuple[object, ...], CameraModel]] = {}
        self._known_rectification: Rectification | None = None

    def frame(
        self,
        pixels: NDArray[np.uint8],
        bundle: Bundle,
        settings: CameraSettings,
        *,
        camera_needed: bool,
    ) -> tuple[Frame, Rectification | None]:
        """Return the frame of an image, and how it came about if it was rectified.

        Parameters
        ----------
        pixels
            Of the image, RGB.
        bundle
            Its message, with its CameraInfo among the measurements.
        settings
            How the two are related, and whether the image is to be rectified.
        camera_needed
            Whether an image without a calibrated CameraInfo is of no use.

        Raises
        ------
        InputError
            A CameraInfo that is missing or cannot be used.
        """
        camera = self._image_camera(bundle, settings.rectified, camera_needed)
        image = bundle.image
        frame = Frame(image.stamp_ns, image.message.header.frame_id, pixels, camera)
        way = self._rectification(camera, settings)
        if way is None:
            return frame, None
        return replace(frame, image=way.image(pixels), camera=way.pinhole), way

    def camera(self, bundle: Bundle, stream: str, rectified: bool) -> CameraModel:
        """Return the camera of a CameraInfo stream.

        Raises
        ------
        InputError
            It is missing or cannot be used.
        """
        arrival = bundle.measurements.get(stream)
        if arrival is None:
            raise InputError('camera_info_missing', _WITHOUT_INFO[stream])
        info = arrival.message
        key = (*info_values(info), rectified)
        known = self._cameras.get(stream)
        if known is None or known[0] != key:
            known = (key, camera_from_info(info, rectified=rectified))
            self._cameras[stream] = known
        return known[1]

    def _rectification(
        self, camera: CameraModel | None, settings: CameraSettings
    ) -> Rectification | None:
        """Return the way to the rectified image if it is wanted, made anew for a new camera."""
        if not settings.rectify:
            return None
        if camera is None:
            raise InputError(
                'camera_unknown',
                'camera.rectify is true, but the camera of the image is not calibrated: publish '
                'its CameraInfo, or set camera.rectify to false.',
            )
        known = self._known_rectification
        if known is None or known.raw != camera:
            known = Rectification(camera, settings.rectified_fov_deg)
            self._known_rectification = known
        return known

    def _image_camera(self, bundle: Bundle, rectified: bool, needed: bool) -> CameraModel | None:
        """Return the camera of the image; None where it is not known and need not be."""
        try:
            return self.camera(bundle, 'camera_info', rectified)
        except InputError as error:
            if needed or error.fault not in _NO_CAMERA:
                raise
            return None


class FrameBuilder:
    """Turn bundles into frames.

    `camera_needed` tells whether an image without a calibrated CameraInfo is of no use; it is set
    to false for estimators that recover the intrinsics.

    Parameters
    ----------
    extrinsics
        Where the sensors are.
    report
        Called with the stream and the fault of everything that cannot be used.
    """

    def __init__(self, extrinsics: Extrinsics, report: Report) -> None:
        self.camera_needed = True
        self._extrinsics = extrinsics
        self._report = report
        self._told: set[tuple[str, str]] = set()
        self._reader = CameraReader()

    def build(self, bundle: Bundle, settings: DepthNodeSettings) -> Frame | None:
        """Return the frame of a bundle, None where its image or camera cannot be used."""
        stream = 'image'
        try:
            pixels = decode_image(bundle.image.message, settings.image_transport)
            stream = 'camera_info'
            frame, rectification = self._reader.frame(
                pixels, bundle, settings.camera, camera_needed=self.camera_needed
            )
        except InputError as error:
            self._report(stream, error)
            return None
        view = View(
            frame,
            self._extrinsics,
            lambda: self._reader.camera(
                bundle, 'sensor_depth/camera_info', settings.prompt.depth_rectified
            ),
            self._report,
            self._report_once,
            rectification,
        )
        prompts = [
            prompt
            for source in settings.prompt.sources
            if (prompt := self._prompt(source, bundle, view, settings)) is not None
        ]
        return replace(frame, prompt=SparsePrompt.merge(prompts) if prompts else None)

    def _report_once(self, stream: str, error: InputError) -> None:
        if (stream, error.fault) not in self._told:
            self._told.add((stream, error.fault))
            self._report(stream, error)

    def _prompt(
        self, source: str, bundle: Bundle, view: View, settings: DepthNodeSettings
    ) -> SparsePrompt | None:
        try:
            arrival = _measurement(source, bundle, settings.prompt.max_age_s)
            return prompt_from(source, arrival, view, settings.prompt)
        except InputError as error:
            self._report(source, error)
            return None


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


def info_values(info: Message) -> tuple[object, ...]:
    """Return the content of a CameraInfo as something that compares fast."""
    roi = info.roi
    return (
        info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k),
        tuple(info.r), tuple(info.p), info.binning_x, info.binning_y,
        roi.x_offset, roi.y_offset, roi.width, roi.height,
    )  # fmt: skip
