# SPDX-License-Identifier: Apache-2.0
"""The index of a frame set, ``frames.json``: read, and checked before any pixel is.

Names, types, sizes, and files that exist inside the folder.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.frames import (
    GROUND_TRUTH_KINDS,
    INDEX_NAME,
    PROMPT_FORMATS,
    PROMPT_KINDS,
    FrameSet,
    GroundTruthEntry,
    PromptEntry,
    RecordedFrame,
)
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.rigid import rigid_transform
from metric_depth_ros.types import CameraModel
from metric_depth_ros.untrusted_files import read_json

_REQUIRED = object()


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
                f'{path} is not a folder: give a frame set or a folder of them; a bag is for '
                '`metric-depth replay`.',
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
                f'folder in it has a {INDEX_NAME}; a bag is for `metric-depth replay`.',
            )
        folders.update((folder.resolve(), folder) for folder in found)
    return [load_frame_set(folder) for folder in folders.values()]


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
