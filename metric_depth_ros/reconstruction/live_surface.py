# SPDX-License-Identifier: Apache-2.0
"""`LiveSurface`: a surface that grows while a robot drives, in the memory of a window.

What the camera has left behind goes to a file on disk of bounded size. Loads open3d and torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.reconstruction.fusion import integrate
from metric_depth_ros.reconstruction.posed_frame import PosedFrame
from metric_depth_ros.reconstruction.surface import SurfacePieces
from metric_depth_ros.reconstruction.volume import Volume, VolumeSettings
from metric_depth_ros.types import DepthEstimate

# Freeing needs the whole surface: once for every such share of the window that is driven.
_RELEASE_SHARE = 0.1

Cloud = tuple[NDArray[np.float32], NDArray[np.uint8]]


class LiveSurface:
    """A surface that is fused a frame at a time.

    Parameters
    ----------
    settings
        Of the volume; its window bounds the memory.
    folder
        Where finished pieces are gathered; None: where the system puts temporary files.
    max_finished_bytes
        What may be gathered on disk; 0 keeps nothing but the window.

    Raises
    ------
    InputError
        open3d cannot be loaded, or it has no such device.
    """

    def __init__(
        self, settings: VolumeSettings, folder: Path | None = None, max_finished_bytes: int = 0
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._max_finished_bytes = max_finished_bytes
        self._freed_at: NDArray[np.float64]  # where the camera was then
        self._begin()

    @property
    def blocks(self) -> int:
        """Number of blocks in memory."""
        return self._volume.blocks

    @property
    def finished_bytes(self) -> int:
        """What finished pieces take on disk."""
        return self._finished.byte_count

    @property
    def is_full(self) -> bool:
        """Whether pieces were left out, because they would have needed too much of the disk."""
        return bool(self._max_finished_bytes) and self._finished.full

    def integrate(self, posed: PosedFrame, estimate: DepthEstimate, min_confidence: float) -> None:
        """Fuse one frame, and free what the camera has left behind.

        Raises
        ------
        OSError
            The frame is fused, but what was freed cannot be kept on disk: it is lost.
        """
        integrate(self._volume, posed, estimate, min_confidence)
        self.frames += 1
        place = posed.T_world_camera[:3, 3]
        if np.linalg.norm(place - self._freed_at) > _RELEASE_SHARE * self._settings.window_m:
            finish = bool(self._max_finished_bytes)
            part = self._volume.release_far(place, finish=finish)
            if len(part.vertices):
                self._finished.add(part)
            self._freed_at = place.copy()

    def changed_cloud(self) -> Cloud:
        """Return (N, 3) meters and RGB of the blocks fused into since this was asked last."""
        return self._volume.changed_points()

    def window_cloud(self) -> Cloud:
        """Return (N, 3) meters and RGB of all that is in memory."""
        return self._volume.points()

    def write(self, mesh: Path, cloud: Path) -> int:
        """Write what is finished and what is in memory; return the number of vertices.

        Raises
        ------
        OSError
            A file cannot be written.
        """
        current = self._volume.surface()
        self._finished.write(mesh, last=current)
        return self._finished.write(cloud, faces=False, last=current)

    def restart(self) -> None:
        """Forget everything and begin anew."""
        self._finished.close()
        self._begin()

    def close(self) -> None:
        """Give back disk and memory; there is no surface after this.

        Open3D ends a process with an error where it still holds memory, and who else refers to
        this object then is not known.
        """
        self._finished.close()
        del self._volume

    def _begin(self) -> None:
        self.frames = 0
        self._volume = Volume(self._settings)
        self._finished = SurfacePieces(self._folder, self._max_finished_bytes)
        self._freed_at = np.full(3, np.inf)
