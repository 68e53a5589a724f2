# SPDX-License-Identifier: Apache-2.0
"""Snapshots: a frame of a running node in a folder, exact to the bit.

``image.png``, ``camera.json``, ``prompt.npz`` are the input as the estimator saw it,
``published.npz`` is the output, ``snapshot.json`` tells the method and all parameters. Floats are
written so that they come back as they were. Knows no ROS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros import __version__
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.stored_arrays import load_arrays, load_color_image
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.machine import describe_machine, describe_versions
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt
from metric_depth_ros.untrusted_files import read_json

INDEX = 'snapshot.json'
_FAULT = 'snapshot'


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A frame and what was published of it.

    Parameters
    ----------
    frame
        Input of the estimator.
    depth
        (H, W) float32 meters as published, NaN unknown, +Inf beyond range.
    confidence
        (H, W) float32, or None.
    camera
        Of the depth.
    method
        Estimator that answered.
    parameters
        Of the node, by full name.
    """

    frame: Frame
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None
    camera: CameraModel | None
    method: str
    parameters: Mapping[str, Any]


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write a snapshot into a new folder.

    Raises
    ------
    OSError
        The folder exists, or cannot be written.
    """
    folder.mkdir(parents=True)
    frame = snapshot.frame
    if not cv2.imwrite(str(folder / 'image.png'), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)):
        raise OSError(f'{folder / "image.png"} cannot be written')
    if frame.camera is not None:
        _write_json(folder / 'camera.json', _camera_values(frame.camera))
    if frame.prompt is not None:
        prompt = frame.prompt
        np.savez(
            folder / 'prompt.npz',
            uv=prompt.uv, depth=prompt.depth, sigma=prompt.sigma, source=prompt.source,
        )  # fmt: skip
    published = {'depth': snapshot.depth}
    if snapshot.confidence is not None:
        published['confidence'] = snapshot.confidence
    np.savez_compressed(folder / 'published.npz', **published)  # type: ignore[arg-type]
    _write_json(
        folder / INDEX,
        {
            'package': __version__,
            'stamp_ns': frame.stamp_ns,
            'frame_id': frame.frame_id,
            'method': snapshot.method,
            'camera': None if snapshot.camera is None else _camera_values(snapshot.camera),
            'parameters': dict(snapshot.parameters),
            'machine': describe_machine(),
            'versions': describe_versions(),
        },
    )


def read_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot; nothing in it is trusted.

    Raises
    ------
    InputError
        Not a snapshot, or damaged.
    """
    if not (folder / INDEX).is_file():
        raise InputError(
            _FAULT,
            f'{folder} is no snapshot: it has no {INDEX}; expected a folder that the service '
            '~/save_snapshot of a depth node has made.',
        )
    index = read_json(folder / INDEX, _FAULT)
    try:
        camera_file = folder / 'camera.json'
        prompt_file = folder / 'prompt.npz'
        frame = Frame(
            int(index['stamp_ns']),
            str(index['frame_id']),
            load_color_image(folder / 'image.png'),
            _camera(read_json(camera_file, _FAULT)) if camera_file.exists() else None,
            SparsePrompt(**load_arrays(prompt_file)) if prompt_file.exists() else None,
        )
        published = load_arrays(folder / 'published.npz', 'depth')
        camera = index['camera']
        return Snapshot(
            frame,
            published['depth'],
            published.get('confidence'),
            None if camera is None else _camera(camera),
            str(index['method']),
            dict(index['parameters']),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(_FAULT, f'{folder} is no snapshot that can be read: {error}') from error


def _camera_values(camera: CameraModel) -> dict[str, Any]:
    return {
        'width': camera.width,
        'height': camera.height,
        'K': camera.K.tolist(),
        'R': camera.R.tolist(),
        'P': None if camera.P is None else camera.P.tolist(),
        'distortion': {
            'model': camera.distortion.model,
            'coefficients': list(camera.distortion.coefficients),
        },
    }


def _camera(values: Mapping[str, Any]) -> CameraModel:
    lens = values['distortion']
    P = values['P']
    return CameraModel(
        int(values['width']),
        int(values['height']),
        np.array(values['K'], np.float64),
        Distortion(str(lens['model']), tuple(float(c) for c in lens['coefficients'])),
        np.array(values['R'], np.float64),
        None if P is None else np.array(P, np.float64),
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
