# SPDX-License-Identifier: Apache-2.0
"""One training example as files, and back. NumPy, OpenCV; no torch.

An example is four files with one stem: the image (JPEG or PNG), the depth (16-bit PNG, see
`log_steps`), camera and kind (JSON), and the sensors' points (npz). Nothing in them is executed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.compressed import picture_size
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training import log_steps
from metric_depth_ros.types import CameraModel, SparsePrompt
from metric_depth_ros.untrusted_files import DAMAGED_ARRAY

IMAGE_SUFFIXES = ('image.jpg', 'image.png')
DEPTH_SUFFIX = 'depth.png'
CAMERA_SUFFIX = 'json'
SENSORS_SUFFIX = 'sensors.npz'

_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]
_LARGEST_STEP = 65535
_BROKEN = (*DAMAGED_ARRAY, LookupError, AttributeError, OverflowError)


def encode_example(example: Example) -> dict[str, bytes]:
    """Return suffix -> content of the four files."""
    camera = example.camera
    about = {
        'kind': example.kind,
        'width': camera.width,
        'height': camera.height,
        'K': camera.K.tolist(),
        'distortion': [camera.distortion.model, list(camera.distortion.coefficients)],
    }
    bgr = cv2.cvtColor(example.image, cv2.COLOR_RGB2BGR)
    return {
        IMAGE_SUFFIXES[0]: _encoded('.jpg', bgr, _JPEG),
        DEPTH_SUFFIX: _encoded('.png', log_steps.encode(example.depth), _PNG),
        CAMERA_SUFFIX: json.dumps(about).encode(),
        SENSORS_SUFFIX: _encoded_sensors(example.sensors, max(camera.size)),
    }


def decode_example(files: Mapping[str, bytes], where: str) -> Example:
    """Read an example; sensors may be absent.

    Parameters
    ----------
    files
        Suffix -> content.
    where
        Names the example in errors.

    Raises
    ------
    InputError
        A file that is missing, damaged, or of another size than its camera.
    """
    try:
        image_bytes = next(files[suffix] for suffix in IMAGE_SUFFIXES if suffix in files)
        about = json.loads(files[CAMERA_SUFFIX])
        camera = _camera(about)
        kind = str(about['kind'])
        image = cv2.cvtColor(_decoded(image_bytes, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        steps = _decoded(files[DEPTH_SUFFIX], cv2.IMREAD_UNCHANGED)
        sensors = _decoded_sensors(files.get(SENSORS_SUFFIX), max(camera.size))
    except (*_BROKEN, StopIteration, cv2.error) as error:
        raise InputError(
            'training_example',
            f'{where} cannot be read ({type(error).__name__}: {error}): expected '
            f'{IMAGE_SUFFIXES[0]}, {DEPTH_SUFFIX} and {CAMERA_SUFFIX} as `metric-depth '
            'make-shards` writes them.',
        ) from error
    if steps.dtype != np.uint16 or not steps.shape == image.shape[:2] == camera.size[::-1]:
        raise InputError(
            'training_example',
            f'{where}: the image is {image.shape[1]}x{image.shape[0]}, the depth '
            f'{steps.shape[1]}x{steps.shape[0]} {steps.dtype}, the camera '
            f'{camera.width}x{camera.height}; expected one size and 16-bit depth.',
        )
    return Example(
        image=image.astype(np.uint8, copy=False),
        depth=log_steps.decode(steps),
        camera=camera,
        kind=kind,
        sensors=sensors,
    )


def _camera(about: Mapping[str, Any]) -> CameraModel:
    model, coefficients = about.get('distortion', ('plumb_bob', ()))
    return CameraModel(
        int(about['width']),
        int(about['height']),
        np.array(about['K'], np.float64),
        Distortion(str(model), tuple(float(value) for value in coefficients)),
    )


def _encoded(suffix: str, image: NDArray[Any], settings: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, image, settings)
    if not done:
        raise ValueError(f'OpenCV cannot write {suffix} of {image.shape} {image.dtype}')
    return content.tobytes()


def _decoded(content: bytes, flags: int) -> NDArray[Any]:
    data = np.frombuffer(content, np.uint8)
    picture_size(data)  # before OpenCV takes memory for what the header claims
    image = cv2.imdecode(data, flags)
    if image is None:
        raise ValueError('no image')
    return image


def _encoded_sensors(sensors: Mapping[str, SparsePrompt], side: int) -> bytes:
    """Pixels are stored in 65,535ths of the longer side, lengths in steps."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, points in sensors.items():
        share = (points.uv.astype(np.float64) + 0.5) * (_LARGEST_STEP / side)
        arrays[f'{name}.uv'] = np.rint(share).clip(0, _LARGEST_STEP).astype(np.uint16)
        arrays[f'{name}.depth'] = log_steps.encode(points.depth)
        arrays[f'{name}.sigma'] = log_steps.encode(points.sigma)
        arrays[f'{name}.source'] = points.source
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # stubs know no arrays by name
    return content.getvalue()


def _decoded_sensors(content: bytes | None, side: int) -> dict[str, SparsePrompt]:
    if content is None:
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names = [key.removesuffix('.uv') for key in arrays.files if key.endswith('.uv')]
        return {
            name: SparsePrompt(
                (arrays[f'{name}.uv'].astype(np.float32) * (side / _LARGEST_STEP) - 0.5),
                log_steps.decode(arrays[f'{name}.depth']),
                log_steps.decode(arrays[f'{name}.sigma']),
                arrays[f'{name}.source'].astype(np.uint8),
            )
            for name in names
        }
