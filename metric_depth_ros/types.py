# SPDX-License-Identifier: Apache-2.0
"""The four nouns that carry the package: `CameraModel`, `SparsePrompt`, `Frame`, `DepthEstimate`.

Every sensor is turned into a `SparsePrompt`; every depth method takes a `Frame` and returns a
`DepthEstimate`. Imports `geometry` and NumPy only; everything above imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel

__all__ = ['CameraModel', 'DepthEstimate', 'Frame', 'Source', 'SparsePrompt']


class Source(IntEnum):
    """Kind of sensor that a prompt point came from."""

    UNKNOWN = 0
    LIDAR = 1
    RADAR = 2
    RGBD = 3
    LOW_RESOLUTION = 4


@dataclass(frozen=True, eq=False)
class SparsePrompt:
    """Metric depth known at some pixels: what every sensor becomes.

    Parameters
    ----------
    uv
        (N, 2) float32 pixels (u, v), inside the image; pixel centers at integer coordinates.
    depth
        (N,) float32 meters along the optical Z axis, positive and finite.
    sigma
        (N,) float32 meters, one standard deviation of `depth`.
    source
        (N,) uint8, a `Source` each.

    Raises
    ------
    ValueError
        Arrays of different lengths, or wrong shapes.
    """

    uv: NDArray[np.float32]
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    source: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n = len(self.depth)
        shapes = (self.uv.shape, self.depth.shape, self.sigma.shape, self.source.shape)
        if shapes != ((n, 2), (n,), (n,), (n,)):
            raise ValueError(
                'a prompt needs uv (N, 2), depth (N,), sigma (N,) and source (N,) of one length, '
                f'got {shapes}'
            )

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.depth)

    @classmethod
    def empty(cls) -> SparsePrompt:
        """Return a prompt without points."""
        return cls(
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.uint8),
        )

    @classmethod
    def merge(cls, prompts: Sequence[SparsePrompt]) -> SparsePrompt:
        """Return all points of several prompts of the same image, in order."""
        if not prompts:
            return cls.empty()
        if len(prompts) == 1:
            return prompts[0]
        return cls(
            np.concatenate([p.uv for p in prompts]),
            np.concatenate([p.depth for p in prompts]),
            np.concatenate([p.sigma for p in prompts]),
            np.concatenate([p.source for p in prompts]),
        )

    def to_map(self, width: int, height: int) -> NDArray[np.float32]:
        """Rasterize to the nearest pixels; the nearest depth wins where points share a pixel.

        Returns
        -------
        NDArray[np.float32]
            (height, width) meters, NaN where no point falls.
        """
        depth_map = np.full(height * width, np.inf, np.float32)
        column = np.rint(self.uv[:, 0]).astype(np.intp)
        row = np.rint(self.uv[:, 1]).astype(np.intp)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        np.minimum.at(depth_map, (row * width + column)[inside], self.depth[inside])
        depth_map[np.isinf(depth_map)] = np.nan
        return depth_map.reshape(height, width)

    def subset(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> SparsePrompt:
        """Return the points where `kept` (N,) is true, or those of the rows that it names."""
        return SparsePrompt(self.uv[kept], self.depth[kept], self.sigma[kept], self.source[kept])

    def subsample(self, count: int, rng: np.random.Generator) -> SparsePrompt:
        """Return at most `count` points drawn uniformly without replacement."""
        if len(self) <= count:
            return self
        return self.subset(np.sort(rng.choice(len(self), count, replace=False)))


@dataclass(frozen=True, eq=False)
class Frame:
    """One image with all that is known about it at its stamp.

    Parameters
    ----------
    stamp_ns
        Acquisition time of the image in nanoseconds of the clock its driver uses.
    frame_id
        Optical frame of the camera.
    image
        (H, W, 3) uint8 RGB.
    camera
        Geometry of the image, or None when the camera sent none.
    prompt
        Metric depth at some of its pixels, or None when no sensor gave any.

    Raises
    ------
    InputError
        An image that is not (H, W, 3) uint8, or a camera of another size.
    """

    stamp_ns: int
    frame_id: str
    image: NDArray[np.uint8]
    camera: CameraModel | None = None
    prompt: SparsePrompt | None = None

    def __post_init__(self) -> None:
        shape = self.image.shape
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or self.image.dtype != np.uint8:
            raise InputError(
                'image_shape',
                f'a frame needs an RGB image (H, W, 3) uint8, got {shape} {self.image.dtype}.',
            )
        if self.camera is not None and self.camera.size != (shape[1], shape[0]):
            raise InputError(
                'camera_size',
                f'the image is {shape[1]}x{shape[0]} but its camera is '
                f'{self.camera.width}x{self.camera.height}: publish a CameraInfo of the same '
                'size as the image (image_proc resize does both).',
            )


@dataclass(frozen=True, eq=False)
class DepthEstimate:
    """Dense metric depth of one frame.

    Parameters
    ----------
    depth
        (H, W) float32 meters along the optical Z axis (REP-118); NaN = unknown, +Inf = beyond
        range or sky (REP-117).
    confidence
        (H, W) float32 in [0, 1], or None when the method gives none.
    camera
        The frame's camera, or the one recovered from the image, or None.
    method
        The estimator that really answered, e.g. ``'classical/quality'``.
    timings_ms
        Wall time of the stages, in milliseconds.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None = None
    camera: CameraModel | None = None
    method: str = ''
    timings_ms: Mapping[str, float] = field(default_factory=dict)
