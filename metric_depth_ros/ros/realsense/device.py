# SPDX-License-Identifier: Apache-2.0
"""Find a camera or a recording, open it, and wait for its frames. Knows no ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.resources import user_path
from metric_depth_ros.ros.realsense.calibration import transform
from metric_depth_ros.ros.realsense.parameters import (
    ColorSettings,
    DepthStreamSettings,
    RealsenseSettings,
)

FindDevices = Callable[[], Iterable[Any]]

# At the end of a recording librealsense says so after it has handed out the last frame.
_END_S = 0.3
_SHOWN_PROFILES = 12


@dataclass(frozen=True)
class DeviceInfo:
    """What a camera says about itself; unknown is empty."""

    name: str
    serial_number: str
    firmware: str
    connection: str


class OpenCamera:
    """A camera or a recording whose frames are under way.

    Parameters
    ----------
    pipeline, profile
        Of librealsense, started.
    playback
        The recording, None for a camera.
    """

    def __init__(self, rs: Any, pipeline: Any, profile: Any, playback: Any = None) -> None:
        self._rs = rs
        self._pipeline = pipeline
        self._device = profile.get_device()
        self._playback = playback
        self._last_s = time.monotonic()
        self.info = device_info(rs, self._device)
        self.is_recording = playback is not None
        self.streams = {s.stream_type().name: s for s in profile.get_streams()}
        self._newest = dict.fromkeys(self.streams, (-1, self._last_s))
        self.is_stereo = any(
            sensor.is_depth_sensor() and sensor.supports(rs.option.stereo_baseline)
            for sensor in self._device.query_sensors()
        )

    @property
    def T_color_depth(self) -> Transform | None:
        """(4, 4) from the depth to the color camera, None where one of them is not open."""
        if not {'color', 'depth'} <= self.streams.keys():
            return None
        return transform(self.streams['depth'].get_extrinsics_to(self.streams['color']))

    def wait(self, timeout_s: float) -> Any | None:
        """Return the next frameset, None if there is none in time."""
        came, frames = self._pipeline.try_wait_for_frames(round(timeout_s * 1e3))
        if not came:
            return None
        self._last_s = time.monotonic()
        for frame in frames:
            stream, number = frame.get_profile().stream_type().name, frame.get_frame_number()
            if stream in self._newest and self._newest[stream][0] != number:
                self._newest[stream] = number, self._last_s
        return frames

    @property
    def quietest(self) -> tuple[str, float]:
        """The stream whose last new frame is the longest ago, and the seconds since.

        Framesets keep coming where one of two streams has stopped: they repeat its last frame.
        """
        stream, (_, last_s) = min(self._newest.items(), key=lambda item: item[1][1])
        return stream, time.monotonic() - last_s

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame, or since it was opened."""
        return time.monotonic() - self._last_s

    @property
    def has_ended(self) -> bool:
        """Whether this is a recording and all of it has been played."""
        if self._playback is None or self.silent_s < _END_S:
            return False
        return bool(self._playback.current_status() == self._rs.playback_status.stopped)

    @property
    def is_connected(self) -> bool:
        """Whether the camera is still there."""
        return self.is_recording or bool(self._device.is_connected())

    def close(self) -> None:
        """Stop the frames. librealsense may take its time where a camera was unplugged."""
        self._pipeline.stop()


def open_camera(rs: Any, settings: RealsenseSettings, find_devices: FindDevices) -> OpenCamera:
    """Open what the settings ask for: a camera, or a recording.

    Parameters
    ----------
    rs
        The module pyrealsense2.
    settings
        Which camera, and which of its streams.
    find_devices
        Returns the cameras that are connected.

    Raises
    ------
    InputError
        ``'camera_missing'``, ``'camera_streams'`` (not offered), ``'camera_open'`` (librealsense
        says why) or ``'recording'``.
    """
    try:
        if settings.playback.file:
            return _open_recording(rs, settings)
        return _open_live(rs, settings, find_devices)
    except RuntimeError as error:  # every error of librealsense is one
        raise InputError(
            'camera_open',
            f'librealsense cannot open the camera: {error}. Another process may have it, or the '
            'USB port may be too slow; unplug it and plug it in again if this goes on.',
        ) from error


def find_connected(rs: Any) -> FindDevices:
    """Return what looks for cameras that are connected."""
    context = rs.context()

    def find() -> Sequence[Any]:
        return list(context.query_devices())

    return find


def device_info(rs: Any, device: Any) -> DeviceInfo:
    """Return what a device says about itself."""
    of = rs.camera_info

    def said(what: Any) -> str:
        return str(device.get_info(what)) if device.supports(what) else ''

    return DeviceInfo(
        said(of.name), said(of.serial_number), said(of.firmware_version),
        said(of.usb_type_descriptor),
    )  # fmt: skip


def _open_live(rs: Any, settings: RealsenseSettings, find_devices: FindDevices) -> OpenCamera:
    device = _chosen(rs, list(find_devices()), settings.serial_number)
    for sensor in device.query_sensors():
        if sensor.supports(rs.option.global_time_enabled):
            sensor.set_option(rs.option.global_time_enabled, float(settings.global_time))
    config = rs.config()
    for stream, form, wanted in _wanted(rs, settings):
        config.enable_stream(stream, wanted.width, wanted.height, form, wanted.rate_hz)
    pipeline = rs.pipeline()
    pipeline.set_device(device)
    if not config.can_resolve(pipeline):
        raise _not_offered(rs, settings, device)
    return OpenCamera(rs, pipeline, pipeline.start(config))


def _open_recording(rs: Any, settings: RealsenseSettings) -> OpenCamera:
    path = recording_path(settings)
    config = rs.config()
    config.enable_device_from_file(str(path), settings.playback.loop)
    for stream, _, _ in _wanted(rs, settings):
        config.enable_stream(stream)
    pipeline = rs.pipeline()
    try:
        device = config.resolve(pipeline).get_device()
    except RuntimeError as error:
        raise InputError(
            'recording',
            f'the recording {path} cannot be played: {error} (parameters playback.file, '
            'color.enable and depth.enable).',
        ) from error
    playback = device.as_playback()
    playback.set_real_time(settings.playback.real_time)  # before the first frame
    return OpenCamera(rs, pipeline, pipeline.start(config), playback)


def recording_path(settings: RealsenseSettings) -> Path:
    """Return the path of the recording.

    Raises
    ------
    InputError
        There is no such file.
    """
    path = user_path(settings.playback.file)
    if not path.is_file():
        raise InputError(
            'recording', f'there is no file {path} to play (parameter playback.file).'
        )
    return path


def _chosen(rs: Any, devices: Sequence[Any], serial_number: str) -> Any:
    """Return the device with a serial number, or the only one."""
    serials = [device_info(rs, device).serial_number for device in devices]
    known = ', '.join(serials) or 'none'
    if not serial_number:
        if len(devices) == 1:
            return devices[0]
        if devices:
            raise InputError(
                'camera_missing',
                f'several cameras are connected ({known}): choose one with the parameter '
                'serial_number.',
            )
    elif serial_number in serials:
        return devices[serials.index(serial_number)]
    wanted = f'with serial_number {serial_number!r}' if serial_number else 'from RealSense'
    raise InputError(
        'camera_missing',
        f'no camera {wanted} is connected (connected: {known}): plug it in; if it is, install '
        'the udev rules of librealsense, and in a container pass /dev/bus/usb and /dev/video*.',
    )


def _wanted(
    rs: Any, settings: RealsenseSettings
) -> list[tuple[Any, Any, ColorSettings | DepthStreamSettings]]:
    wanted: list[tuple[Any, Any, ColorSettings | DepthStreamSettings]] = []
    if settings.depth.enable:
        wanted.append((rs.stream.depth, rs.format.z16, settings.depth))
    if settings.color.enable:
        wanted.append((rs.stream.color, rs.format.rgb8, settings.color))
    return wanted


def _not_offered(rs: Any, settings: RealsenseSettings, device: Any) -> InputError:
    offered: dict[Any, set[tuple[int, int, int]]] = {}
    for sensor in device.query_sensors():
        for profile in sensor.get_stream_profiles():
            if profile.is_video_stream_profile():
                video = profile.as_video_stream_profile()
                size = video.width(), video.height(), video.fps()
                offered.setdefault((profile.stream_type(), profile.format()), set()).add(size)
    sentences = []
    for stream, form, wanted in _wanted(rs, settings):
        sizes = sorted(offered.get((stream, form), ()), reverse=True)
        shown = ', '.join(f'{w}x{h} at {r}' for w, h, r in sizes[:_SHOWN_PROFILES]) or 'none'
        more = f' and {len(sizes) - _SHOWN_PROFILES} more' if len(sizes) > _SHOWN_PROFILES else ''
        sentences.append(
            f'{stream.name} {wanted.width}x{wanted.height} at {wanted.rate_hz} Hz of {shown}{more}'
        )
    return InputError(
        'camera_streams',
        f'the camera {device_info(rs, device).name} does not offer these streams together: '
        f'{"; ".join(sentences)}. Set color.width, color.height, color.rate_hz and those of depth '
        'to what it offers, or to 0; on USB 2 it offers less.',
    )
