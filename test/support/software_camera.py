# SPDX-License-Identifier: Apache-2.0
"""A RealSense camera in software: librealsense's own software_device, fed by a thread.

Everything behind it (pipeline, sync, filters, alignment, recorder) is librealsense's.
"""

import threading
import time
from pathlib import Path

import numpy as np

try:
    import pyrealsense2 as rs
except ImportError:  # the tests that need it are skipped
    rs = None

WIDTH, HEIGHT, RATE_HZ = 64, 48, 30
DEPTH_MM = 1500
HOLE = (slice(10, 14), slice(10, 14))  # of the depth image, unknown
RED = (200, 30, 10)
# From the depth to the color camera, optical axes: 15 mm to the left, turned a little about y.
TURN_RAD = 0.05
ROTATION = np.array(
    [
        [np.cos(TURN_RAD), 0.0, np.sin(TURN_RAD)],
        [0.0, 1.0, 0.0],
        [-np.sin(TURN_RAD), 0.0, np.cos(TURN_RAD)],
    ]
)
TRANSLATION = (0.015, 0.0, 0.001)
COLOR_LENS = (-0.05, 0.06, 0.001, -0.002, -0.02)


class SoftwareCamera:
    """A color and a depth stream.

    Parameters
    ----------
    serial_number
        Of the camera.
    depth_unit_m
        Unit of the raw depth.
    domain
        Clock that it stamps with, by librealsense's name.
    color_format
        Of the color stream, rgb8 or bgr8.
    is_stereo
        Whether depth is that of two eyes.
    """

    def __init__(
        self,
        serial_number='0123',
        depth_unit_m=0.001,
        domain='global_time',
        color_format='rgb8',
        is_stereo=True,
    ):
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, 'Software Camera')
        self.device.register_info(rs.camera_info.serial_number, serial_number)
        self._unit_m = depth_unit_m
        self._domain = getattr(rs.timestamp_domain, domain)
        self.sent_ms = []
        self._number = 0
        self._red = RED if color_format == 'rgb8' else RED[::-1]
        self.sends_color = True
        self._stop = threading.Event()
        self._thread = None
        self._depth_sensor = self.device.add_sensor('Stereo Module')
        self._color_sensor = self.device.add_sensor('RGB Camera')
        self._depth_sensor.add_read_only_option(rs.option.depth_units, depth_unit_m)
        if is_stereo:
            self._depth_sensor.add_read_only_option(rs.option.stereo_baseline, 50.0)
        depth = self._depth_sensor.add_video_stream(_stream(rs.stream.depth, rs.format.z16, 2))
        pixel_format = getattr(rs.format, color_format)
        color = self._color_sensor.add_video_stream(_stream(rs.stream.color, pixel_format, 3))
        extrinsics = rs.extrinsics()
        extrinsics.rotation = ROTATION.T.ravel().tolist()  # column by column
        extrinsics.translation = list(TRANSLATION)
        depth.register_extrinsics_to(color, extrinsics)
        self._depth_profile = depth.as_video_stream_profile()
        self._color_profile = color.as_video_stream_profile()
        self.device.create_matcher(rs.matchers.default)

    def send(self, timestamp_ms=None, number=None):
        """Send one frame of both streams, or of depth alone; the color says which one it is."""
        number = self._number if number is None else number
        self._number = number + 1
        timestamp_ms = time.time() * 1e3 if timestamp_ms is None else timestamp_ms
        self.sent_ms.append(timestamp_ms)
        depth = np.full((HEIGHT, WIDTH), round(DEPTH_MM * 1e-3 / self._unit_m), np.uint16)
        depth[HOLE] = 0
        color = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        color[...] = self._red
        color[0, 0] = number % 256
        for sensor, profile, pixels in (
            (self._depth_sensor, self._depth_profile, depth),
            (self._color_sensor, self._color_profile, color),
        )[: 2 if self.sends_color else 1]:
            frame = rs.software_video_frame()
            frame.pixels = pixels
            frame.bpp = pixels.itemsize * (pixels.size // (HEIGHT * WIDTH))
            frame.stride = frame.bpp * WIDTH
            frame.timestamp, frame.domain = timestamp_ms, self._domain
            frame.frame_number, frame.profile = number, profile
            frame.depth_units = self._unit_m
            sensor.on_video_frame(frame)

    def start(self):
        """Send frames until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """Send nothing any more."""
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(1.0 / RATE_HZ):
            self.send()


def _stream(kind, pixel_format, pixel_bytes):
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.bpp = kind, pixel_format, pixel_bytes
    stream.uid = 0 if kind == rs.stream.depth else 1
    stream.width, stream.height, stream.fps = WIDTH, HEIGHT, RATE_HZ
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = WIDTH, HEIGHT
    intrinsics.ppx, intrinsics.ppy = 31.5, 23.5
    if kind == rs.stream.depth:
        intrinsics.fx = intrinsics.fy = 50.0
        intrinsics.model, intrinsics.coeffs = rs.distortion.brown_conrady, [0.0] * 5
    else:
        intrinsics.fx = intrinsics.fy = 60.0
        intrinsics.model = rs.distortion.inverse_brown_conrady
        intrinsics.coeffs = list(COLOR_LENS)
    stream.intrinsics = intrinsics
    return stream


def record(path: Path, frames: int, camera: SoftwareCamera, period_s=1.0 / RATE_HZ):
    """Record frames of a camera with librealsense's recorder; return the path.

    The kind of file that the installed version of librealsense writes: .bag, newer ones .db3.
    """
    for suffix in ('.bag', '.db3'):
        path = path.with_suffix(suffix)
        try:
            recorder = rs.recorder(str(path), camera.device)
            break
        except RuntimeError:
            continue
    queue = rs.frame_queue(2 * frames)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(queue)
    for _ in range(frames):
        camera.send()
        time.sleep(period_s)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    del recorder, sensors, sensor
    return path
