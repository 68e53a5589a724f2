# SPDX-License-Identifier: Apache-2.0
"""The frames of a set: what each has, and its pixels, points and prompts when asked for.

May import `types` and `prompting`: a prompt is made by the same code as a live sensor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.stored_arrays import (
    load_arrays,
    load_color_image,
    load_depth_map,
    load_points,
    plane_of_numbers,
    read_png,
    size_text,
)
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud, prompt_from_projected_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.prompting.radar import (
    RADAR_SIGMA_M,
    RADAR_SIGMA_REL,
    prompt_from_radar,
)
from metric_depth_ros.types import CameraModel, Frame, Source, SparsePrompt

INDEX_NAME = 'frames.json'
PROMPT_FORMATS = ('depth_map', 'points')
PROMPT_KINDS = ('lidar', 'radar', 'rgbd', 'lowres', 'random')
GROUND_TRUTH_KINDS = ('dense', 'semi-dense', 'points', 'sensor')

_SOURCE = {
    'lidar': Source.LIDAR,
    'radar': Source.RADAR,
    'rgbd': Source.RGBD,
    'lowres': Source.LOW_RESOLUTION,
    'random': Source.UNKNOWN,
}
# One standard deviation of depth: hypot(meters, share of depth).
_SIGMA = {
    'lidar': (0.02, 0.005),
    'radar': (RADAR_SIGMA_M, RADAR_SIGMA_REL),
    'rgbd': (0.005, 0.01),
    'lowres': (0.0, 0.02),
    'random': (0.01, 0.002),
}
# Relative; what single precision makes of stored integers times a scale, at most.
_ROUNDING = 2.0 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class PromptEntry:
    """Where one prompt of a frame lies and how to read it.

    Parameters
    ----------
    path
        16-bit PNG of the image size (``'depth_map'``) or ``.npz`` with ``xyz`` (``'points'``).
    format, kind
        One of `PROMPT_FORMATS` and of `PROMPT_KINDS`.
    scale
        Meters per unit of the stored values.
    T_camera_sensor
        (4, 4) transform of the points into the camera optical frame.
    scored
        True when metrics against the ground truth make sense for this prompt.
    low_resolution_path
        The original small depth map that a ``'lowres'`` prompt was spread from, or None.
    stamp_ns
        Time of the sensor where it is known besides that of the image.
    """

    path: Path
    format: str
    kind: str
    scale: float
    T_camera_sensor: NDArray[np.float64]
    scored: bool
    low_resolution_path: Path | None = None
    stamp_ns: int | None = None

    @property
    def is_projected_cloud(self) -> bool:
        """Whether it is a depth map of points that somebody has projected into the image."""
        is_map = self.format == 'depth_map' and self.low_resolution_path is None
        return is_map and self.kind != 'rgbd'

    @property
    def sigma(self) -> tuple[float, float]:
        """One standard deviation of depth: meters, and share of depth."""
        return _SIGMA[self.kind]


@dataclass(frozen=True)
class GroundTruthEntry:
    """Where the ground truth of a frame lies, its kind, and the depths that count (meters)."""

    path: Path
    scale: float
    kind: str
    min_m: float
    max_m: float


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One image of a frame set; loads its pixels, points and maps when asked to.

    Parameters
    ----------
    id
        Name of the frame, unique in its set.
    width, height
        Size of the image in pixels.
    camera
        Geometry of the image, or None where it is unknown.
    stamp_ns
        Acquisition time in nanoseconds, or None where it is unknown.
    prompts, masks
        By name.
    details
        The frame's own part of the index, for keys that only one set has (``pose``, ``sample``).
    """

    id: str
    width: int
    height: int
    image_path: Path
    camera: CameraModel | None
    stamp_ns: int | None
    prompts: Mapping[str, PromptEntry]
    ground_truth: GroundTruthEntry | None
    masks: Mapping[str, Path]
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def prompt_names(self, scored_only: bool = True) -> list[str]:
        """Return the names of the prompts, by default of those that can be scored."""
        scorable = self.ground_truth is not None
        return [
            name
            for name, entry in self.prompts.items()
            if not scored_only or (entry.scored and scorable)
        ]

    def load_image(self) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8 RGB."""
        image = load_color_image(self.image_path)
        self._check_size(image, self.image_path)
        return image

    def load_ground_truth(self) -> NDArray[np.float32]:
        """Return (H, W) float32 meters along the optical axis; NaN where none counts.

        Raises
        ------
        InputError
            The frame has no ground truth, or its file cannot be used.
        """
        entry = self.ground_truth
        if entry is None:
            raise InputError(
                'frame_set_ground_truth', f'frame {self.id} has no ground truth to score against.'
            )
        if entry.path.suffix == '.npz':
            stored = load_arrays(entry.path, 'depth')['depth']
            depth = plane_of_numbers(stored, entry.path) * np.float32(entry.scale)
        else:
            depth = load_depth_map(entry.path, entry.scale)
        self._check_size(depth, entry.path)
        least, most = entry.min_m * (1.0 - _ROUNDING), entry.max_m * (1.0 + _ROUNDING)
        with np.errstate(invalid='ignore'):
            counted = (depth >= least) & (depth <= most) & (depth > 0.0)
        return np.where(counted, depth, np.float32(np.nan))

    def load_mask(self, name: str) -> NDArray[np.bool_]:
        """Return a named region of the image as (H, W) bool."""
        path = self.masks[name]
        mask = read_png(path)
        self._check_size(mask, path)
        return (mask if mask.ndim == 2 else mask.max(axis=2)) > 0

    def load_depth_map(self, name: str) -> NDArray[np.float32]:
        """Return a depth-map prompt as (H, W) float32 meters, NaN where it has no value."""
        entry = self._prompt(name, 'depth_map')
        depth = load_depth_map(entry.path, entry.scale)
        self._check_size(depth, entry.path)
        return depth

    def load_low_resolution_map(self, name: str) -> NDArray[np.float32] | None:
        """Return the original small map of a low-resolution prompt in meters, or None."""
        entry = self._prompt(name, 'depth_map')
        if entry.low_resolution_path is None:
            return None
        return load_depth_map(entry.low_resolution_path, entry.scale)

    def load_points(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a points prompt in the frame of its sensor.

        Returns
        -------
        dict
            ``xyz`` (N, 3) float32 meters, and what else is stored per point (``intensity``,
            ``ring``), each (N, ...).
        """
        entry = self._prompt(name, 'points')
        arrays = load_points(entry.path)
        if entry.scale != 1.0:
            arrays['xyz'] = arrays['xyz'] * np.float32(entry.scale)
        return arrays

    def T_camera_sensor(self, name: str) -> NDArray[np.float64]:
        """Return the (4, 4) transform of a prompt's points into the camera optical frame."""
        return self._prompt(name).T_camera_sensor

    def load_prompt(self, name: str) -> SparsePrompt:
        """Return a prompt as estimators take it, made by the same code as a live sensor's."""
        entry = self._prompt(name)
        sigma_m, sigma_rel = entry.sigma
        if entry.format == 'points':
            if self.camera is None:
                raise InputError(
                    'frame_set_camera',
                    f'frame {self.id} has no K, so its points prompt {name!r} cannot be '
                    'projected: add K, or take a prompt that is a depth map.',
                )
            points = self.load_points(name)
            if entry.kind == 'radar':
                return prompt_from_radar(
                    self.camera,
                    points['xyz'],
                    entry.T_camera_sensor,
                    rcs_db=points.get('rcs'),
                    velocity_mps=points.get('velocity'),
                )
            prompt = prompt_from_cloud(
                self.camera,
                points['xyz'],
                entry.T_camera_sensor,
                sigma_m=sigma_m,
                sigma_rel=sigma_rel,
            )
            return replace(prompt, source=np.full(len(prompt), _SOURCE[entry.kind], np.uint8))
        small = self.load_low_resolution_map(name)
        if small is not None:
            return prompt_from_low_resolution(self.width, self.height, small)
        depth, source = self.load_depth_map(name), _SOURCE[entry.kind]
        if not entry.is_projected_cloud:
            return prompt_from_registered_depth(depth, source=source)
        return prompt_from_projected_cloud(
            depth,
            sigma_m=sigma_m,
            sigma_rel=sigma_rel,
            remove_occluded=entry.kind == 'lidar',
            source=source,
        )

    def load_frame(self, prompt_name: str | None = None) -> Frame:
        """Return the image with one of its prompts as a `Frame`."""
        return Frame(
            stamp_ns=self.stamp_ns or 0,
            frame_id='camera_optical_frame',
            image=self.load_image(),
            camera=self.camera,
            prompt=None if prompt_name is None else self.load_prompt(prompt_name),
        )

    def _prompt(self, name: str, format: str | None = None) -> PromptEntry:
        entry = self.prompts.get(name)
        if entry is None:
            raise InputError(
                'frame_set_prompt',
                f'frame {self.id} has no prompt {name!r}: it has '
                f'{", ".join(self.prompts) or "none"}.',
            )
        if format is not None and entry.format != format:
            raise InputError(
                'frame_set_prompt',
                f'prompt {name!r} of frame {self.id} is a {entry.format}, not a {format}.',
            )
        return entry

    def _check_size(self, array: NDArray[Any], path: Path) -> None:
        if array.shape[:2] != (self.height, self.width):
            raise InputError(
                'frame_set_size',
                f'{path} is {size_text(array)}, but frame {self.id} is '
                f'{self.width}x{self.height}: correct {INDEX_NAME} or the file.',
            )


@dataclass(frozen=True, eq=False)
class FrameSet:
    """A folder of recorded frames.

    Parameters
    ----------
    rate_hz
        Frames per second of a recording in time order, or None.
    stamp_nominal
        True when the stamps were invented from the frame number and the rate.
    multi_camera
        True when the frames are several cameras of one instant.
    """

    name: str
    folder: Path
    description: str
    rate_hz: float | None
    stamp_nominal: bool
    multi_camera: bool
    frames: tuple[RecordedFrame, ...]
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def prompt_names(self, scored_only: bool = True) -> list[str]:
        """Return the prompts that any of the frames has, in order of first appearance."""
        names = (name for frame in self.frames for name in frame.prompt_names(scored_only))
        return list(dict.fromkeys(names))
