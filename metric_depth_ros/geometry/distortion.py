# SPDX-License-Identifier: Apache-2.0
"""Lens distortion on the normalized image plane: plumb_bob, rational_polynomial, equidistant.

A normalized point is (x, y) = (X/Z, Y/Z). `distort` maps ideal points to where the lens puts
them; `undistort` is its inverse by Newton's method. Models and coefficient orders are those of
sensor_msgs/CameraInfo (REP-104), which are OpenCV's. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError

FloatArray = NDArray[np.floating]

# Coefficient counts that each model of CameraInfo may carry; 0 means an ideal pinhole.
COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 8),
    'equidistant': (0, 4),
}
_PLAIN_TERMS, _MOST_TERMS = 5, 8  # of plumb_bob and rational_polynomial
_FISHEYE_TERMS = 4
_IDEAL_NAMES = ('', 'none', 'ideal')  # what drivers call a lens without coefficients
_NEWTON_STEPS = 20
_NEWTON_TOLERANCE = 1e-10  # on the normalized plane; far below 1e-3 px for any real focal length
# Tan of 85 degrees, where the rays of every lens end. A polynomial means nothing beyond. A fisheye
# sees more, but depth along the axis says little there: a point at depth z is 12 z away, and of a
# lens with f = 380 px the next pixel is 3 % farther; at 89 degrees 15 %, at 90 infinitely far.
_WIDEST_SLOPE = 12.0


@dataclass(frozen=True)
class Distortion:
    """A lens distortion model with its coefficients.

    Parameters
    ----------
    model
        ``'plumb_bob'``, ``'rational_polynomial'`` or ``'equidistant'``.
    coefficients
        k1, k2, p1, p2[, k3[, k4, k5, k6]], or k1..k4 for ``'equidistant'``. An empty tuple is an
        ideal lens: pinhole for the first two, f * theta for the fisheye model.

    Raises
    ------
    InputError
        Unknown model, wrong number of coefficients, or a coefficient that is not finite.
    """

    model: str = 'plumb_bob'
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        counts = COEFFICIENT_COUNTS.get(self.model)
        if counts is None:
            raise InputError(
                'distortion_model',
                f'distortion model {self.model!r} is not supported: expected one of '
                f'{", ".join(COEFFICIENT_COUNTS)}. Rectify the image upstream (image_proc) and '
                'set the parameter camera.rectified (of a depth camera: prompt.depth_rectified) '
                'to true.',
            )
        if len(self.coefficients) not in counts:
            raise InputError(
                'distortion_coefficients',
                f'{self.model} takes {" or ".join(map(str, counts))} distortion coefficients, '
                f'got {len(self.coefficients)}: check CameraInfo.d.',
            )
        if not all(np.isfinite(self.coefficients)):
            raise InputError(
                'distortion_coefficients',
                f'distortion coefficients must be finite, got {list(self.coefficients)}: '
                'check CameraInfo.d.',
            )

    @classmethod
    def calibrated(cls, model: str, coefficients: tuple[float, ...]) -> Distortion:
        """Return the lens of a calibration, as drivers and calibration files give it.

        They have any number of values under either name of the polynomial lens, zeros for those
        that theirs does not have. As in OpenCV and image_geometry the values decide, not the name.
        A fisheye may have zeros after its four, and a lens without values may be called none.

        Raises
        ------
        InputError
            As for the class; or the lens has terms beyond k6.
        """
        used = max((place for place, value in enumerate(coefficients, 1) if value), default=0)
        if used == 0 and model.lower() in _IDEAL_NAMES:
            return cls()
        if model == 'equidistant' and used <= _FISHEYE_TERMS:
            return cls(model, coefficients[:_FISHEYE_TERMS])
        if model not in ('plumb_bob', 'rational_polynomial'):
            return cls(model, coefficients)
        if used > _MOST_TERMS:
            raise InputError(
                'distortion_coefficients',
                f'distortion coefficients of {model} are {list(coefficients)}, expected zeros '
                f'after the first {_MOST_TERMS} (k1, k2, p1, p2, k3 to k6): the terms of thin '
                'prisms and tilted sensors are not supported. Rectify the image upstream '
                '(image_proc) and set the parameter camera.rectified (of a depth camera: '
                'prompt.depth_rectified) to true.',
            )
        if used == 0:
            return cls()
        plain = used <= _PLAIN_TERMS
        count = _PLAIN_TERMS if plain else _MOST_TERMS
        padded = (coefficients + (0.0,) * count)[:count]
        return cls('plumb_bob' if plain else 'rational_polynomial', padded)

    @property
    def is_identity(self) -> bool:
        """True when the lens is an ideal pinhole, so that both mappings may be skipped."""
        return self.model != 'equidistant' and not any(self.coefficients)

    def distort(self, xy: FloatArray) -> FloatArray:
        """Map ideal normalized points to distorted ones.

        Parameters
        ----------
        xy
            (..., 2) normalized points X/Z, Y/Z.

        Returns
        -------
        FloatArray
            (..., 2), same dtype. NaN where the polynomial has folded over, and more than 85
            degrees off axis, of a fisheye as of any other lens but an ideal pinhole: such a ray
            lies outside what a polynomial was calibrated for, and its image would be a ghost; a
            fisheye sees it, but at a depth along the axis that is next to nothing.
        """
        if self.is_identity:
            return xy
        if self.model == 'equidistant':
            return _distort_fisheye(xy, self._padded(4))
        distorted = _distort_polynomial(xy, self._padded(8))
        # Where no fold was found, one may still come beyond the limit of the search.
        r2 = xy[..., 0] ** 2 + xy[..., 1] ** 2
        distorted[r2 > _monotonic_radius(self) ** 2] = np.nan
        return distorted

    def undistort(self, xy: FloatArray) -> FloatArray:
        """Map distorted normalized points back to ideal ones.

        Parameters
        ----------
        xy
            (..., 2) distorted normalized points.

        Returns
        -------
        FloatArray
            (..., 2), same dtype; NaN where no ray of the lens reaches the point that `distort`
            would map there, which leaves a fisheye 85 degrees to every side.
        """
        if self.is_identity:
            return xy
        exact = xy.astype(np.float64)
        if self.model == 'equidistant':
            ideal = _undistort_fisheye(exact, self._padded(4))
        else:
            ideal = _undistort_polynomial(exact, self._padded(8))
            r2 = ideal[..., 0] ** 2 + ideal[..., 1] ** 2
            with np.errstate(invalid='ignore'):
                ideal[r2 > _monotonic_radius(self) ** 2] = np.nan
        return ideal.astype(xy.dtype, copy=False)

    def _padded(self, count: int) -> tuple[float, ...]:
        return self.coefficients + (0.0,) * (count - len(self.coefficients))


def _distort_polynomial(xy: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    """Brown-Conrady with an optional rational denominator (OpenCV's 8-parameter model)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = coefficients
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if k4 or k5 or k6:
        radial = radial / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    cross = 2.0 * x * y
    out = np.empty_like(xy)
    out[..., 0] = x * radial + p1 * cross + p2 * (r2 + 2.0 * x * x)
    out[..., 1] = y * radial + p1 * (r2 + 2.0 * y * y) + p2 * cross
    return out


def _polynomial_jacobian(
    xy: FloatArray, coefficients: tuple[float, ...]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Partial derivatives (xx, xy, yx, yy) of `_distort_polynomial`."""
    k1, k2, p1, p2, k3, k4, k5, k6 = coefficients
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    top = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bottom = 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
    d_top = k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3)
    d_bottom = k4 + r2 * (2.0 * k5 + 3.0 * r2 * k6)
    radial = top / bottom
    slope = 2.0 * (d_top * bottom - top * d_bottom) / (bottom * bottom)  # d radial / d(r2) * 2
    mixed = x * y * slope + 2.0 * (p1 * x + p2 * y)
    return (
        radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
        mixed,
        mixed,
        radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
    )


def _undistort_polynomial(target: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    """Invert `_distort_polynomial` in float64 by Newton's method, all points at once."""
    ideal = target.copy()
    with np.errstate(all='ignore'):
        for _ in range(_NEWTON_STEPS):
            error = _distort_polynomial(ideal, coefficients) - target
            xx, xy, yx, yy = _polynomial_jacobian(ideal, coefficients)
            determinant = xx * yy - xy * yx
            step = np.stack(
                (
                    (yy * error[..., 0] - xy * error[..., 1]) / determinant,
                    (xx * error[..., 1] - yx * error[..., 0]) / determinant,
                ),
                axis=-1,
            )
            ideal -= step
            if not np.any(np.abs(step) > _NEWTON_TOLERANCE):
                break
        residual = np.abs(_distort_polynomial(ideal, coefficients) - target).max(axis=-1)
        ideal[~(residual < 1e-7)] = np.nan
    return ideal


def _fisheye_angle(theta: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    k1, k2, k3, k4 = coefficients
    t2 = theta * theta
    return theta * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))


def _fisheye_slope(theta: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    k1, k2, k3, k4 = coefficients
    t2 = theta * theta
    return 1.0 + t2 * (3.0 * k1 + t2 * (5.0 * k2 + t2 * (7.0 * k3 + t2 * 9.0 * k4)))


@lru_cache(maxsize=64)
def _fisheye_limit(coefficients: tuple[float, ...]) -> float:
    """Largest angle from the axis that is in use and up to which the polynomial still grows."""
    theta = np.linspace(0.0, np.arctan(_WIDEST_SLOPE), 2048)
    falling = np.flatnonzero(_fisheye_slope(theta, coefficients) <= 0.0)
    return float(theta[falling[0] if falling.size else -1])


def _distort_fisheye(xy: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    radius = np.hypot(xy[..., 0], xy[..., 1])
    theta = np.arctan(radius)
    with np.errstate(divide='ignore', invalid='ignore'):
        scale = np.where(radius > 1e-8, _fisheye_angle(theta, coefficients) / radius, 1.0)
    scale[theta > _fisheye_limit(coefficients)] = np.nan
    return xy * scale[..., None].astype(xy.dtype, copy=False)


def _undistort_fisheye(target: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    radius = np.hypot(target[..., 0], target[..., 1])
    limit = _fisheye_limit(coefficients)
    theta = np.minimum(radius, limit)
    with np.errstate(all='ignore'):
        for _ in range(_NEWTON_STEPS):
            error = _fisheye_angle(theta, coefficients) - radius
            step = error / _fisheye_slope(theta, coefficients)
            theta = np.clip(theta - step, 0.0, limit)
            if not np.any(np.abs(step) > _NEWTON_TOLERANCE):
                break
        missed = np.abs(_fisheye_angle(theta, coefficients) - radius) > 1e-7
        theta = np.where(missed, np.nan, theta)
        scale = np.where(radius > 1e-8, np.tan(theta) / radius, 1.0)
    return target * scale[..., None]


@lru_cache(maxsize=64)
def _monotonic_radius(distortion: Distortion) -> float:
    """Largest ideal radius up to which the radial polynomial still grows outward."""
    k1, k2, _, _, k3, k4, k5, k6 = distortion._padded(8)
    radius = np.linspace(0.0, _WIDEST_SLOPE, 8192)
    r2 = radius * radius
    with np.errstate(divide='ignore', invalid='ignore'):
        radial = (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        growing = np.diff(radius * radial) > 0.0
    stalled = np.flatnonzero(~growing)
    return float(radius[stalled[0]]) if stalled.size else _WIDEST_SLOPE
