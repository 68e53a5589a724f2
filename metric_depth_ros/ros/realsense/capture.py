# SPDX-License-Identifier: Apache-2.0
"""The thread that keeps a camera open: waits for it, reads it, and opens it again when it is lost.

Every call of librealsense that may block is made here, so that a camera that was unplugged can
hang nothing but this thread. Knows no ROS.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.realsense.device import OpenCamera

_POLL_S = 0.1  # the thread notices at the latest after this that it is to end
_RETRY_FIRST_S = 0.25
_FIRST_FRAME_S = 5.0  # a camera that was just opened sets its exposure first


class Capture:
    """Frames of a camera, for as long as it is wanted.

    Parameters
    ----------
    open_camera
        Opens it, or raises InputError with why not.
    on_opened
        Called with every camera that was opened, before its first frame.
    on_frames
        Called with every frameset.
    report
        Called with the fault and a sentence for everything that goes wrong.
    timeout_s
        A camera that falls silent for this long is closed and opened again.
    retry_max_s
        Longest time between two attempts; the first come sooner.
    """

    def __init__(
        self,
        open_camera: Callable[[], OpenCamera],
        on_opened: Callable[[OpenCamera], None],
        on_frames: Callable[[Any], None],
        report: Callable[[str, str], None],
        timeout_s: float,
        retry_max_s: float,
    ) -> None:
        self.camera: OpenCamera | None = None
        self.problem: str | None = 'The camera has not been opened yet.'
        self.has_ended = False
        self.opened = 0
        self._open_camera = open_camera
        self._on_opened = on_opened
        self._on_frames = on_frames
        self._report = report
        self._timeout_s = timeout_s
        self._retry_max_s = retry_max_s
        self._retry_s = min(_RETRY_FIRST_S, retry_max_s)
        self._stop = threading.Event()
        # A daemon: a camera that hangs in librealsense cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='realsense', daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False if librealsense takes longer than the timeout."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._stream()
            except InputError as error:
                self._fail(error.fault, str(error))
            except Exception:
                self._fail('internal', traceback.format_exc())
            if self.has_ended:
                return
            self._stop.wait(self._retry_s)
            self._retry_s = min(2.0 * self._retry_s, self._retry_max_s)

    def _fail(self, fault: str, sentence: str) -> None:
        if self.problem is None:  # it was fine before: begin with short waits again
            self._retry_s = min(_RETRY_FIRST_S, self._retry_max_s)
        self.problem = sentence
        self._report(fault, sentence)

    def _stream(self) -> None:
        """Open the camera and pass on its frames until it is lost, or has ended."""
        camera = self._open_camera()
        try:
            if self._stop.is_set():  # it took so long that another one is at work by now
                return
            self._on_opened(camera)
            self.camera, self.opened = camera, self.opened + 1
            self._pass_on(camera)
        finally:
            self.camera = None
            try:
                camera.close()
            except RuntimeError as error:  # of a camera that is gone
                self._report('camera_close', f'librealsense cannot close the camera: {error}')

    def _pass_on(self, camera: OpenCamera) -> None:
        limit_s = max(self._timeout_s, _FIRST_FRAME_S)
        while True:
            frames = camera.wait(_POLL_S)
            if self._stop.is_set():
                return
            if frames is not None:
                self.problem, limit_s = None, self._timeout_s
                self._deliver(frames)
                self._refuse_dead_stream(camera)
            elif camera.has_ended:
                self.problem, self.has_ended = None, True
                return
            elif not camera.is_connected:
                raise InputError(
                    'camera_lost', 'the camera was unplugged: it is opened again when it is back.'
                )
            elif camera.silent_s > limit_s:
                raise InputError(
                    'camera_silent',
                    f'the camera has sent nothing for {camera.silent_s:.1f} s (parameter '
                    f'timeout_s, which is {self._timeout_s:g}; {_FIRST_FRAME_S:g} at least after '
                    'it was opened): it is opened again. Check its cable; higher rates and '
                    'resolutions need a USB 3 port.',
                )

    def _refuse_dead_stream(self, camera: OpenCamera) -> None:
        """Give a camera up of which one stream is silent while the other goes on."""
        stream, silent_s = camera.quietest
        limit_s = max(self._timeout_s, _FIRST_FRAME_S)
        if silent_s > limit_s and not camera.is_recording:
            raise InputError(
                'camera_silent',
                f'the {stream} stream has sent nothing new for {silent_s:.1f} s (parameter '
                f'timeout_s, but {_FIRST_FRAME_S:g} at least), while the other goes on: the '
                'camera is opened again. Check its cable.',
            )

    def _deliver(self, frames: Any) -> None:
        try:
            self._on_frames(frames)
        except InputError as error:
            self._report(error.fault, str(error))
        except Exception:  # a defect costs this frame, not the camera
            self._report('internal', f'a frame failed: {traceback.format_exc()}')
