# SPDX-License-Identifier: Apache-2.0
"""Frames, depth, clouds and figures for the Rerun viewer. Loads rerun-sdk, which is optional.

A log is a file (``FILE.rrd``) or a viewer (``live`` starts one here; ``rerun+http://HOST:PORT/proxy``
connects to one). Entities below ``world`` are placed in 3-D, those below ``figures`` are curves
over time:

``world/camera`` (pose), ``world/camera/image`` (pinhole and picture), ``.../image/prompt``,
``.../image/depth``, ``.../image/confidence``, ``.../image/ground_truth``, ``world/camera/cloud``,
``world/surface/N`` and ``figures/NAME``.

Rerun's camera is a pinhole: a lens that distorts is shown without its distortion, and the cloud is
the one that is right.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.evaluation.pictures import colorize_depth, depth_range
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.types import DepthEstimate, Frame

_LOGGER = logging.getLogger(__name__)
APPLICATION = 'metric_depth_ros'
STAMP, FRAME = 'stamp', 'frame'  # the timelines
LIVE = 'live'
_METRICS = ('abs_rel', 'mae_m', 'rmse_m', 'delta1')
_JPEG_QUALITY = 85
_CLOUD_POINTS = 60_000
_PROMPT_RADIUS_PX = 1.5
_PORTS = {'rerun+http': 80, 'rerun+https': 443}  # where a URL names none
_ANSWER_S = 5.0  # a viewer that runs takes a connection within
_FAILURES = (OSError, RuntimeError, ValueError)  # of rerun-sdk


class RerunLog:
    """A recording for the Rerun viewer. A context manager.

    Parameters
    ----------
    target
        ``FILE.rrd``, ``live``, or the URL of a viewer.

    Raises
    ------
    InputError
        rerun-sdk is not installed, or the target is none of these or cannot be used.
    """

    def __init__(self, target: str) -> None:
        self._rerun = _import_rerun()
        self._recording = self._rerun.RecordingStream(APPLICATION)
        self._frames = 0
        self._surfaces = 0
        self._open(target)

    def __enter__(self) -> RerunLog:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is not yet written; a failure is a warning, since the work itself is done."""
        try:
            try:
                self._recording.flush()
            finally:
                self._recording.disconnect()
        except _FAILURES as failure:
            _LOGGER.warning('--rerun: the log is not complete: %s', _first_line(failure))

    def frame(
        self,
        frame: Frame,
        estimate: DepthEstimate,
        *,
        ground_truth: NDArray[np.float32] | None = None,
        T_world_camera: Transform | None = None,
        latency_ms: float = math.nan,
        group: str = '',
    ) -> None:
        """Log one frame and what was made of it.

        Parameters
        ----------
        frame, estimate
            What the sensors saw, and the depth.
        ground_truth
            (H, W) meters, NaN where unknown.
        T_world_camera
            (4, 4) place of the camera, where it is known.
        latency_ms
            How long the depth took, NaN where that is not known.
        group
            Parts of one log that are shown apart, e.g. the name of a frame set.
        """
        rerun, log = self._rerun, self._recording.log
        self._recording.set_time(FRAME, sequence=self._frames)
        self._recording.set_time(STAMP, timestamp=np.datetime64(frame.stamp_ns, 'ns'))
        self._frames += 1
        root = self._path(group)
        camera = estimate.camera or frame.camera
        image_path = f'{root}world/camera/image'
        if T_world_camera is not None:
            place = rerun.Transform3D(
                translation=T_world_camera[:3, 3], mat3x3=T_world_camera[:3, :3]
            )
            log(f'{root}world/camera', place)
        if camera is not None:
            log(image_path, _pinhole(rerun, camera))
        log(image_path, rerun.Image(frame.image).compress(jpeg_quality=_JPEG_QUALITY))
        self._log_maps(image_path, frame, estimate, ground_truth)
        if camera is not None:
            points, colors = _cloud(camera, estimate.depth, frame.image)
            log(f'{root}world/camera/cloud', rerun.Points3D(points, colors=colors))
        for name, value in _figures(estimate, ground_truth, latency_ms).items():
            if math.isfinite(value):
                log(f'{root}figures/{name}', rerun.Scalars([float(value)]))

    def surface(
        self,
        vertices: NDArray[np.float32],
        colors: NDArray[np.uint8],
        triangles: NDArray[np.int32],
    ) -> None:
        """Log a part of a surface in the world, at the time of the newest frame."""
        mesh = self._rerun.Mesh3D(
            vertex_positions=vertices, vertex_colors=colors, triangle_indices=triangles
        )
        self._recording.log(f'world/surface/{self._surfaces}', mesh)
        self._surfaces += 1

    def _log_maps(
        self,
        path: str,
        frame: Frame,
        estimate: DepthEstimate,
        ground_truth: NDArray[np.float32] | None,
    ) -> None:
        rerun, log = self._rerun, self._recording.log
        near, far = depth_range(estimate.depth)
        maps = {'depth': estimate.depth}
        if ground_truth is not None:
            maps['ground_truth'] = ground_truth
        for name, depth in maps.items():
            known = np.where(np.isfinite(depth), depth, np.float32(0.0))  # 0: nothing known
            log(f'{path}/{name}', rerun.DepthImage(known, meter=1.0, depth_range=(near, far)))
        if estimate.confidence is not None:
            shade = np.clip(np.nan_to_num(estimate.confidence) * 255.0, 0.0, 255.0)
            log(f'{path}/confidence', rerun.Image(shade.astype(np.uint8)))
        if frame.prompt is not None:
            colors = colorize_depth(frame.prompt.depth[None], (near, far))[0]
            log(
                f'{path}/prompt',
                rerun.Points2D(frame.prompt.uv + 0.5, colors=colors, radii=_PROMPT_RADIUS_PX),
            )

    def _path(self, group: str) -> str:
        return f'{self._rerun.escape_entity_path_part(group)}/' if group else ''

    def _open(self, target: str) -> None:
        try:
            if target == LIVE:
                with _own_programs_first():
                    self._recording.spawn()
            elif target.startswith('rerun+http'):
                _refuse_silence(target)
                self._recording.connect_grpc(target)
            elif Path(target).suffix == '.rrd':
                self._recording.save(target)
            else:
                raise InputError(
                    'rerun',
                    f'--rerun {target}: expected FILE.rrd, live, or rerun+http://HOST:PORT/proxy.',
                )
        except InputError:
            raise
        except _FAILURES as error:
            raise InputError(
                'rerun', f'--rerun {target} cannot be used: {_first_line(error)}'
            ) from error


def _import_rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise InputError(
            'rerun',
            "--rerun needs rerun-sdk, which is not installed: pip install 'rerun-sdk>=0.24'.",
        ) from error
    if not hasattr(rerun, 'RecordingStream'):  # another package of this name
        raise InputError(
            'rerun', 'the installed package rerun is not rerun-sdk: pip install rerun-sdk.'
        )
    return rerun


def _refuse_silence(url: str) -> None:
    """Refuse a viewer that is not there: rerun-sdk would say so when the work is done."""
    parts = urlsplit(url)
    place = parts.hostname or '', parts.port or _PORTS.get(parts.scheme, 0)
    try:
        socket.create_connection(place, _ANSWER_S).close()
    except OSError as error:
        raise InputError(
            'rerun',
            f'--rerun {url}: no viewer answers there ({error.strerror or error}): start one with '
            '`rerun`, or name a file, FILE.rrd.',
        ) from error


@contextmanager
def _own_programs_first() -> Iterator[None]:
    """Let the viewer that came with rerun-sdk be found where no virtual environment is active."""
    before = os.environ.get('PATH', os.defpath)
    os.environ['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{before}'
    try:
        yield
    finally:
        os.environ['PATH'] = before


def _first_line(error: Exception) -> str:
    """Return what failed, without the pages of rerun-sdk's own advice."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _figures(
    estimate: DepthEstimate, ground_truth: NDArray[np.float32] | None, latency_ms: float
) -> dict[str, float]:
    """Return the numbers that are curves over time."""
    figures = {
        'latency_ms': latency_ms,
        'coverage': float(np.isfinite(estimate.depth).mean()),
    }
    if ground_truth is not None:
        metrics = error_sums(estimate.depth, ground_truth).metrics()
        figures |= {name: metrics[name] for name in _METRICS}
    return figures


def _pinhole(rerun: Any, camera: CameraModel) -> Any:
    return rerun.Pinhole(
        image_from_camera=camera.K,
        width=camera.width,
        height=camera.height,
        camera_xyz=rerun.ViewCoordinates.RDF,
    )


def _cloud(
    camera: CameraModel, depth: NDArray[np.float32], image: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return at most `_CLOUD_POINTS` points of a regular choice of pixels."""
    step = max(1, int(np.ceil(np.sqrt(depth.size / _CLOUD_POINTS))))
    points = depth_to_points(camera, depth)[::step, ::step].reshape(-1, 3)
    known = np.isfinite(points).all(axis=1)
    return points[known], image[::step, ::step].reshape(-1, 3)[known]
