# SPDX-License-Identifier: Apache-2.0
"""The one table of the `depth` node's parameters, as frozen dataclasses.

Everything else derives from it: the declaration (`declaration`), the checks, and
docs/PARAMETERS.md (``python -m metric_depth_ros.ros.parameters``). Standard library only.
"""

from __future__ import annotations

import math
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path

from metric_depth_ros.errors import InputError

# When a changed value takes effect.
LIVE = 'next frame'
ESTIMATOR = 'when the new estimator is ready'
CONFIGURE = 'next configure'
READ_ONLY = 'read-only'

PROMPT_SOURCES = ('points', 'sensor_depth', 'radar')

# typing.Any by another name: a default stands for the type that its field is annotated with.
_FieldDefault = typing.Any


def _parameter(
    default: object,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    change: str = LIVE,
) -> _FieldDefault:
    metadata = {
        'description': description,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'change': change,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ModelSettings:
    """How a learned estimator runs."""

    weights: str = _parameter(
        '',
        'Checkpoint of the estimator: a file, a folder or a Hugging Face id; empty takes the '
        'released one. Several networks (a prior, the fallback): name=checkpoint, separated by '
        'commas.',
        change=ESTIMATOR,
    )
    revision: str = _parameter(
        '', 'Commit, tag or branch of the Hugging Face repository.', change=ESTIMATOR
    )
    precision: str = _parameter(
        'auto',
        'What the network computes in. auto: bf16 on a GPU that has it, else fp32.',
        choices=('auto', 'fp32', 'bf16', 'fp16'),
        change=ESTIMATOR,
    )
    compile: bool = _parameter(
        False,
        'Compile the network (torch.compile): the first frame takes long, the others less.',
        change=ESTIMATOR,
    )
    resolution_scale: float = _parameter(
        1.0,
        'Tokens of the image, in multiples of the usual: 3 and 9 for finer detail, less than 1 '
        'for speed.',
        minimum=0.1,
        maximum=9.0,
        change=ESTIMATOR,
    )
    backend: str = _parameter(
        'torch',
        'What runs the network: torch, or ONNX Runtime.',
        choices=('torch', 'onnx'),
        change=ESTIMATOR,
    )
    preset: str = _parameter(
        'full',
        'realtime is a fifth of the arithmetic of student_depthmap and teacher, with less detail; '
        'full is as they were released.',
        choices=('full', 'realtime'),
        change=ESTIMATOR,
    )
    warm_up_width: int = _parameter(
        0,
        'Width of the images that the network is warmed up for at configure; 0 does not, and the '
        'first frame takes longer.',
        minimum=0,
        maximum=32_768,
        change=ESTIMATOR,
    )
    warm_up_height: int = _parameter(
        0, 'Height of these images.', minimum=0, maximum=32_768, change=ESTIMATOR
    )


@dataclass(frozen=True)
class CameraSettings:
    """How the image relates to its CameraInfo."""

    rectified: bool = _parameter(
        False,
        'The image is rectified: use P of CameraInfo and no distortion (REP-104).',
        change=CONFIGURE,
    )
    rectify: bool = _parameter(
        False,
        'Rectify the image first: prompts, depth and clouds are those of an ideal pinhole. For '
        'fisheye cameras, and for methods that know pinholes only.',
        change=CONFIGURE,
    )
    rectified_fov_deg: float = _parameter(
        0.0,
        'With camera.rectify: horizontal field of view of the pinhole, in degrees; 0 takes P of '
        'CameraInfo.',
        minimum=0.0,
        maximum=150.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class PromptSettings:
    """What becomes a prompt, and how it is paired with an image."""

    sources: tuple[str, ...] = _parameter(
        ('points',),
        'Topics that give metric depth: points (PointCloud2 of a LiDAR), sensor_depth (depth '
        'image), radar (PointCloud2 of a radar).',
        choices=PROMPT_SOURCES,
        change=CONFIGURE,
    )
    max_age_s: float = _parameter(
        0.15,
        'A measurement further than this from the stamp of the image is not used, in seconds.',
        minimum=0.0,
        maximum=60.0,
    )
    max_wait_s: float = _parameter(
        0.05,
        'How long an image waits for a measurement that is due, in seconds after its arrival. A '
        'source that is silent, or not due, is not waited for. 0 never waits.',
        minimum=0.0,
        maximum=1.0,
    )
    min_points: int = _parameter(
        10,
        'With fewer points the fallback_estimator answers, if there is one.',
        minimum=1,
        maximum=1_000_000,
        change=ESTIMATOR,
    )
    min_depth_m: float = _parameter(
        0.1, 'Nearer measurements are dropped (own vehicle), in meters.', minimum=0.0, maximum=1e3
    )
    max_depth_m: float = _parameter(
        250.0, 'Farther measurements are dropped, in meters.', minimum=0.01, maximum=1e5
    )
    sigma_m: float = _parameter(
        0.02,
        'Range noise of the points: one standard deviation, constant part, in meters.',
        minimum=0.0,
        maximum=10.0,
    )
    sigma_rel: float = _parameter(
        0.005,
        'Range noise of the points: part that grows with depth (calibration, beam width).',
        minimum=0.0,
        maximum=1.0,
    )
    remove_occluded: bool = _parameter(
        True, 'Drop points that the camera cannot see because a nearer surface hides them.'
    )
    max_points: int = _parameter(
        2_000_000,
        'A cloud with more points is refused, so that one message cannot stall the camera.',
        minimum=1,
        maximum=100_000_000,
    )
    compensate_motion: bool = _parameter(
        True,
        'Move every point of a cloud that has per-point times to the stamp of the image, where '
        'the motion through extrinsics.fixed_frame is known.',
    )
    time_field: str = _parameter(
        '',
        'Field of the cloud that holds the time of each point; empty: t, time, timestamp, '
        'time_stamp or offset_time.',
    )
    time_unit: str = _parameter(
        'auto',
        'Unit of that field; auto: the one in which a sweep lasts 1 ms to 1 s.',
        choices=('auto', 's', 'us', 'ns'),
    )
    radar_sigma_m: float = _parameter(
        0.5,
        'Range noise of radar: one standard deviation, constant part, in meters.',
        minimum=0.0,
        maximum=100.0,
    )
    radar_sigma_rel: float = _parameter(
        0.02,
        'Range noise of radar: part that grows with depth.',
        minimum=0.0,
        maximum=1.0,
    )
    depth_transport: str = _parameter(
        'raw',
        'raw subscribes to sensor_depth/image, compressedDepth to '
        'sensor_depth/image/compressedDepth (PNG or RVL).',
        choices=('raw', 'compressedDepth'),
        change=CONFIGURE,
    )
    remove_flying_pixels: bool = _parameter(
        True,
        'Drop pixels of sensor_depth that float or are smeared between a near and a far surface.',
    )
    depth_alignment: str = _parameter(
        'auto',
        'How sensor_depth lies to the image: registered (same pixels), unregistered (own lens and '
        'place: needs sensor_depth/camera_info and extrinsics), low_resolution (same view, fewer '
        'pixels). auto: registered when frame and size are those of the image, else unregistered.',
        choices=('auto', 'registered', 'unregistered', 'low_resolution'),
        change=CONFIGURE,
    )
    depth_sigma_m_at_1m: float = _parameter(
        0.002,
        'Noise of sensor_depth at 1 m, growing with the square of depth, in meters.',
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class ExtrinsicsSettings:
    """Where the place of the sensors comes from."""

    source: str = _parameter(
        'tf2',
        'tf2 (needs tf2_ros), file (calibration file) or bag (/tf_static of a recording).',
        choices=('tf2', 'file', 'bag'),
        change=CONFIGURE,
    )
    path: str = _parameter(
        '',
        'The calibration file (YAML, Kalibr camchain, KITTI calib.txt / calib_velo_to_cam.txt) or '
        'the bag. A file that changes is read again.',
        change=CONFIGURE,
    )
    frames: str = _parameter(
        '',
        'Names of frames that differ in file and messages: camera_optical_frame=cam0, several '
        'separated by commas.',
        change=CONFIGURE,
    )
    kitti_camera: int = _parameter(
        2,
        'Camera 0 to 3 of a KITTI calibration that the image is from.',
        minimum=0,
        maximum=3,
        change=CONFIGURE,
    )
    fixed_frame: str = _parameter(
        'odom',
        'With tf2 or a bag that has /tf: frame through which a measurement is moved from its '
        'stamp to that of the image. Without that frame in the tree, or empty, the sensors count '
        'as rigidly mounted.',
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class DepthSettings:
    """What is published."""

    encoding: str = _parameter(
        '32FC1',
        '32FC1: meters, NaN unknown, +Inf beyond range. 16UC1: millimeters, 0 for both.',
        choices=('32FC1', '16UC1'),
    )
    max_range_m: float = _parameter(
        250.0, 'Depth beyond this is +Inf (REP-117), in meters.', minimum=0.1, maximum=1e6
    )
    min_confidence: float = _parameter(
        0.0, 'Depth of lower confidence is NaN.', minimum=0.0, maximum=1.0
    )
    edge_filter: float = _parameter(
        0.0,
        'Depth that rises by more than this share of itself a pixel, on both sides, is NaN: it '
        'floats between two surfaces. 0 filters nothing; 0.03 suits clouds.',
        minimum=0.0,
        maximum=1.0,
    )
    voxel_size_m: float = _parameter(
        0.05,
        'depth/points_voxels has one point a cube of this size, in meters.',
        minimum=0.001,
        maximum=10.0,
    )


@dataclass(frozen=True)
class SyncSettings:
    """Pairing of image, CameraInfo and sensor depth."""

    policy: str = _parameter(
        'nearest',
        'nearest: the image leads and takes the nearest measurement. exact, approximate: image, '
        'CameraInfo and sensor_depth are paired by message_filters (must be installed).',
        choices=('nearest', 'exact', 'approximate'),
        change=CONFIGURE,
    )
    slop_s: float = _parameter(
        0.02,
        'Largest difference of stamps that approximate pairs, in seconds.',
        minimum=0.0,
        maximum=10.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class DiagnosticsSettings:
    """Reports about the node's own state."""

    period_s: float = _parameter(
        1.0,
        'Time between two messages on /diagnostics, in seconds.',
        minimum=0.1,
        maximum=60.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class SnapshotSettings:
    """The service ~/save_snapshot."""

    folder: str = _parameter(
        '',
        'Folder that snapshots are saved in, one folder each; empty: metric_depth_snapshots in '
        'the ROS home folder (ROS_HOME, ~/.ros).',
    )


@dataclass(frozen=True)
class DepthNodeSettings:
    """All parameters of the node, checked."""

    autostart: bool = _parameter(
        True,
        'Configure and activate at start; false leaves that to a lifecycle manager.',
        change=READ_ONLY,
    )
    estimator: str = _parameter(
        'classical',
        'Depth method: classical (same as classical:quality), classical:fast, nearest, or a '
        'learned one of docs/MODELS.md.',
        change=ESTIMATOR,
    )
    fallback_estimator: str = _parameter(
        '',
        'Depth method while the prompt is silent or has fewer than prompt.min_points points: a '
        'monocular one, e.g. student_pointmap. Empty: the estimator answers every frame.',
        change=ESTIMATOR,
    )
    fallback_policy: str = _parameter(
        'auto',
        'Which of the two answers, where there is a fallback_estimator. auto: the estimator while '
        'the prompt is fresh and has enough points (back after three such frames with half as '
        'many again), else the fallback. prompted, monocular: always the estimator, always the '
        'fallback.',
        choices=('auto', 'prompted', 'monocular'),
    )
    device: str = _parameter(
        'auto',
        'Where a learned estimator runs: auto (a GPU if there is one), cpu, cuda, cuda:1.',
        change=ESTIMATOR,
    )
    estimator_timeout_s: float = _parameter(
        60.0,
        'An estimator that takes longer for a frame is given up: it is made anew and the next '
        'frame is answered. The first frame, which may compile, may take any time. 0 waits for '
        'ever.',
        minimum=0.0,
        maximum=3600.0,
    )
    cameras: tuple[str, ...] = _parameter(
        (),
        'Names of several cameras, which their topics begin with (front/image, '
        'front/depth/image); clouds are shared, and frames that arrive together are one batch. '
        'Empty: one camera, and topics without a name before them.',
        change=CONFIGURE,
    )
    batch_window_s: float = _parameter(
        0.02,
        'With several cameras: longest time that a frame waits for those of the others, to be '
        'answered with them.',
        minimum=0.0,
        maximum=1.0,
        change=CONFIGURE,
    )
    image_transport: str = _parameter(
        'raw',
        'raw subscribes to image, compressed to image/compressed (JPEG or PNG).',
        choices=('raw', 'compressed'),
        change=CONFIGURE,
    )
    max_frame_age_s: float = _parameter(
        1.0,
        'An image older than this by the clock of the node is dropped, in seconds. 0 accepts any '
        'stamp.',
        minimum=0.0,
        maximum=3600.0,
    )
    log_throttle_s: float = _parameter(
        5.0,
        'The same fault of the same topic is logged at most this often, in seconds.',
        minimum=0.0,
        maximum=3600.0,
    )
    model: ModelSettings = field(default_factory=ModelSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    prompt: PromptSettings = field(default_factory=PromptSettings)
    extrinsics: ExtrinsicsSettings = field(default_factory=ExtrinsicsSettings)
    depth: DepthSettings = field(default_factory=DepthSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    snapshot: SnapshotSettings = field(default_factory=SnapshotSettings)


@dataclass(frozen=True)
class Parameter:
    """One row of the table."""

    name: str
    kind: type
    default: object
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    change: str

    def checked(self, value: object) -> object:
        """Return `value` in the parameter's type, or refuse it.

        An integer is taken where a double is meant.

        Raises
        ------
        InputError
            Wrong type, out of range, or not one of the choices.
        """
        if self.kind is tuple:
            return self._checked_list(value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind:
            self._refuse(value, f'expected {_TYPE_WORDS[self.kind]}')
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(value, 'expected a finite number')
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert self.minimum is not None
            assert self.maximum is not None
            if not self.minimum <= value <= self.maximum:
                self._refuse(value, f'expected {self.range_words}')
        if self.choices and value not in self.choices:
            self._refuse(value, f'expected {self.range_words}')
        return value

    @property
    def range_words(self) -> str:
        """The accepted values in words."""
        if self.choices:
            joint = ', ' if self.kind is tuple else ' or '
            return joint.join(self.choices)
        if self.minimum is None or self.maximum is None:
            return ''
        return f'{self.minimum:g} to {self.maximum:g}'

    def _checked_list(self, value: object) -> tuple[str, ...]:
        items = [] if value is None else value  # an empty YAML list arrives as "not set"
        if isinstance(items, str) or not hasattr(items, '__iter__'):
            self._refuse(value, 'expected a list of strings')
        checked = tuple(items)
        for item in checked:
            if self.choices and item not in self.choices:
                self._refuse(value, f'expected a list of any of {self.range_words}')
            if not (isinstance(item, str) and _NAME.fullmatch(item)):
                self._refuse(value, 'expected names that topics can begin with, such as front')
        return tuple(dict.fromkeys(checked))

    def _refuse(self, value: object, expected: str) -> typing.NoReturn:
        shown = list(value) if isinstance(value, tuple) else value
        raise InputError('parameter', f'parameter {self.name} is {shown!r}, {expected}.')


_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)
_TYPE_WORDS = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number',
    str: 'a string',
    tuple: 'a list of strings',
}
_ROS_TYPES = {
    bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array',
}  # fmt: skip


@lru_cache(maxsize=1)
def parameter_table() -> dict[str, Parameter]:
    """Return all parameters by their full name, in the order of the dataclasses."""
    return {p.name: p for p in _rows(DepthNodeSettings, '')}


def _rows(settings: type, prefix: str) -> Iterator[Parameter]:
    hints = typing.get_type_hints(settings)
    for item in fields(settings):
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from _rows(typing.cast(type, hint), f'{prefix}{item.name}.')
        else:
            kind = typing.get_origin(hint) or hint
            yield Parameter(prefix + item.name, kind, item.default, **item.metadata)


def settings_from(values: Mapping[str, object]) -> DepthNodeSettings:
    """Return the settings of parameter values by full name; missing ones take their default.

    Raises
    ------
    InputError
        A name that is not in the table, a value out of range, or values that contradict another.
    """
    table = parameter_table()
    for name in values:
        if name not in table:
            raise InputError('parameter', f'there is no parameter {name!r}.')
    checked = {name: table[name].checked(value) for name, value in values.items()}
    settings = _assembled(DepthNodeSettings, '', checked)
    assert isinstance(settings, DepthNodeSettings)
    _check_together(settings)
    return settings


def _assembled(settings: type, prefix: str, values: Mapping[str, object]) -> object:
    hints = typing.get_type_hints(settings)
    arguments = {}
    for item in fields(settings):
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            arguments[item.name] = _assembled(hints[item.name], f'{name}.', values)
        elif name in values:
            arguments[item.name] = values[name]
    return settings(**arguments)


def _check_together(settings: DepthNodeSettings) -> None:
    prompt, extrinsics = settings.prompt, settings.extrinsics
    if prompt.min_depth_m >= prompt.max_depth_m:
        raise InputError(
            'parameter',
            f'parameter prompt.min_depth_m is {prompt.min_depth_m:g}, expected less than '
            f'prompt.max_depth_m, which is {prompt.max_depth_m:g}.',
        )
    if settings.camera.rectify and settings.camera.rectified:
        raise InputError(
            'parameter',
            'parameters camera.rectify and camera.rectified are both true: an image that is '
            'rectified already (camera.rectified) needs no rectifying.',
        )
    if extrinsics.source != 'tf2' and not extrinsics.path:
        raise InputError(
            'parameter',
            f'parameter extrinsics.path is empty, but extrinsics.source is '
            f'{extrinsics.source!r}: give the path of the '
            f'{"bag" if extrinsics.source == "bag" else "calibration file"}.',
        )


def markdown() -> str:
    """Return docs/PARAMETERS.md."""
    lines = [_HEAD]
    for row in parameter_table().values():
        lines.append(
            f'| `{row.name}` | {_ROS_TYPES[row.kind]} | `{_yaml(row.default)}` | '
            f'{row.range_words or "any"} | {row.change} | {row.description} |'
        )
    return '\n'.join(lines) + '\n' + _TAIL


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'[{", ".join(value)}]'
    return repr(value).replace("'", '"') if isinstance(value, str) else str(value)


_HEAD = """\
# Parameters of the `depth` node

Generated from the table in `metric_depth_ros/ros/parameters.py` by
`python -m metric_depth_ros.ros.parameters docs/PARAMETERS.md`; a test keeps it true.

Every value is checked before it is used. An integer is accepted where a double is meant. A
parameter that takes effect at the next configure is refused while the node is configured:
deactivate and clean up first. One that takes effect when the new estimator is ready makes a new
estimator while the old one goes on answering; it is refused, and the old one stays, where the new
one cannot be made. Names that are not in this table are reported at start.

| name | type | default | values | takes effect | meaning |
|---|---|---|---|---|---|"""

_TAIL = """
## Quality of service

Inputs are best effort, keep last (as `SensorDataQoS`), which matches any publisher; outputs are
reliable, keep last. Both can be overridden per topic by read-only parameters that ROS itself
defines, with the resolved name of the topic:

```yaml
/**:
  ros__parameters:
    qos_overrides:
      /camera/image_raw:
        subscription: {reliability: reliable, depth: 5}
      /depth/image:
        publisher: {reliability: best_effort}
```

A publisher or subscriber that does not match is reported with the name of the topic and the
policy.
"""


def main() -> int:
    """Write the document to the path given, or print it."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(markdown(), encoding='utf-8')
    else:
        sys.stdout.write(markdown())
    return 0


if __name__ == '__main__':
    sys.exit(main())
