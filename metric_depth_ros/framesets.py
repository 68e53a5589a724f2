# SPDX-License-Identifier: Apache-2.0
"""Frame sets: recorded images with prompts and ground truth in a folder with a ``frames.json``.

The index is checked when a set is opened (names, types, sizes, files that exist inside the
folder); pixels and points are read only when asked for, so that a set of any length can be gone
through one frame at a time. May import `types`, `geometry` and `prompting`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud, prompt_from_projected_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.prompting.radar import (
    RADAR_SIGMA_M,
    RADAR_SIGMA_REL,
    prompt_from_radar,
)
from metric_depth_ros.types import CameraModel, Frame, Source, SparsePrompt
from metric_depth_ros.untrusted_files import (
    DAMAGED_ARRAY,
    check_array_claims,
    read_json,
    read_picture,
)

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
_REQUIRED = object()
_NUMBERS = 'fiu'  # kinds of dtypes
_POINT_NUMBERS = ('intensity', 'ring', 'rcs', 'velocity')


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
        mask = _read_png(path)
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
        sigma_m, sigma_rel = _SIGMA[entry.kind]
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
        if entry.kind == 'rgbd':
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
                f'{path} is {_size_text(array)}, but frame {self.id} is '
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


def load_frame_set(folder: str | Path) -> FrameSet:
    """Open a frame set and check its index; no pixel is read.

    Raises
    ------
    InputError
        No index, broken JSON, a missing or wrong key, a file that does not exist or that lies
        outside the folder.
    """
    folder = Path(folder)
    path = folder / INDEX_NAME
    if not path.exists():
        raise InputError(
            'frame_set_missing', f'{folder} is not a frame set: it has no {INDEX_NAME}.'
        )
    index = read_json(path, 'frame_set_schema')
    if not isinstance(index, dict):
        raise _schema_error(str(path), 'the file', index, 'an object')
    where = str(path)
    entries = _get(index, 'frames', list, where)
    frames = tuple(
        _read_frame(folder, entry, f'{where}: frames[{i}]') for i, entry in enumerate(entries)
    )
    ids = [frame.id for frame in frames]
    if len(set(ids)) < len(ids):
        repeated, _ = Counter(ids).most_common(1)[0]
        raise InputError('frame_set_schema', f'{where}: two frames are called {repeated!r}.')
    rate_hz = _get(index, 'rate_hz', (int, float), where, None)
    if rate_hz is not None and not 0.0 < rate_hz < 1e6:
        raise _schema_error(where, 'rate_hz', rate_hz, 'a positive number')
    return FrameSet(
        name=_get(index, 'name', str, where),
        folder=folder,
        description=_get(index, 'description', str, where, ''),
        rate_hz=None if rate_hz is None else float(rate_hz),
        stamp_nominal=_get(index, 'stamp_nominal', bool, where, False),
        multi_camera=_get(index, 'multi_camera', bool, where, False),
        frames=frames,
        details={key: value for key, value in index.items() if key != 'frames'},
    )


def find_frame_sets(paths: Iterable[str | Path]) -> list[FrameSet]:
    """Open every frame set among the paths: a set itself, or a folder of sets (by name order).

    Raises
    ------
    InputError
        A path that is neither, or a set that cannot be used.
    """
    folders: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise InputError(
                'frame_set_missing',
                f'{path} is not a folder: give a frame set or a folder of them.',
            )
        found = (
            [path]
            if (path / INDEX_NAME).is_file()
            else sorted(index.parent for index in path.glob(f'*/{INDEX_NAME}'))
        )
        if not found:
            raise InputError(
                'frame_set_missing',
                f'{path} is neither a frame set nor a folder of frame sets: neither it nor a '
                f'folder in it has a {INDEX_NAME}.',
            )
        folders.update((folder.resolve(), folder) for folder in found)
    return [load_frame_set(folder) for folder in folders.values()]


def load_color_image(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit color image file as (H, W, 3) uint8 RGB, the pixels as the camera has them."""
    bgr = read_picture(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def load_depth_map(path: Path, scale: float) -> NDArray[np.float32]:
    """Read a 16-bit PNG as (H, W) float32 meters: value * scale, 0 becomes NaN (unknown)."""
    values = _read_png(path)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise InputError(
            'depth_file',
            f'{path} is {_size_text(values)} {values.dtype}, expected a 16-bit PNG with one '
            'channel.',
        )
    depth = values.astype(np.float32) * np.float32(scale)
    depth[values == 0] = np.nan
    return depth


def load_points(path: Path) -> dict[str, NDArray[Any]]:
    """Read an ``.npz`` of points: ``xyz`` (N, 3) and per-point arrays of the same length."""
    arrays = load_arrays(path, 'xyz')
    xyz = arrays['xyz']
    if xyz.ndim != 2 or xyz.shape[1] != 3 or not np.issubdtype(xyz.dtype, np.floating):
        raise InputError(
            'points_file', f'{path}: xyz is {xyz.shape} {xyz.dtype}, expected floats (N, 3).'
        )
    for name, values in arrays.items():
        if values.shape[:1] != xyz.shape[:1]:
            raise InputError(
                'points_file',
                f'{path}: {name} has shape {values.shape}, but there are {len(xyz)} points.',
            )
        if name in _POINT_NUMBERS and (values.ndim != 1 or values.dtype.kind not in _NUMBERS):
            raise InputError(
                'points_file',
                f'{path}: {name} is {values.shape} {values.dtype}, expected one number a point.',
            )
    arrays['xyz'] = xyz.astype(np.float32, copy=False)
    return arrays


def plane_of_numbers(values: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Return an array of a file as float32; `path` names it in the error.

    Raises
    ------
    InputError
        Not two-dimensional, or no numbers.
    """
    if values.ndim != 2 or values.dtype.kind not in _NUMBERS:
        raise InputError(
            'array_file',
            f'{path}: found {values.shape} {values.dtype}, expected numbers: (H, W) depth or '
            '(N, 3) points.',
        )
    return values.astype(np.float32)


def load_array(path: Path) -> NDArray[Any]:
    """Read the array of an ``.npy``; nothing that needs unpickling is accepted."""
    check_array_claims(path)
    try:
        array = np.load(path, allow_pickle=False)
        if isinstance(array, np.ndarray):
            return array
        array.close()
        raise TypeError('it is an archive of arrays (.npz)')
    except (KeyError, *DAMAGED_ARRAY) as error:
        raise InputError(
            'array_file', f'{path} cannot be read as a NumPy array (.npy): {error}.'
        ) from error


def load_arrays(path: Path, required: str | None = None) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz``; nothing that needs unpickling is accepted."""
    check_array_claims(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (KeyError, *DAMAGED_ARRAY) as error:
        raise InputError(
            'array_file', f'{path} cannot be read as a NumPy archive (.npz): {error}.'
        ) from error
    if required is not None and required not in arrays:
        raise InputError(
            'array_file',
            f'{path} has no array {required!r}: it has {", ".join(arrays) or "none"}.',
        )
    return arrays


def _read_png(path: Path) -> NDArray[Any]:
    return read_picture(path, cv2.IMREAD_UNCHANGED)


def _size_text(array: NDArray[Any]) -> str:
    return 'x'.join(map(str, (*array.shape[1::-1], *array.shape[2:])))


def _read_frame(folder: Path, entry: Any, where: str) -> RecordedFrame:
    if not isinstance(entry, dict):
        raise _schema_error(where, 'the frame', entry, 'an object')
    frame_id = _get(entry, 'id', str, where)
    where = f'{where} ({frame_id})'
    width, height = (_get(entry, key, int, where) for key in ('width', 'height'))
    prompts = _get(entry, 'prompts', dict, where, {})
    masks = _get(entry, 'mask', dict, where, {})
    ground_truth = _get(entry, 'gt', dict, where, None)
    return RecordedFrame(
        id=frame_id,
        width=width,
        height=height,
        image_path=_file(folder, entry, 'image', where),
        camera=_read_camera(entry, width, height, where),
        stamp_ns=_get(entry, 'stamp_ns', int, where, None),
        prompts={
            name: _read_prompt(folder, prompt, f'{where}: prompt {name!r}')
            for name, prompt in prompts.items()
        },
        ground_truth=(
            None if ground_truth is None else _read_ground_truth(folder, ground_truth, where)
        ),
        masks={name: _file(folder, masks, name, f'{where}: mask') for name in masks},
        details=entry,
    )


def _read_camera(entry: dict[str, Any], width: int, height: int, where: str) -> CameraModel | None:
    K = _get(entry, 'K', list, where, None)
    if K is None:
        return None
    lens = _get(entry, 'distortion', dict, where, None)
    try:
        distortion = Distortion() if lens is None else _read_lens(lens, f'{where}: distortion')
        return CameraModel(width, height, np.array(K, np.float64), distortion)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError('frame_set_schema', f'{where}: {error}') from error


def _read_lens(lens: dict[str, Any], where: str) -> Distortion:
    coefficients = _get(lens, 'coefficients', list, where)
    model = _get(lens, 'model', str, where)
    return Distortion.calibrated(model, tuple(float(c) for c in coefficients))


def _read_prompt(folder: Path, entry: Any, where: str) -> PromptEntry:
    if not isinstance(entry, dict):
        raise _schema_error(where, 'the prompt', entry, 'an object')
    small = _get(entry, 'lowres_path', str, where, None)
    return PromptEntry(
        path=_file(folder, entry, 'path', where),
        format=_choice(entry, 'format', PROMPT_FORMATS, where),
        kind=_choice(entry, 'kind', PROMPT_KINDS, where),
        scale=_positive(entry, 'scale', where, 1.0),
        T_camera_sensor=_read_transform(entry, where),
        scored=_get(entry, 'scored', bool, where, False),
        low_resolution_path=None if small is None else _file(folder, entry, 'lowres_path', where),
        stamp_ns=_get(entry, 'stamp_ns', int, where, None),
    )


def _read_ground_truth(folder: Path, entry: dict[str, Any], where: str) -> GroundTruthEntry:
    where = f'{where}: gt'
    return GroundTruthEntry(
        path=_file(folder, entry, 'path', where),
        scale=_positive(entry, 'scale', where, 1.0),
        kind=_choice(entry, 'kind', GROUND_TRUTH_KINDS, where),
        min_m=_positive(entry, 'min_m', where, 1e-3),
        max_m=_positive(entry, 'max_m', where, float('inf')),
    )


def _read_transform(entry: dict[str, Any], where: str) -> NDArray[np.float64]:
    rows = _get(entry, 'T_camera_sensor', list, where, None)
    if rows is None:  # the points already are in the camera optical frame
        return np.eye(4)
    return rigid_transform(rows, f'{where}: T_camera_sensor')


def rigid_transform(rows: Any, where: str) -> NDArray[np.float64]:
    """Return a (4, 4) rigid transform from nested lists; `where` names it in the error.

    Raises
    ------
    InputError
        Not 4x4 finite numbers, a last row other than 0 0 0 1, or a part that is no rotation.
    """
    try:
        T = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        T = np.empty(0)
    if T.shape != (4, 4) or not np.isfinite(T).all() or not np.array_equal(T[3], (0, 0, 0, 1)):
        raise InputError(
            'transform', f'{where}: expected 4 rows of 4 finite numbers, the last 0 0 0 1.'
        )
    deviation = np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max()
    if deviation > 1e-3 or np.linalg.det(T[:3, :3]) < 0.0:
        raise InputError(
            'transform',
            f'{where}: the upper left 3x3 is no rotation (R R^T is {deviation:.2g} from the '
            'identity, or mirrored).',
        )
    return T


def _get(
    entry: Mapping[str, Any],
    key: str,
    kind: type | tuple[type, ...],
    where: str,
    default: Any = _REQUIRED,
) -> Any:
    """Return a key of the index checked for its type; null and absent both mean the default."""
    value = entry.get(key)
    if value is None:
        if default is _REQUIRED:
            raise InputError('frame_set_schema', f'{where}: the key {key!r} is missing.')
        return default
    wants_bool = kind is bool
    if not isinstance(value, kind) or isinstance(value, bool) != wants_bool:
        names = ' or '.join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise _schema_error(where, repr(key), value, names)
    return value


def _choice(entry: dict[str, Any], key: str, choices: tuple[str, ...], where: str) -> str:
    value: str = _get(entry, key, str, where)
    if value not in choices:
        raise _schema_error(where, repr(key), value, f'one of {", ".join(choices)}')
    return value


def _positive(entry: dict[str, Any], key: str, where: str, default: float) -> float:
    value = _get(entry, key, (int, float), where, default)
    # An integer of JSON may be larger than any float.
    if not value > 0.0 or sys.float_info.max < value < float('inf'):
        raise _schema_error(where, repr(key), value, 'a positive number')
    return float(value)


def _file(folder: Path, entry: Mapping[str, Any], key: str, where: str) -> Path:
    """Return an existing file of the set; a path that leads out of its folder is refused."""
    relative: str = _get(entry, key, str, where)
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            'frame_set_path',
            f'{where}: {key} is {relative!r}, which leads out of the set folder; paths are '
            'relative to it.',
        )
    if not path.is_file():
        raise InputError('frame_set_file', f'{where}: {key}: the file {path} does not exist.')
    return path


def _schema_error(where: str, what: str, value: Any, expected: str) -> InputError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f'{shown[:57]}...'
    return InputError('frame_set_schema', f'{where}: {what} is {shown}, expected {expected}.')
