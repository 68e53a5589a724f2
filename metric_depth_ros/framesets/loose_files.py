# SPDX-License-Identifier: Apache-2.0
"""One frame out of loose files: camera, transform and prompt, for `metric-depth complete`.

Needs no frame set and no ROS. Cameras are read as camera_calibration_parsers writes them, clouds
of prompts through open3d.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.cloud_claims import check_cloud_claims
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.stored_arrays import (
    load_array,
    load_arrays,
    load_depth_map,
    load_points,
    plane_of_numbers,
)
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.rigid import rigid_transform, transform_from_quaternion
from metric_depth_ros.libraries import import_open3d
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.types import CameraModel, SparsePrompt
from metric_depth_ros.untrusted_files import read_json, read_yaml

# Of depth that counts as measured.
_LEAST_M, _MOST_M = 0.05, 250.0
PROMPT_SUFFIXES = ('.png', '.npz', '.npy', '.ply', '.pcd')
_LENS_KEYS = ('distortion', 'distortion_coefficients', 'D')
# Beside K; the last three are what `read_transform` takes from the same file.
_CAMERA_KEYS = (
    *('width', 'height', 'K', 'distortion_model', *_LENS_KEYS, 'camera_name'),
    *('T_camera_sensor', 'translation', 'rotation'),
)


def read_camera(path: Path) -> CameraModel:
    """Read a camera from a calibration file.

    Parameters
    ----------
    path
        YAML as camera_calibration_parsers writes it (``image_width``, ``image_height``,
        ``camera_matrix``, ``distortion_model``, ``distortion_coefficients``), or YAML or JSON
        with ``width``, ``height``, ``K`` (3 rows of 3, pixels) and, where the lens distorts,
        ``distortion`` (``model`` and ``coefficients``, as in a frame set), or
        ``distortion_model`` and ``D`` or ``distortion_coefficients``.

    Raises
    ------
    InputError
        Neither of these, a key that says nothing here, or a camera that cannot be used.
    """
    content = _read_mapping(path)
    try:
        if 'camera_matrix' in content:
            return _camera_from_calibration(content)
        return _camera_from_intrinsics(content)
    except KeyError as error:
        raise InputError(
            'camera_file',
            f'{path} has no {error.args[0]}: expected a ROS calibration (image_width, '
            'image_height, camera_matrix, distortion_coefficients), or width, height, K and '
            'distortion (model, coefficients).',
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError('camera_file', f'{path}: {error}') from error


def read_transform(path: Path) -> NDArray[np.float64]:
    """Read T_camera_sensor (4, 4): sensor coordinates to the camera optical frame.

    Parameters
    ----------
    path
        YAML or JSON: 4 rows of 4, alone or under ``T_camera_sensor``; or ``translation``
        [x, y, z] in meters and ``rotation`` [x, y, z, w].
    """
    content = _parse(path)
    if isinstance(content, Mapping):
        if 'translation' in content and 'rotation' in content:
            try:
                return transform_from_quaternion(
                    [float(v) for v in _ordered(content['translation'], 'xyz')],
                    [float(v) for v in _ordered(content['rotation'], 'xyzw')],
                )
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError('transform', f'{path}: {error}') from error
        content = content.get('T_camera_sensor')
    return rigid_transform(content, str(path))


def read_prompt(
    path: Path,
    camera: CameraModel,
    T_camera_sensor: NDArray[np.float64] | None = None,
    scale: float = 0.001,
) -> SparsePrompt:
    """Read what is known of the depth.

    Parameters
    ----------
    path
        ``.png`` 16-bit depth map; ``.npz`` with ``xyz`` (N, 3), or ``depth`` (H, W) meters;
        ``.npy`` (N, 3) points or (H, W) depth in meters; ``.ply`` or ``.pcd`` cloud. A depth
        map smaller than the image is a low-resolution map of the same view. 0 and NaN = unknown.
    camera
        Camera of the image.
    T_camera_sensor
        (4, 4) for points; None when they are in the camera optical frame.
    scale
        Meters per unit of a PNG.
    """
    values = _read_prompt_values(path, scale, camera)
    if values.ndim == 2 and values.shape[1] == 3 and values.shape != (camera.height, camera.width):
        T = np.eye(4) if T_camera_sensor is None else T_camera_sensor
        prompt = prompt_from_cloud(camera, values, T)
        if not len(prompt):
            raise InputError(
                'prompt_empty',
                f'{path}: none of the {len(values)} points falls into the image: check '
                '--extrinsics (sensor to camera optical frame: x right, y down, z forward).',
            )
        return prompt
    if T_camera_sensor is not None:
        raise InputError(
            'prompt_file',
            f'{path} is a depth map in the camera already: --extrinsics is for points.',
        )
    depth = np.where(values > 0.0, values, np.float32(np.nan))
    if values.shape == (camera.height, camera.width):
        prompt = prompt_from_registered_depth(depth, min_depth_m=_LEAST_M, max_depth_m=_MOST_M)
    else:
        prompt = prompt_from_low_resolution(
            camera.width, camera.height, depth, min_depth_m=_LEAST_M, max_depth_m=_MOST_M
        )
    if not len(prompt):
        raise InputError('prompt_empty', _why_without_depth(path, depth))
    return prompt


def _read_prompt_values(path: Path, scale: float, camera: CameraModel) -> NDArray[np.float32]:
    """Return points (N, 3) or a depth map (h, w), meters."""
    if path.suffix not in PROMPT_SUFFIXES:
        raise InputError(
            'prompt_file',
            f'the prompt {path} has the ending {path.suffix!r}, expected one of '
            f'{", ".join(PROMPT_SUFFIXES)}.',
        )
    if not path.is_file():
        raise InputError('prompt_file', f'the prompt {path} does not exist.')
    if path.suffix == '.png':
        return load_depth_map(path, scale)
    if path.suffix in ('.ply', '.pcd'):
        check_cloud_claims(path)
        open3d = import_open3d()
        cloud = open3d.io.read_point_cloud(str(path))
        points = np.asarray(cloud.points, np.float32)
        if not len(points):
            raise InputError('prompt_file', f'{path} cannot be read as a cloud, or is empty.')
        return points
    if path.suffix == '.npy':
        values = plane_of_numbers(load_array(path), path)
        # KITTI and nuScenes clouds carry intensity, and more, behind x, y, z.
        if values.shape != (camera.height, camera.width) and values.shape[1] in (4, 5):
            values = np.ascontiguousarray(values[:, :3])
        return values
    arrays = load_arrays(path)
    if 'depth' in arrays and 'xyz' not in arrays:
        return plane_of_numbers(arrays['depth'], path)
    return np.asarray(load_points(path)['xyz'], np.float32)


def _camera_from_intrinsics(content: Mapping[str, Any]) -> CameraModel:
    matrix = content['K']  # where it is missing, that is what to tell
    unknown = [str(key) for key in content if key not in _CAMERA_KEYS]
    if unknown:  # it may be the lens, under a name of another package
        raise ValueError(
            f'{", ".join(unknown)} would be ignored beside K: leave it out; a lens is given as '
            'distortion (model, coefficients), or as distortion_model and D.'
        )
    return CameraModel(
        _pixels(content, 'width'),
        _pixels(content, 'height'),
        np.array(matrix, np.float64),
        _lens_beside_intrinsics(content),
    )


def _lens_beside_intrinsics(content: Mapping[str, Any]) -> Distortion:
    given = [key for key in _LENS_KEYS if content.get(key) is not None]
    if len(given) > 1:
        raise ValueError(f'{" and ".join(given)} give the lens more than once: keep one.')
    lens = content.get('distortion')
    if lens is None:
        return _calibrated_lens(content, given[0] if given else 'D')
    if not isinstance(lens, Mapping):
        raise ValueError(f'distortion is {lens!r}, expected model and coefficients.')
    return Distortion.calibrated(str(lens['model']), tuple(map(float, lens['coefficients'])))


def _calibrated_lens(content: Mapping[str, Any], key: str) -> Distortion:
    model = str(content.get('distortion_model') or 'plumb_bob')
    return Distortion.calibrated(model, tuple(map(float, _data(content, key) or ())))


def _pixels(content: Mapping[str, Any], key: str) -> int:
    """Return a side of the image."""
    count = int(content[key])
    if count != float(content[key]):
        raise ValueError(f'{key} is {content[key]}, expected a whole number of pixels.')
    return count


def _camera_from_calibration(content: Mapping[str, Any]) -> CameraModel:
    projection = _data(content, 'projection_matrix')
    rotation = _data(content, 'rectification_matrix')
    return CameraModel(
        _pixels(content, 'image_width'),
        _pixels(content, 'image_height'),
        np.array(_data(content, 'camera_matrix'), np.float64),
        _calibrated_lens(content, 'distortion_coefficients'),
        np.eye(3) if rotation is None else np.array(rotation, np.float64),
        None if projection is None else np.array(projection, np.float64),
    )


def _data(content: Mapping[str, Any], key: str) -> Any:
    """Return the values of a matrix, with or without its rows and cols; None without the key."""
    matrix = content.get(key)
    return matrix.get('data') if isinstance(matrix, Mapping) else matrix


def _parse(path: Path) -> Any:
    """Return the content of a YAML or JSON file."""
    if not path.exists():
        raise InputError('file_missing', f'{path} does not exist.')
    read = read_json if path.suffix == '.json' else read_yaml
    return read(path, 'file_format')


def _read_mapping(path: Path) -> Mapping[str, Any]:
    content = _parse(path)
    if not isinstance(content, Mapping):
        raise InputError('file_format', f'{path} holds no keys and values.')
    return content


def _ordered(values: Any, keys: str) -> list[Any]:
    """Return a list, or the values of a mapping {x: .., y: .., z: ..} in the order of keys."""
    return [values[key] for key in keys] if isinstance(values, Mapping) else list(values)


def _why_without_depth(path: Path, depth: NDArray[np.float32]) -> str:
    """Return why a depth map has no pixel that counts as measured."""
    known = depth[np.isfinite(depth)]
    if not known.size:
        return f'{path} has no pixel with a depth: all are 0, negative or not finite.'
    sentence = (
        f'{path} has no pixel within the depths that count, {_LEAST_M:g} to {_MOST_M:g} m: its '
        f'own are {known.min():g} to {known.max():g} m.'
    )
    if path.suffix == '.png':
        return f'{sentence} Is --prompt-scale, the meters per unit, right?'
    if known.min() > _MOST_M:
        return f'{sentence} Are they millimeters? Divide them by 1000.'
    return sentence
