# SPDX-License-Identifier: Apache-2.0
"""The tables and sweeps of nuScenes, as far as key frames of the front camera need them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from metric_depth_ros.evaluation.benchmarks.layout import Folder
from metric_depth_ros.evaluation.benchmarks.protocol import Item
from metric_depth_ros.prompting.radar import prompt_from_radar
from metric_depth_ros.types import CameraModel, SparsePrompt
from metric_depth_ros.untrusted_files import inside

CAMERA, LIDAR, RADAR = 'CAM_FRONT', 'LIDAR_TOP', 'RADAR_FRONT'
NEAREST_M = 1.0
_TABLES = ('scene', 'sample', 'sample_data', 'calibrated_sensor', 'ego_pose')
_LIDAR_VALUES = 5  # x, y, z, intensity, ring
# What the radar's sweeps say is no clutter, by default in the development kit.
_VALID_STATES, _DYNAMIC, _UNAMBIGUOUS = (0,), (0, 1, 2, 3, 4, 5, 6), (3,)
_PCD_TYPES = {('F', '4'): 'f4', ('I', '1'): 'i1', ('I', '2'): 'i2', ('I', '4'): 'i4'}


@dataclass(frozen=True, eq=False)
class Shot:
    """One file of one sensor with its place in the world when it was taken."""

    path: Path
    T_world_sensor: NDArray[np.float64]
    K: NDArray[np.float64]
    size: tuple[int, int]


class NuScenes:
    """The key frames of some scenes: front camera, LiDAR and front radar.

    Parameters
    ----------
    path
        The folder that holds ``samples`` and the folder of a version.
    version
        ``v1.0-test``, ``v1.0-trainval``.
    scenes
        Names of the scenes; None: all.
    benchmark
        Name of the benchmark, for refusals.
    with_radar
        Whether the radar's files have to be there.
    """

    def __init__(
        self,
        path: Path,
        version: str,
        scenes: tuple[str, ...] | None,
        benchmark: str,
        with_radar: bool,
    ) -> None:
        self._folder, self._path = Folder(path, benchmark), path
        self._channels = (CAMERA, LIDAR, RADAR) if with_radar else (CAMERA, LIDAR)
        files = {name: path / version / f'{name}.json' for name in _TABLES}
        self._folder.required(files.values())
        wanted = {
            row['token']
            for row in self._rows(files['scene'], ('token', 'name'))
            if scenes is None or row['name'] in scenes
        }
        samples = self._rows(files['sample'], ('token', 'scene_token', 'timestamp'))
        samples = [row for row in samples if row['scene_token'] in wanted]
        shots = self._key_shots(files['sample_data'])
        samples = sorted(samples, key=lambda row: row['timestamp'])
        self.ids = [row['token'] for row in samples]
        if not self.ids:
            raise self._folder.fault(files['sample'], 'has no sample of the scenes of the split')
        self._shots = self._placed(files, {token: shots.get(token, {}) for token in self.ids})

    def load(self, index: int) -> Item:
        """Read an image with its LiDAR sweep as depth, and its radar sweep."""
        shots = self._shots[index]
        camera_shot, lidar_shot = shots[CAMERA], shots[LIDAR]
        image = self._folder.image(camera_shot.path)
        self._folder.same_size(camera_shot.path, image, camera_shot.size)
        camera = CameraModel(image.shape[1], image.shape[0], camera_shot.K)
        T_camera_world = np.linalg.inv(camera_shot.T_world_sensor)
        xyz = self._lidar(lidar_shot.path)
        depth = depth_of_sweep(camera, xyz, T_camera_world @ lidar_shot.T_world_sensor)
        prompts: dict[str, SparsePrompt] = {}
        if RADAR in shots:
            radar = read_radar(self._folder, shots[RADAR].path)
            prompts['radar'] = prompt_from_radar(
                camera,
                radar,
                T_camera_world @ shots[RADAR].T_world_sensor,
                min_depth_m=NEAREST_M,
            )
        return Item(self.ids[index], image, depth, camera, prompts)

    def _lidar(self, path: Path) -> NDArray[np.float32]:
        values = np.fromfile(path, '<f4')
        if values.size % _LIDAR_VALUES:
            raise self._folder.fault(
                path, f'has {values.size} float32, expected a multiple of {_LIDAR_VALUES}'
            )
        return values.reshape(-1, _LIDAR_VALUES)[:, :3].astype(np.float32)

    def _rows(self, path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
        try:
            with path.open(encoding='utf-8') as stream:
                rows = json.load(stream, object_hook=_without_other_frames)
        except (ValueError, RecursionError) as error:
            raise self._folder.fault(path, f'cannot be read as JSON ({error})') from error
        rows = [row for row in rows if row is not None] if isinstance(rows, list) else None
        if rows is None or not all(isinstance(row, dict) for row in rows):
            raise self._folder.fault(path, 'is no list of objects')
        for row in rows:
            for key in keys:
                if key not in row:
                    raise self._folder.fault(path, f'has a row without {key}')
        return rows

    def _key_shots(self, path: Path) -> dict[str, dict[str, dict[str, Any]]]:
        keys = ('sample_token', 'filename', 'calibrated_sensor_token', 'ego_pose_token')
        shots: dict[str, dict[str, dict[str, Any]]] = {}
        for row in self._rows(path, keys):
            channel = Path(row['filename']).parent.name
            if channel in self._channels:
                shots.setdefault(row['sample_token'], {})[channel] = row
        return shots

    def _placed(
        self, files: dict[str, Path], shots: dict[str, dict[str, dict[str, Any]]]
    ) -> list[dict[str, Shot]]:
        pose_keys = ('token', 'rotation', 'translation')
        sensors = {r['token']: r for r in self._rows(files['calibrated_sensor'], pose_keys)}
        poses = {r['token']: r for r in self._rows(files['ego_pose'], pose_keys)}
        placed = []
        for token, by_channel in shots.items():
            for channel in self._channels:
                if channel not in by_channel:
                    raise self._folder.fault(
                        files['sample_data'], f'has no {channel} of the sample {token}'
                    )
            placed.append(
                {name: self._shot(files, row, sensors, poses) for name, row in by_channel.items()}
            )
        self._folder.required(shot.path for part in placed for shot in part.values())
        return placed

    def _shot(
        self,
        files: dict[str, Path],
        row: dict[str, Any],
        sensors: dict[str, Any],
        poses: dict[str, Any],
    ) -> Shot:
        try:
            sensor = sensors[row['calibrated_sensor_token']]
            T = _transform(poses[row['ego_pose_token']]) @ _transform(sensor)
            K = np.array(sensor.get('camera_intrinsic') or np.eye(3), np.float64)
        except (KeyError, ValueError) as error:
            raise self._folder.fault(
                files['sample_data'], f'names a pose or sensor that cannot be used ({error})'
            ) from error
        path = inside(self._path, row['filename'], 'benchmark_layout')
        return Shot(path, T, K, (int(row.get('height') or 0), int(row.get('width') or 0)))


def _without_other_frames(row: dict[str, Any]) -> dict[str, Any] | None:
    """Drop what lies between key frames while it is read: nine rows of ten."""
    return None if row.get('is_key_frame') is False else row


def _transform(row: dict[str, Any]) -> NDArray[np.float64]:
    w, x, y, z = row['rotation']
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat((x, y, z, w)).as_matrix()
    T[:3, 3] = row['translation']
    return T


def depth_of_sweep(
    camera: CameraModel, xyz: NDArray[np.float32], T_camera_lidar: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return (H, W) meters of a sweep: the nearest of a pixel, 1 m and a border of 1 px away."""
    points = xyz.astype(np.float64) @ T_camera_lidar[:3, :3].T + T_camera_lidar[:3, 3]
    points = points[points[:, 2] > NEAREST_M]
    uv = np.rint(points @ camera.K.T / points[:, 2:]).astype(np.int64)[:, :2]
    inside = (uv > 0).all(axis=1) & (uv < np.array(camera.size) - 1).all(axis=1)
    depth = np.full(camera.width * camera.height, np.inf, np.float32)
    pixel = uv[inside, 1] * camera.width + uv[inside, 0]
    np.minimum.at(depth, pixel, points[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(camera.height, camera.width)


def read_radar(folder: Folder, path: Path) -> NDArray[np.float32]:
    """Read the points of a radar sweep that are no clutter, as (N, 3)."""
    data = path.read_bytes()
    end = data.find(b'DATA binary\n')
    if end < 0:
        raise folder.fault(path, 'is no PCD with binary data')
    header = {
        words[0]: words[1:]
        for words in (line.split() for line in data[:end].decode('ascii', 'replace').splitlines())
        if words
    }
    try:
        kinds = zip(header['TYPE'], header['SIZE'], strict=True)
        types = [_PCD_TYPES[kind] for kind in kinds]
        record = np.dtype([(n, f'<{t}') for n, t in zip(header['FIELDS'], types, strict=True)])
        count = int(header['POINTS'][0])
        points = np.frombuffer(data, record, count, end + len(b'DATA binary\n'))
        kept = (
            np.isin(points['invalid_state'], _VALID_STATES)
            & np.isin(points['dyn_prop'], _DYNAMIC)
            & np.isin(points['ambig_state'], _UNAMBIGUOUS)
        )
        xyz = np.stack([points[axis] for axis in 'xyz'], axis=1)[kept]
    except (KeyError, ValueError) as error:
        reason = re.sub(r'\s+', ' ', str(error))
        raise folder.fault(path, f'is no radar sweep of nuScenes ({reason})') from error
    return xyz.astype(np.float32)
