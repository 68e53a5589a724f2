# SPDX-License-Identifier: Apache-2.0
"""The managed node that fuses published depth into a surface.

configure: the volume, the poses, the publisher, the service. activate: the subscriptions to a
depth node's outputs, and the thread that fuses. open3d and torch load at configure.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.codecs.stamps import sec_nanosec
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.voxels import voxel_firsts
from metric_depth_ros.resources import ros_home, user_path
from metric_depth_ros.ros.dense_inputs import DenseInputs
from metric_depth_ros.ros.diagnostics import (
    Problem,
    counted_problems,
    lasting_problem,
    unique_name,
)
from metric_depth_ros.ros.fusing import COUNTS, FusionWorker
from metric_depth_ros.ros.managed_node import STOP_S, ManagedNode
from metric_depth_ros.ros.messages import MessageBuffer, cloud_message
from metric_depth_ros.ros.pose_sources import create_poses
from metric_depth_ros.ros.qos import advertise
from metric_depth_ros.ros.reconstruct_parameters import (
    RECONSTRUCT_NODE,
    ReconstructNodeSettings,
)
from metric_depth_ros.ros.silence import silent_after_s
from metric_depth_ros.ros.tally import Tally
from metric_depth_ros.ros.writing import WRITING

if TYPE_CHECKING:
    from metric_depth_ros.reconstruction.live_surface import Cloud, LiveSurface

CLOUD = 'reconstruction/points'
_UNSAVED_STOP_S = 4.0  # where a surface is to be written: launch insists after five
_MEGABYTE = 1_000_000


class ReconstructNode(ManagedNode[ReconstructNodeSettings]):
    """A surface of all that a depth node has published."""

    def __init__(self) -> None:
        super().__init__('reconstruct', RECONSTRUCT_NODE, 'surface')
        self._surface: LiveSurface | None = None
        self._worker: FusionWorker | None = None
        self._inputs: DenseInputs | None = None
        self._counts = Tally(*COUNTS)

    def _configure(self) -> None:
        settings = self._settings
        self._counts = Tally(*COUNTS)
        self._folder = _folder(settings.save.folder)
        self._poses = create_poses(settings, self, self._faults)
        self._releases.append(self._poses.close)
        self._cloud = advertise(self, PointCloud2, CLOUD, self._faults.report)
        self._releases.append(lambda: self.destroy_publisher(self._cloud))
        self._worker = self._begin_surface()
        self._releases.append(self._forget)
        self._offer('~/save', self._save)
        self.get_logger().info(
            f'configured: voxels of {settings.fusion.voxel_size_m:g} m within '
            f'{settings.fusion.window_m:g} m, poses from {self._poses.topic}'
        )

    def _begin_surface(self) -> FusionWorker:
        """Begin a surface; return the thread that grows it."""
        self._surface = _live_surface(self._settings, self._folder)
        return FusionWorker(
            self._surface,
            self._poses,
            lambda: self._settings,
            self._publish,
            self._cloud.get_subscription_count,
            self._counts,
            self._faults,
            self._save_or_report,
        )

    def _activate(self) -> None:
        if self._worker is None:  # abandoned with a frame of before
            self._worker = self._begin_surface()
        worker = self._worker
        worker.start()
        self._inputs = DenseInputs(
            self,
            worker.offer,
            self._faults,
            camera=self._settings.camera,
            color=self._settings.color,
            on_jump=worker.jumped_back,
        )
        self._inputs.open()
        topics = (*self._inputs.topics.values(), self._poses.topic)
        self.get_logger().info(f'active: waiting for {", ".join(topics)}')

    def _deactivate(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
        if self._worker is not None and not self._worker.stop(self._patience_s()):
            self.get_logger().warning(
                'a frame is still being fused: it is abandoned, and the surface with it'
            )
            self._surface = self._worker = None  # the thread may still write to it
        self._inputs = None

    def _patience_s(self) -> float:
        """Return how long a frame that is being fused may take until it is abandoned."""
        unsaved = self._settings.save.on_shutdown and self._counts['fused']
        return _UNSAVED_STOP_S if unsaved else STOP_S

    def _forget(self) -> None:
        """Give back the surface, written before if that is wanted."""
        if self._surface is None:
            return
        if self._settings.save.on_shutdown and self._surface.frames:
            self._save_or_report()
        self._surface.close()
        self._surface = self._worker = None

    def _publish(self, cloud: Cloud, world: str, stamp_ns: int) -> None:
        points, colors = cloud
        if self._settings.cloud.spacing_m:
            kept = voxel_firsts(points, self._settings.cloud.spacing_m)
            points, colors = points[kept], colors[kept]
        columns = {axis: points[:, i] for i, axis in enumerate('xyz')}
        if self._settings.color != 'none':
            red, green, blue = colors.T.astype(np.uint32)
            packed = (red << 16) | (green << 8) | blue
            columns['rgb'] = packed.view(np.float32)
        fields = encode_cloud(columns)
        seconds, nanoseconds = sec_nanosec(stamp_ns)
        header = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=world)
        self._cloud.publish(cloud_message(header, fields, MessageBuffer.holding(fields.data)))

    def _save_or_report(self) -> None:
        try:
            self.get_logger().info(f'saved {self._save()}')
        except InputError as error:
            self._faults.report(self.get_name(), error.fault, str(error))

    def _save(self) -> str:
        """Write mesh and cloud of the surface and return the name of the mesh.

        Raises
        ------
        InputError
            Nothing is fused, or the files cannot be written.
        """
        if self._worker is None:  # abandoned, and its surface with it
            return self._write(None)
        with self._worker.surface() as surface:
            if surface is None:
                raise InputError(
                    'save',
                    'a frame is being fused that takes long: nothing is written, try again.',
                )
            return self._write(surface)

    def _write(self, surface: LiveSurface | None) -> str:
        if surface is None or not surface.frames:
            raise InputError('save', 'no depth image has been fused yet: there is no surface.')
        # Wall time: that of a simulation is the same for all nodes, and again when it restarts.
        name = f'{unique_name(self).replace("/", "_")}_{time.time_ns()}'
        mesh, cloud = (self._folder / f'{kind}_{name}.ply' for kind in ('mesh', 'cloud'))
        try:
            with WRITING:
                surface.write(mesh, cloud)
        except OSError as error:
            raise InputError(
                'save',
                f'{mesh} cannot be written: {error.strerror or error} (parameter save.folder).',
            ) from error
        return str(mesh)

    def _health(self) -> list[DiagnosticStatus]:
        surface = self._surface
        values: dict[str, object] = dict(self._counts.counts())
        if surface is not None:
            values['blocks'] = surface.blocks
            values['finished_mb'] = surface.finished_bytes / _MEGABYTE
        if self._worker is not None and self._worker.recent_ms:
            for percent in (50, 95):
                took_ms = float(np.percentile(list(self._worker.recent_ms), percent))
                values[f'fuse_ms_p{percent}'] = took_ms
        name = self.get_fully_qualified_name()
        return [self._health_of(name, 'depth is fused', values)]

    def _problems(self) -> list[Problem]:
        assert self._inputs is not None
        problems = self._inputs.problems(silent_after_s(self._settings.diagnostics.period_s))
        problems += lasting_problem(self._poses.problem)
        words = {
            'no_color': 'had no color image of their stamp and are gray (parameter color)',
            'no_pose': f'had no pose on {self._poses.topic}',
            'replaced': 'were dropped since too many waited',
            'bad_input': 'could not be used',
            'failed': 'failed',
        }
        problems += counted_problems(self._counts.new(), 'depth images', words)
        if self._surface is not None and self._surface.is_full:
            problems.append(
                (
                    DiagnosticStatus.WARN,
                    'save.max_finished_mb is used up: what is left behind is not kept any more.',
                )
            )
        return problems


def _live_surface(settings: ReconstructNodeSettings, folder: Path) -> LiveSurface:
    from metric_depth_ros.reconstruction.live_surface import LiveSurface
    from metric_depth_ros.reconstruction.volume import VolumeSettings

    fusion = settings.fusion
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return LiveSurface(
            VolumeSettings(
                voxel_m=fusion.voxel_size_m,
                max_depth_m=fusion.max_depth_m,
                min_weight=fusion.min_weight,
                window_m=fusion.window_m,
                device=fusion.device,
            ),
            folder,
            int(settings.save.max_finished_mb * _MEGABYTE),
        )
    except OSError as error:
        raise InputError(
            'save',
            f'{folder} cannot be written into: {error.strerror or error} (parameter save.folder).',
        ) from error


def _folder(given: str) -> Path:
    if given:
        return user_path(given)
    return ros_home() / 'metric_depth_reconstructions'
