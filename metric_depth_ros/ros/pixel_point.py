# SPDX-License-Identifier: Apache-2.0
"""The metric point that is seen at a pixel, with its uncertainty. Imports no rclpy.

A pixel without a measurement of its own is refused: its neighbors may be of another surface, and
a point that is not there is worse than none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, PixelSpeaker
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.geometry.uncertainty import point_covariance
from metric_depth_ros.ros.dense_depth import DenseDepth
from metric_depth_ros.ros.query_parameters import UncertaintySettings
from metric_depth_ros.types import CameraModel, Frame

Pixel = tuple[float, float]  # (u, v), pixel centers at integer coordinates

_MOST_RELATIVE = 1.0  # that nothing is known is said by a standard deviation of the depth itself


@dataclass(frozen=True, eq=False)
class PixelPoint:
    """A point that is seen at a pixel.

    Parameters
    ----------
    stamp_ns, frame_id
        Stamp of the image that it was seen in, and the frame that it is given in, at first the
        optical frame of the image.
    pixel
        Where it was seen.
    point
        (3,) m.
    covariance
        (3, 3) m².
    sigma_depth
        Standard deviation along the optical axis, m.
    confidence
        Of the estimate at the pixel, None where the method gives none.
    method
        What answered.
    """

    stamp_ns: int
    frame_id: str
    pixel: Pixel
    point: NDArray[np.float64]
    covariance: NDArray[np.float64]
    sigma_depth: float
    confidence: float | None
    method: str


def point_of_dense(
    dense: DenseDepth, pixel: Pixel, settings: UncertaintySettings, method: str
) -> PixelPoint:
    """Return the point at a pixel of a dense estimate.

    Raises
    ------
    InputError
        ``'pixel_outside'``, ``'depth_unknown'``, ``'depth_beyond_range'``, ``'ray_missing'``.
    """
    column, row = nearest_pixel(pixel, (dense.camera.width, dense.camera.height))
    depth = float(dense.depth[row, column])
    if math.isinf(depth):
        raise InputError(
            'depth_beyond_range',
            f'pixel {_words(pixel)} sees nothing within range (parameter depth.max_range_m of the '
            'depth node), or the sky.',
        )
    if not depth > 0.0:
        raise InputError(
            'depth_unknown',
            f'no depth is known at pixel {_words(pixel)}: ask for another pixel, or lower '
            'depth.min_confidence of the depth node.',
        )
    confidence = None if dense.confidence is None else float(dense.confidence[row, column])
    sigma = math.hypot(
        depth * relative_sigma(confidence, settings),
        _spread(dense.depth, column, row, depth, settings.pixel_px),
    )
    return _placed(dense, pixel, depth, sigma, confidence, method, settings)


def point_of_estimator(
    estimator: Estimator, frame: Frame, pixel: Pixel, settings: UncertaintySettings
) -> PixelPoint:
    """Return the point at a pixel of an image, of an estimator that is asked now.

    One that answers single pixels is asked about this one only.

    Raises
    ------
    InputError
        As `point_of_dense`, and ``'answer_unreadable'`` where a language model states no distance.
    """
    height, width = frame.image.shape[:2]
    column, row = nearest_pixel(pixel, (width, height))
    if not isinstance(estimator, PixelSpeaker):
        estimate = estimator.estimate(frame)
        camera = _known(estimate.camera, estimator.name)
        dense = DenseDepth(
            frame.stamp_ns, frame.frame_id, estimate.depth, camera, estimate.confidence
        )
        return point_of_dense(dense, pixel, settings, estimate.method)
    (answer,) = estimator.query(frame, [(column, row)])
    if answer.failure:
        raise InputError('answer_unreadable', f'{estimator.name}: {answer.failure}')
    camera = _known(frame.camera, estimator.name)
    nothing = np.full((height, width), np.nan, np.float32)
    seen = DenseDepth(frame.stamp_ns, frame.frame_id, nothing, camera)
    depth = float(answer.point[2])
    sigma = depth * settings.answer_rel
    return _placed(seen, (column, row), depth, sigma, None, estimator.name, settings)


def in_frame(found: PixelPoint, transform: Transform, frame_id: str) -> PixelPoint:
    """Return a point in another frame.

    Parameters
    ----------
    found
        The point.
    transform
        (4, 4) to that frame from the one that it is in.
    frame_id
        Name of that frame.
    """
    turn, move = transform[:3, :3], transform[:3, 3]
    return replace(
        found,
        frame_id=frame_id,
        point=turn @ found.point + move,
        covariance=turn @ found.covariance @ turn.T,
    )


def nearest_pixel(pixel: Pixel, size: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel that holds a place in an image.

    Raises
    ------
    InputError
        ``'pixel_outside'``.
    """
    width, height = size
    u, v = pixel
    if not (-0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5):  # false for NaN, too
        raise InputError(
            'pixel_outside',
            f'pixel {_words(pixel)} is outside of the image of {width}x{height}: expected x from '
            f'0 to {width - 1} and y from 0 to {height - 1}.',
        )
    return math.floor(u + 0.5), math.floor(v + 0.5)


def relative_sigma(confidence: float | None, settings: UncertaintySettings) -> float:
    """Return the standard deviation of depth over depth that a confidence stands for.

    Parameters
    ----------
    confidence
        In [0, 1], None where there is none.
    settings
        What it means: 1 / (1 + (error / half)²) where ``quadratic``, 1 / (1 + error / half) where
        ``linear``.
    """
    if confidence is None or settings.confidence == 'none':
        return settings.unknown_rel
    if not confidence > 0.0:
        return _MOST_RELATIVE
    odds = max(0.0, 1.0 / confidence - 1.0)
    share = math.sqrt(odds) if settings.confidence == 'quadratic' else odds
    error = settings.half_confidence_error * share
    return min(_MOST_RELATIVE, math.hypot(settings.least_rel, error))


def _spread(
    depth: NDArray[np.float32], column: int, row: int, center: float, sigma_px: float
) -> float:
    """Return by how much depth differs within the place of a pixel: at an edge, a lot."""
    reach = math.ceil(sigma_px)
    window = depth[
        max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
    ].astype(np.float64)
    around = window[np.isfinite(window)]
    return float(np.sqrt(np.mean((around - center) ** 2)))


def _placed(
    seen: DenseDepth,
    pixel: Pixel,
    depth: float,
    sigma: float,
    confidence: float | None,
    method: str,
    settings: UncertaintySettings,
) -> PixelPoint:
    uv = np.array([pixel], np.float64)
    point = seen.camera.unproject(uv, np.array([depth]))[0]
    covariance = point_covariance(seen.camera, pixel, depth, sigma, settings.pixel_px)
    if not (np.isfinite(point).all() and np.isfinite(covariance).all()):
        raise InputError(
            'ray_missing',
            f'the lens model has no ray at pixel {_words(pixel)}: it is beyond the field that the '
            'camera was calibrated for.',
        )
    return PixelPoint(
        seen.stamp_ns, seen.frame_id, pixel, point, covariance, sigma, confidence, method
    )


def _known(camera: CameraModel | None, name: str) -> CameraModel:
    if camera is None:
        raise InputError(
            'camera_missing', f'{name} recovers no focal length: publish CameraInfo of the image.'
        )
    return camera


def _words(pixel: Pixel) -> str:
    return f'({pixel[0]:g}, {pixel[1]:g})'
