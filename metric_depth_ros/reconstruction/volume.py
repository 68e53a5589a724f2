# SPDX-License-Identifier: Apache-2.0
"""`Volume`: depth images fused into a truncated signed distance field. Loads open3d and torch.

Space is hashed into blocks of voxels, and only blocks near a surface exist (open3d's
VoxelBlockGrid, on a GPU where there is one). open3d's own integration counts every measurement
alike; ours weighs each pixel, on the same memory. Blocks that the camera has left behind are
turned into triangles and freed, so that a drive of any length needs the memory of its window.

Source: Curless and Levoy 1996 (weighted distance fields); Niessner et al. 2013 (hashed blocks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.geometry.rigid import Transform, inverse
from metric_depth_ros.libraries import import_open3d
from metric_depth_ros.reconstruction.block_numbers import blocks_of, numbers_of
from metric_depth_ros.reconstruction.block_points import BLOCK, Field, crossings
from metric_depth_ros.reconstruction.surface import Surface
from metric_depth_ros.reconstruction.touched_blocks import touched_blocks

_FIRST_BLOCKS = 4_096
_HEAVIEST = 100.0  # a scene that changes must not fight an endless past
# Places are 32-bit floats, which tell 16 steps in a voxel apart there and no fewer nearer.
_FARTHEST_VOXELS = 2**20
_BLOCKS_AT_ONCE = 4_096
_SELF_AND_NEXT = np.array(((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)), np.int64)


@dataclass(frozen=True)
class VolumeSettings:
    """How finely and how far to fuse.

    Parameters
    ----------
    voxel_m
        Edge of a voxel.
    truncation_voxels
        Distances are kept up to this many voxels from a surface; several times the noise.
    max_depth_m
        Depth beyond is left out.
    min_weight
        Weight that a surface needs: one sure measurement weighs 1.
    window_m
        Blocks farther than this from the camera are finished and freed; infinite: never.
    device
        ``'auto'``, ``'cpu'`` or ``'cuda'``, ``'cuda:1'``.
    """

    voxel_m: float = 0.02
    truncation_voxels: float = 4.0
    max_depth_m: float = 10.0
    min_weight: float = 0.2
    window_m: float = float('inf')
    device: str = 'auto'

    def __post_init__(self) -> None:
        for name in ('voxel_m', 'truncation_voxels', 'max_depth_m', 'window_m'):
            value = getattr(self, name)
            if not value > 0.0 or (math.isinf(value) and name != 'window_m'):
                raise InputError('volume', f'{name} is {value}, expected a positive number.')
        if self.window_m < self.max_depth_m:
            raise InputError(
                'volume',
                f'window_m is {self.window_m:g}, less than max_depth_m {self.max_depth_m:g}: what '
                'the camera sees must lie in its window. Raise the one or lower the other.',
            )


class Volume:
    """Fuses depth images.

    Raises
    ------
    InputError
        open3d cannot be loaded, or it has no such device.
    """

    def __init__(self, settings: VolumeSettings) -> None:
        self.settings = settings
        self._open3d = import_open3d()
        core = self._open3d.core
        self._device = core.Device(_device_name(settings.device, core.cuda.is_available()))
        self._cameras: dict[CameraModel, Rectification] = {}
        self._grid = self._open3d.t.geometry.VoxelBlockGrid(
            ('tsdf', 'weight', 'color'),
            (core.float32, core.float32, core.float32),
            ((1), (1), (3)),
            settings.voxel_m,
            BLOCK,
            _FIRST_BLOCKS,
            self._device,
        )
        self._changed = np.empty(0, np.int64)

    @property
    def blocks(self) -> int:
        """Number of blocks in memory."""
        return int(self._grid.hashmap().size())

    def integrate(
        self,
        depth: NDArray[np.float32],
        image: NDArray[np.uint8],
        camera: CameraModel,
        T_world_camera: Transform,
        weight: NDArray[np.float32] | None = None,
    ) -> None:
        """Fuse one depth image.

        Parameters
        ----------
        depth
            (H, W) meters along the optical axis; what is not finite and positive is left out.
        image
            (H, W, 3) uint8 RGB.
        camera
            Camera of both.
        T_world_camera
            (4, 4) its place.
        weight
            (H, W) how much each pixel counts, in [0, 1]; None: 1 each.

        Raises
        ------
        InputError
            ``pose_far``: the camera is a million voxels from the origin of the world, or more.
        """
        self._refuse_far(T_world_camera[:3, 3])
        weight = np.ones(depth.shape, np.float32) if weight is None else weight
        camera, depth, image, weight = self._as_pinhole(camera, depth, image, weight)
        with np.errstate(invalid='ignore'):
            used = (depth > 0.0) & (depth <= self.settings.max_depth_m) & (weight > 0.0)
        if not used.any():
            return
        depth = np.where(used, depth, np.float32(0.0))
        touched = touched_blocks(
            depth, camera, T_world_camera, self.settings.voxel_m, self.settings.truncation_voxels
        )
        self._changed = np.union1d(self._changed, touched)
        buffers = self._activated(blocks_of(touched))
        xyz, index = self._grid.voxel_coordinates_and_flattened_indices(buffers)
        self._fuse(
            _shared(xyz), _shared(index), depth, image, weight, camera, inverse(T_world_camera)
        )

    def surface(self) -> Surface:
        """Return the triangles of all that is in memory."""
        if not self.blocks:
            return Surface.empty()
        mesh = self._grid.extract_triangle_mesh(self.settings.min_weight).cpu()
        vertices = mesh.vertex.positions.numpy().astype(np.float32)
        if not len(vertices):
            return Surface.empty()
        colors = np.clip(np.rint(mesh.vertex.colors.numpy() * 255.0), 0, 255).astype(np.uint8)
        return Surface(vertices, colors, mesh.triangle.indices.numpy().astype(np.int32))

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return (N, 3) points and (N, 3) RGB of all that is in memory."""
        return self._points_of(self._all_blocks())

    def changed_points(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the points of the blocks that were fused into since this was asked last."""
        changed, self._changed = blocks_of(self._changed), np.empty(0, np.int64)
        return self._points_of(changed)

    def release_far(self, center: NDArray[np.float64], *, finish: bool = True) -> Surface:
        """Finish and free the blocks outside the window around a place.

        Parameters
        ----------
        center
            (3,) meters in the world, e.g. where the camera is.
        finish
            Whether the surface is wanted; without, the blocks are freed and nothing is returned.

        Returns
        -------
        Surface
            Every triangle that needs a block which is gone now. A place that is seen again
            later is fused anew.
        """
        if np.isinf(self.settings.window_m) or not self.blocks:
            return Surface.empty()
        corners = self._all_blocks()
        edge_m = BLOCK * self.settings.voxel_m
        away = np.linalg.norm((corners + 0.5) * edge_m - center, axis=1)
        gone = away > self.settings.window_m
        if not gone.any():
            return Surface.empty()
        finished = Surface.empty()
        if finish:
            whole = self.surface()
            finished = whole.part(self._need_any(whole, corners[gone]))
        self._grid.hashmap().erase(self._keys(corners[gone]))
        self._changed = np.setdiff1d(self._changed, numbers_of(corners[gone]))
        return finished

    def _refuse_far(self, place: NDArray[np.float64]) -> None:
        limit_m = _FARTHEST_VOXELS * self.settings.voxel_m
        if not np.abs(place).max() < limit_m:
            x, y, z = place
            raise InputError(
                'pose_far',
                f'the camera is at ({x:.1f}, {y:.1f}, {z:.1f}) m, expected less than '
                f'{limit_m:.0f} m along each axis for voxels of {self.settings.voxel_m:g} m: take '
                'poses in a frame that begins near the recording, such as odom instead of UTM, or '
                'larger voxels.',
            )

    def _all_blocks(self) -> NDArray[np.int64]:
        table = self._grid.hashmap()
        keys = table.key_tensor()[table.active_buf_indices().to(self._open3d.core.int64)]
        return np.asarray(keys.cpu().numpy(), np.int64)

    def _keys(self, blocks: NDArray[np.int64]) -> Any:
        return self._open3d.core.Tensor(blocks.astype(np.int32), device=self._device)

    def _points_of(
        self, blocks: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        points, colors = [np.empty((0, 3), np.float32)], [np.empty((0, 3), np.uint8)]
        for first in range(0, len(blocks), _BLOCKS_AT_ONCE):
            field = self._field(blocks[first : first + _BLOCKS_AT_ONCE])
            xyz, rgb = crossings(field, self.settings.voxel_m)
            points.append(xyz.cpu().numpy())
            colors.append(rgb.round().clamp(0, 255).byte().cpu().numpy())
        return np.concatenate(points), np.concatenate(colors)

    def _field(self, blocks: NDArray[np.int64]) -> Field:
        """Return what is known in blocks that exist and along their far sides."""
        tsdf, weight, color = (
            _shared(self._grid.attribute(name)) for name in ('tsdf', 'weight', 'color')
        )
        found = [self._rows(blocks + step) for step in _SELF_AND_NEXT]
        known, exists = torch.stack([row for row, _ in found]), found[0][1]
        there = torch.stack([mask for _, mask in found])
        sure = (weight[known][..., 0] >= self.settings.min_weight) & there[..., None, None, None]
        values = torch.where(sure, tsdf[known][..., 0], torch.nan)
        corners = torch.from_numpy(blocks).to(values.device)[exists]
        return Field(corners, values[:, exists], color[known[0][exists]])

    def _rows(self, blocks: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the buffer row of each block, 0 where there is none, and which there are."""
        rows, there = self._grid.hashmap().find(self._keys(blocks))
        exists = _shared(there.to(self._open3d.core.uint8)).bool()
        return torch.where(exists, _shared(rows).long(), 0), exists

    def _need_any(self, surface: Surface, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which triangles were made of a corner in one of the blocks."""
        centroid = surface.vertices[surface.triangles].astype(np.float64).mean(axis=1)
        cube = np.floor(centroid / self.settings.voxel_m).astype(np.int64)
        wanted = numbers_of(blocks)
        needs = np.zeros(len(cube), bool)
        for corner in np.ndindex(2, 2, 2):
            needs |= np.isin(numbers_of((cube + corner) // BLOCK), wanted)
        return needs

    def _as_pinhole(
        self,
        camera: CameraModel,
        depth: NDArray[np.float32],
        image: NDArray[np.uint8],
        weight: NDArray[np.float32],
    ) -> tuple[CameraModel, NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        if camera.distortion.is_identity:
            return camera, depth, image, weight
        if camera not in self._cameras:
            self._cameras = {camera: Rectification(camera)}
        lens = self._cameras[camera]
        return lens.pinhole, lens.depth(depth), lens.image(image), lens.depth(weight)

    def _activated(self, blocks: NDArray[np.int64]) -> Any:
        """Return the buffers of blocks, made where they do not exist."""
        keys = self._keys(blocks)
        table = self._grid.hashmap()
        buffers, is_new = table.activate(keys)
        fresh = _shared(buffers)[_shared(is_new.to(self._open3d.core.uint8)).bool()].long()
        for name in ('tsdf', 'weight', 'color'):
            # A freed block leaves its values in the buffer that the next one gets.
            _shared(self._grid.attribute(name))[fresh] = 0.0
        return table.find(keys)[0]

    def _fuse(
        self,
        xyz: Tensor,
        index: Tensor,
        depth: NDArray[np.float32],
        image: NDArray[np.uint8],
        weight: NDArray[np.float32],
        camera: CameraModel,
        T_camera_world: Transform,
    ) -> None:
        device = xyz.device
        turn, move = (
            torch.from_numpy(part.astype(np.float32)).to(device)
            for part in (T_camera_world[:3, :3], T_camera_world[:3, 3])
        )
        local = xyz @ turn.T + move
        z = local[:, 2]
        K = camera.K
        u = (K[0, 0] * local[:, 0] + K[0, 1] * local[:, 1]) / z + K[0, 2]
        v = K[1, 1] * local[:, 1] / z + K[1, 2]
        seen = (z > 0.0) & (u > -0.5) & (v > -0.5)
        seen &= (u < camera.width - 0.5) & (v < camera.height - 0.5)
        rows = seen.nonzero()[:, 0]
        pixel = v[rows].round().long() * camera.width + u[rows].round().long()
        measured = _on(depth, device).reshape(-1)[pixel]
        truncation = self.settings.truncation_voxels * self.settings.voxel_m
        distance = measured - z[rows]
        near = (measured > 0.0) & (distance >= -truncation)
        rows, pixel, distance = rows[near], pixel[near], distance[near]
        voxel = index[rows]
        tsdf, old, color = (
            _shared(self._grid.attribute(name)).reshape(-1, channels)
            for name, channels in (('tsdf', 1), ('weight', 1), ('color', 3))
        )
        before = old[voxel]
        new = _on(weight, device).reshape(-1, 1)[pixel]
        total = before + new
        value = (distance / truncation).clamp(max=1.0)[:, None]
        tsdf[voxel] = (tsdf[voxel] * before + value * new) / total
        seen_color = _on(image, device).reshape(-1, 3)[pixel].float()
        color[voxel] = (color[voxel] * before + seen_color * new) / total
        old[voxel] = total.clamp(max=_HEAVIEST)


def _device_name(wanted: str, has_cuda: bool) -> str:
    if wanted == 'auto':
        return 'CUDA:0' if has_cuda else 'CPU:0'
    kind, _, number = wanted.upper().partition(':')
    if kind not in ('CPU', 'CUDA') or not (number or '0').isdecimal():
        raise InputError('device', f'device {wanted!r}: expected auto, cpu, cuda or cuda:N.')
    if kind == 'CUDA' and not has_cuda:
        raise InputError(
            'device', 'this open3d sees no CUDA device: choose cpu, or auto to take what is there.'
        )
    return f'{kind}:{number or 0}'


def _shared(tensor: Any) -> Tensor:
    """Return open3d's memory as a torch tensor, without a copy."""
    return torch.utils.dlpack.from_dlpack(tensor.to_dlpack())


def _on(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=('C', 'W'))).to(device)
