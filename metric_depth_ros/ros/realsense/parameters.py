# SPDX-License-Identifier: Apache-2.0
"""The table of the `realsense` node's parameters. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameter_table import CONFIGURE, READ_ONLY, ParameterTable, parameter
from metric_depth_ros.ros.parameters import DiagnosticsSettings


@dataclass(frozen=True)
class PlaybackSettings:
    """A recording instead of a camera."""

    file: str = parameter(
        '',
        'Recording of librealsense (.bag, or .db3 as new versions write) to play instead of '
        'a camera; empty: a camera.',
        change=CONFIGURE,
    )
    loop: bool = parameter(True, 'Begin anew at the end of the recording.', change=CONFIGURE)
    real_time: bool = parameter(
        True,
        'Play as fast as it was recorded, and drop frames where this machine is too slow. false: '
        'every frame, one after the other, as fast as they are taken.',
        change=CONFIGURE,
    )
    recorded_stamps: bool = parameter(
        False,
        'Stamp frames with the time of the recording. false: with the time at which they are '
        'played; where real_time is false, the time of the recording is always taken.',
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class ColorSettings:
    """The color stream; a recording has the one that was recorded."""

    enable: bool = parameter(True, 'Open the color stream.', change=CONFIGURE)
    width: int = parameter(
        640, 'Width in pixels; 0 takes any.', minimum=0, maximum=8192, change=CONFIGURE
    )
    height: int = parameter(
        480, 'Height in pixels; 0 takes any.', minimum=0, maximum=8192, change=CONFIGURE
    )
    rate_hz: int = parameter(
        30, 'Frames a second; 0 takes any.', minimum=0, maximum=300, change=CONFIGURE
    )


@dataclass(frozen=True)
class DepthStreamSettings:
    """The depth stream; a recording has the one that was recorded."""

    enable: bool = parameter(True, 'Open the depth stream.', change=CONFIGURE)
    width: int = parameter(
        640, 'Width in pixels; 0 takes any.', minimum=0, maximum=8192, change=CONFIGURE
    )
    height: int = parameter(
        480, 'Height in pixels; 0 takes any.', minimum=0, maximum=8192, change=CONFIGURE
    )
    rate_hz: int = parameter(
        30, 'Frames a second; 0 takes any.', minimum=0, maximum=300, change=CONFIGURE
    )
    align_to_color: bool = parameter(
        False,
        'Compute depth in the pixels of the color image too, on '
        '~/aligned_depth_to_color/image_raw.',
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class DecimationSettings:
    """librealsense's decimation filter: fewer pixels, each of several."""

    enable: bool = parameter(False, 'Make the depth image smaller.')
    magnitude: int = parameter(2, 'Pixels of a side that become one.', minimum=1, maximum=8)


@dataclass(frozen=True)
class ThresholdSettings:
    """librealsense's threshold filter."""

    enable: bool = parameter(False, 'Drop depth outside of a range.')
    min_m: float = parameter(0.1, 'Nearer is dropped, in meters.', minimum=0.0, maximum=16.0)
    max_m: float = parameter(4.0, 'Farther is dropped, in meters.', minimum=0.0, maximum=16.0)


@dataclass(frozen=True)
class SpatialSettings:
    """librealsense's spatial filter: smooth within surfaces, keep edges."""

    enable: bool = parameter(False, 'Smooth depth within surfaces.')
    magnitude: int = parameter(2, 'Number of iterations.', minimum=1, maximum=5)
    alpha: float = parameter(
        0.5, 'Weight of the pixel itself: 1 does not smooth.', minimum=0.25, maximum=1.0
    )
    delta: int = parameter(
        20,
        'Steps that are larger are edges: in units of depth, of disparity on a stereo camera.',
        minimum=1,
        maximum=50,
    )
    fill: int = parameter(
        0,
        'Holes that are filled along rows: 0 none, 1 to 4 up to 2, 4, 8, 16 pixels, 5 all.',
        minimum=0,
        maximum=5,
    )


@dataclass(frozen=True)
class TemporalSettings:
    """librealsense's temporal filter: smooth over frames."""

    enable: bool = parameter(False, 'Smooth depth over frames. Moving things leave traces.')
    alpha: float = parameter(
        0.4, 'Weight of the newest frame: 1 does not smooth.', minimum=0.0, maximum=1.0
    )
    delta: int = parameter(
        20,
        'Steps that are larger are new surfaces: in units of depth, of disparity on a stereo '
        'camera.',
        minimum=1,
        maximum=100,
    )
    persistence: int = parameter(
        3,
        'When a hole takes an older value: 0 never, 1 to 7 if valid in 8 of 8, 2 of 3, 2 of 4, '
        '2 of 8, 1 of 2, 1 of 5, 1 of 8 frames, 8 always.',
        minimum=0,
        maximum=8,
    )


@dataclass(frozen=True)
class HoleFillingSettings:
    """librealsense's hole filling filter. What it fills in is no measurement."""

    enable: bool = parameter(
        False, 'Fill holes with neighbors. As a prompt of the depth node, leave it off.'
    )
    mode: int = parameter(
        1,
        '0 the pixel on the left, 1 the farthest neighbor, 2 the nearest.',
        minimum=0,
        maximum=2,
    )


@dataclass(frozen=True)
class FilterSettings:
    """librealsense's filters of depth, in the order in which they are applied."""

    decimation: DecimationSettings = field(default_factory=DecimationSettings)
    threshold: ThresholdSettings = field(default_factory=ThresholdSettings)
    spatial: SpatialSettings = field(default_factory=SpatialSettings)
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    hole_filling: HoleFillingSettings = field(default_factory=HoleFillingSettings)


@dataclass(frozen=True)
class RealsenseSettings:
    """All parameters of the node, checked."""

    autostart: bool = parameter(
        True,
        'Configure and activate at start; false leaves that to a lifecycle manager.',
        change=READ_ONLY,
    )
    serial_number: str = parameter(
        '',
        'Camera to open, a string (quoted twice on a command line: \'"012345678901"\'). Empty: '
        'the only one that is connected.',
        change=CONFIGURE,
    )
    timeout_s: float = parameter(
        2.0,
        'A camera that sends nothing for this long is closed and opened again, in seconds.',
        minimum=0.2,
        maximum=60.0,
        change=CONFIGURE,
    )
    retry_max_s: float = parameter(
        8.0,
        'Longest time between two attempts to open a camera, in seconds; the first come sooner.',
        minimum=0.1,
        maximum=3600.0,
        change=CONFIGURE,
    )
    global_time: bool = parameter(
        True,
        'Let librealsense translate the clock of the camera to that of this machine, where the '
        'camera can.',
        change=CONFIGURE,
    )
    frame_prefix: str = parameter(
        '',
        'What the names of frames begin with (<prefix>_color_optical_frame); empty: the name of '
        'the node.',
        change=CONFIGURE,
    )
    calibration_file: str = parameter(
        '',
        'File that the place of the color and the depth camera is written to, for '
        'extrinsics.source file of a depth node without tf2. Empty: none.',
        change=CONFIGURE,
    )
    log_throttle_s: float = parameter(
        5.0,
        'The same fault is logged at most this often, in seconds.',
        minimum=0.0,
        maximum=3600.0,
    )
    playback: PlaybackSettings = field(default_factory=PlaybackSettings)
    color: ColorSettings = field(default_factory=ColorSettings)
    depth: DepthStreamSettings = field(default_factory=DepthStreamSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)


def _check_together(settings: RealsenseSettings) -> None:
    if not (settings.color.enable or settings.depth.enable):
        raise InputError(
            'parameter',
            'parameters color.enable and depth.enable are both false: nothing would be opened.',
        )
    if settings.depth.align_to_color and not (settings.color.enable and settings.depth.enable):
        raise InputError(
            'parameter',
            'parameter depth.align_to_color is true, but color.enable or depth.enable is false: '
            'depth is aligned to the color image.',
        )
    threshold = settings.filters.threshold
    if threshold.min_m >= threshold.max_m:
        raise InputError(
            'parameter',
            f'parameter filters.threshold.min_m is {threshold.min_m:g}, expected less than '
            f'filters.threshold.max_m, which is {threshold.max_m:g}.',
        )


REALSENSE_NODE = ParameterTable(RealsenseSettings, _check_together)
