# SPDX-License-Identifier: Apache-2.0
"""`CameraModel`: the geometry of one image, and nothing else.

May import the sibling `distortion` and NumPy. Knows no ROS type: `codecs.camera_info` translates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.distortion import Distortion, FloatArray

MAX_IMAGE_SIDE_PX = 32_768  # a header that claims more is corrupt; refused before any allocation
MAX_IMAGE_PIXELS = 1 << 27  # four times 8K: an estimator needs a hundred bytes for each


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Size, intrinsics and lens distortion of the image at hand (REP-104).

    ROI and binning are already applied: the model describes the pixels that arrived, not the
    sensor they were cut from.

    Parameters
    ----------
    width, height
        Image size in pixels.
    K
        (3, 3) float64 intrinsics in pixels, pixel centers at integer coordinates.
    distortion
        Lens model of the image; the default is an ideal pinhole.
    R
        (3, 3) rectification rotation, carried for CameraInfo.
    P
        (3, 4) projection of the rectified image, carried for CameraInfo; default ``[K | 0]``.

    Raises
    ------
    InputError
        A size outside 1..32768, focal lengths that are not positive, or values not finite.
    """

    width: int
    height: int
    K: NDArray[np.float64]
    distortion: Distortion = field(default_factory=Distortion)
    R: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    P: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name, side in (('width', self.width), ('height', self.height)):
            if not 1 <= side <= MAX_IMAGE_SIDE_PX:
                raise InputError(
                    'camera_size',
                    f'camera {name} is {side}, expected 1 to {MAX_IMAGE_SIDE_PX} pixels: check '
                    f'CameraInfo.{name}.',
                )
        K = _read_only(self.K, (3, 3), 'K')
        if not (K[0, 0] > 0.0 and K[1, 1] > 0.0):
            raise InputError(
                'camera_uncalibrated',
                f'focal lengths are fx={K[0, 0]:g}, fy={K[1, 1]:g} px, expected positive: the '
                'camera is not calibrated (CameraInfo.k[0] = 0). Calibrate it with '
                'camera_calibration or give the driver its calibration file.',
            )
        P = _pad(K) if self.P is None else self.P
        object.__setattr__(self, 'K', K)
        object.__setattr__(self, 'R', _read_only(self.R, (3, 3), 'R'))
        object.__setattr__(self, 'P', _read_only(P, (3, 4), 'P'))

    @classmethod
    def pinhole(
        cls, width: int, height: int, fx: float, fy: float, cx: float, cy: float
    ) -> CameraModel:
        """Return an ideal pinhole from its four intrinsics in pixels."""
        return cls(width, height, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))

    @classmethod
    def of_rectified(cls, width: int, height: int, P: NDArray[np.float64]) -> CameraModel:
        """Return the camera of a rectified image from its projection matrix (3, 4)."""
        if not P[0, 0] > 0.0:
            raise InputError(
                'camera_uncalibrated',
                f'CameraInfo.p[0] is {P[0, 0]:g}, expected a positive focal length for a '
                'rectified image: set the parameter camera.rectified (of a depth camera: '
                'prompt.depth_rectified) to false for a raw image.',
            )
        return cls(width, height, P[:, :3], P=P)

    def _key(self) -> tuple[object, ...]:
        matrices = (self.K, self.R, self._projection())
        return (self.width, self.height, self.distortion, *(m.tobytes() for m in matrices))

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that a changed calibration is noticed and caches can be keyed."""
        return isinstance(other, CameraModel) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash by value."""
        return hash(self._key())

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def fov_x_deg(self) -> float:
        """Horizontal field of view of the pinhole part, in degrees."""
        return float(np.degrees(2.0 * np.arctan(0.5 * self.width / self.K[0, 0])))

    def project(self, xyz: FloatArray) -> FloatArray:
        """Project points of the optical frame to pixels, through the distortion.

        Parameters
        ----------
        xyz
            (..., 3) points in meters.

        Returns
        -------
        FloatArray
            (..., 2) pixels (u, v) in the dtype of `xyz`, not limited to the image; NaN for points
            at or behind the camera plane, or outside the calibrated field of the lens.
        """
        with np.errstate(divide='ignore', invalid='ignore'):
            inverse_z = np.where(xyz[..., 2] > 0.0, 1.0 / xyz[..., 2], np.nan)
        inverse_z = inverse_z.astype(xyz.dtype, copy=False)
        return self.normalized_to_pixel(xyz[..., :2] * inverse_z[..., None])

    def normalized_to_pixel(self, xy: FloatArray) -> FloatArray:
        """Map ideal normalized points (..., 2) through the lens to pixels, same dtype."""
        xy = self.distortion.distort(xy)
        uv = np.empty_like(xy)
        K = self.K
        uv[..., 0] = xy[..., 0] * K[0, 0] + K[0, 2]
        if K[0, 1]:
            uv[..., 0] += xy[..., 1] * K[0, 1]
        uv[..., 1] = xy[..., 1] * K[1, 1] + K[1, 2]
        return uv

    def pixel_to_normalized(self, uv: FloatArray) -> FloatArray:
        """Map pixels (..., 2) to ideal normalized points X/Z, Y/Z; NaN where no ray exists."""
        K = self.K
        xy = np.empty(uv.shape, np.result_type(uv.dtype, np.float32))
        xy[..., 1] = (uv[..., 1] - K[1, 2]) / K[1, 1]
        xy[..., 0] = (uv[..., 0] - K[0, 2] - K[0, 1] * xy[..., 1]) / K[0, 0]
        return self.distortion.undistort(xy)

    def unproject(self, uv: FloatArray, depth: FloatArray) -> FloatArray:
        """Lift pixels with depth to points of the optical frame.

        Parameters
        ----------
        uv
            (..., 2) pixels.
        depth
            (...) meters along the optical Z axis (REP-118), not range along the ray.

        Returns
        -------
        FloatArray
            (..., 3) meters.
        """
        xy = self.pixel_to_normalized(uv)
        return np.concatenate((xy * depth[..., None], depth[..., None]), axis=-1)

    def rectified(self) -> CameraModel:
        """Return the camera of the rectified image: P's left 3x3, no distortion (REP-104)."""
        return self.of_rectified(self.width, self.height, self._projection())

    def cropped(self, x_offset: int, y_offset: int, width: int, height: int) -> CameraModel:
        """Return the camera of the window that starts at pixel (x_offset, y_offset)."""
        shift = np.array([[0.0, 0.0, x_offset], [0.0, 0.0, y_offset], [0.0, 0.0, 0.0]])
        return replace(
            self, width=width, height=height, K=self.K - shift, P=self._projection() - _pad(shift)
        )

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the camera of the image resampled to a new size.

        Pixel *edges* coincide, as in `cv2.resize`: cx' = (cx + 1/2) s - 1/2.
        """
        sx, sy = width / self.width, height / self.height
        scale = np.array(
            [[sx, 0.0, 0.5 * (sx - 1.0)], [0.0, sy, 0.5 * (sy - 1.0)], [0.0, 0.0, 1.0]]
        )
        return self._scaled(width, height, scale)

    def binned(self, binning_x: int, binning_y: int) -> CameraModel:
        """Return the camera after sensor binning, as REP-104 scales it: cx' = cx / binning."""
        scale = np.diag((1.0 / binning_x, 1.0 / binning_y, 1.0))
        return self._scaled(self.width // binning_x, self.height // binning_y, scale)

    def _scaled(self, width: int, height: int, scale: NDArray[np.float64]) -> CameraModel:
        return replace(
            self, width=width, height=height, K=scale @ self.K, P=scale @ self._projection()
        )

    def _projection(self) -> NDArray[np.float64]:
        assert self.P is not None  # set by __post_init__; None only in the constructor's call
        return self.P


def _pad(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack((matrix, np.zeros((3, 1))))


def _read_only(values: ArrayLike, shape: tuple[int, int], name: str) -> NDArray[np.float64]:
    """Return a private, finite, read-only float64 copy of the expected shape."""
    matrix = np.array(values, np.float64)
    if matrix.size != shape[0] * shape[1]:
        raise InputError(
            'camera_matrix', f'camera matrix {name} has {matrix.size} values, expected {shape}.'
        )
    matrix = matrix.reshape(shape)
    if not np.isfinite(matrix).all():
        raise InputError(
            'camera_matrix', f'camera matrix {name} has values that are not finite: {matrix}.'
        )
    matrix.setflags(write=False)
    return matrix
