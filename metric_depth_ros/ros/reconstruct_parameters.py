# SPDX-License-Identifier: Apache-2.0
"""The parameters of the `reconstruct` node, as frozen dataclasses. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameter_table import CONFIGURE, READ_ONLY, ParameterTable, parameter
from metric_depth_ros.ros.parameters import (
    DiagnosticsSettings,
    MountSettings,
    check_extrinsics,
)


@dataclass(frozen=True)
class PoseSettings:
    """Where the camera is."""

    source: str = parameter(
        'tf2',
        'tf2 (needs tf2_ros): the transform from world_frame to the frame of the depth, without '
        'extrinsics.source. odometry: nav_msgs/Odometry on odometry. pose: '
        'geometry_msgs/PoseStamped on pose.',
        choices=('tf2', 'odometry', 'pose'),
        change=CONFIGURE,
    )
    frame: str = parameter(
        '',
        'With odometry or pose: frame that they are the place of. Empty: child_frame_id of the '
        'odometry; the frame of the depth for poses.',
        change=CONFIGURE,
    )
    max_wait_s: float = parameter(
        0.5,
        'How long a depth image waits for the pose of its stamp, in seconds after its arrival; '
        'then it is dropped and counted. A pose is interpolated, never extrapolated.',
        minimum=0.0,
        maximum=60.0,
    )


@dataclass(frozen=True)
class FusionSettings:
    """How depth becomes a surface."""

    voxel_size_m: float = parameter(
        0.05, 'Edge of a voxel, in meters.', minimum=0.002, maximum=2.0, change=CONFIGURE
    )
    max_depth_m: float = parameter(
        8.0, 'Depth beyond is left out, in meters.', minimum=0.1, maximum=500.0, change=CONFIGURE
    )
    window_m: float = parameter(
        15.0,
        'What is farther from the camera is finished and freed, in meters: this bounds memory. At '
        'least fusion.max_depth_m.',
        minimum=0.1,
        maximum=1e4,
        change=CONFIGURE,
    )
    min_weight: float = parameter(
        0.2,
        'Weight that a surface needs: the confidences of its measurements, added up.',
        minimum=0.0,
        maximum=100.0,
        change=CONFIGURE,
    )
    min_confidence: float = parameter(
        0.1, 'Depth of lower confidence is left out.', minimum=0.0, maximum=1.0
    )
    max_rate_hz: float = parameter(
        5.0,
        'Depth images that are fused, at most, a second; 0 fuses all that the computer can.',
        minimum=0.0,
        maximum=1000.0,
    )
    device: str = parameter(
        'auto',
        'Where to fuse: auto (a GPU that open3d sees), cpu, cuda, cuda:1.',
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class CloudSettings:
    """The topic reconstruction/points."""

    mode: str = parameter(
        'changed',
        'changed: points of what was fused into since the last message. window: of all that is in '
        'memory.',
        choices=('changed', 'window'),
    )
    rate_hz: float = parameter(1.0, 'Messages a second, at most.', minimum=0.01, maximum=50.0)
    spacing_m: float = parameter(
        0.05,
        'One point a cube of this size, in meters; 0 thins nothing.',
        minimum=0.0,
        maximum=10.0,
    )


@dataclass(frozen=True)
class SaveSettings:
    """Files of the surface: mesh and cloud, binary PLY."""

    folder: str = parameter(
        '',
        'Folder of the files; empty: metric_depth_reconstructions in the ROS home folder '
        '(ROS_HOME, ~/.ros).',
        change=CONFIGURE,
    )
    on_shutdown: bool = parameter(
        False, 'Write them when the node is cleaned up or ends, too, and before a restart.'
    )
    max_finished_mb: float = parameter(
        1000.0,
        'Room on the disk of this folder for what the window has left behind, in megabytes. 0: '
        'files hold what is in the window alone.',
        minimum=0.0,
        maximum=1e6,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class ReconstructNodeSettings:
    """All parameters of the node, checked."""

    autostart: bool = parameter(
        True,
        'Configure and activate at start; false leaves that to a lifecycle manager.',
        change=READ_ONLY,
    )
    world_frame: str = parameter(
        'odom',
        'With pose.source tf2: frame in which the surface is built. One without jumps: in map, a '
        'correction of the localization doubles every surface. Odometry and poses name theirs.',
        change=CONFIGURE,
    )
    camera: str = parameter(
        '',
        'Name of the camera, which topics begin with where the depth node has several.',
        change=CONFIGURE,
    )
    color: str = parameter(
        'none',
        'Color of the surface: raw subscribes to image, compressed to image/compressed. It must '
        'be the image that the depth is of: with camera.rectify of the depth node the rectified.',
        choices=('none', 'raw', 'compressed'),
        change=CONFIGURE,
    )
    time_jump: str = parameter(
        'restart',
        'When stamps go back (a bag or a simulation began anew). restart: begin a new surface. '
        'keep: go on, where the world and its frame are still the same.',
        choices=('restart', 'keep'),
    )
    log_throttle_s: float = parameter(
        5.0,
        'The same fault of the same topic is logged at most this often, in seconds.',
        minimum=0.0,
        maximum=3600.0,
    )
    pose: PoseSettings = field(default_factory=PoseSettings)
    extrinsics: MountSettings = field(default_factory=MountSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    cloud: CloudSettings = field(default_factory=CloudSettings)
    save: SaveSettings = field(default_factory=SaveSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)


def _check_together(settings: ReconstructNodeSettings) -> None:
    fusion = settings.fusion
    if fusion.window_m < fusion.max_depth_m:
        raise InputError(
            'parameter',
            f'parameter fusion.window_m is {fusion.window_m:g}, expected at least '
            f'fusion.max_depth_m, which is {fusion.max_depth_m:g}: what the camera sees must lie '
            'in its window.',
        )
    if settings.pose.source != 'tf2':
        check_extrinsics(settings.extrinsics)


RECONSTRUCT_NODE = ParameterTable(ReconstructNodeSettings, _check_together)
