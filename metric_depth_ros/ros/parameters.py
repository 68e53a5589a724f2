# SPDX-License-Identifier: Apache-2.0
"""The parameters of the `depth` node, as frozen dataclasses.

Everything else derives from them: the declaration (`declaration`), the checks
(`parameter_table`), and docs/PARAMETERS.md (`parameter_document`). Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import (
    BACKENDS,
    POLICIES,
    PRECISIONS,
    PRESETS,
    SCALE_LIMITS,
)
from metric_depth_ros.ros.parameter_table import (
    CONFIGURE,
    ESTIMATOR,
    READ_ONLY,
    ParameterTable,
    parameter,
)

PROMPT_SOURCES = ('points', 'sensor_depth', 'radar')


@dataclass(frozen=True)
class ModelSettings:
    """How a learned estimator runs."""

    weights: str = parameter(
        '',
        'Checkpoint of the estimator: a file, a folder or a Hugging Face id; empty takes the '
        'released one. Several networks (a prior, the fallback): name=checkpoint, separated by '
        'commas.',
        change=ESTIMATOR,
    )
    revision: str = parameter(
        '', 'Commit, tag or branch of the Hugging Face repository.', change=ESTIMATOR
    )
    precision: str = parameter(
        'auto',
        'What the network computes in. auto: bf16 on a GPU that has it (fp16 for student_pointmap '
        'and depth_pro), for compact_teacher on a CPU with bf16 instructions too, else fp32.',
        choices=PRECISIONS,
        change=ESTIMATOR,
    )
    compile: bool = parameter(
        False,
        'Compile the network (torch.compile): the first frame takes long, the others less.',
        change=ESTIMATOR,
    )
    resolution_scale: float = parameter(
        1.0,
        'Tokens of the image, in multiples of the usual: 3 and 9 for finer detail, less than 1 '
        'for speed.',
        minimum=SCALE_LIMITS[0],
        maximum=SCALE_LIMITS[1],
        change=ESTIMATOR,
    )
    backend: str = parameter(
        'torch',
        'What runs the network: torch, or ONNX Runtime.',
        choices=BACKENDS,
        change=ESTIMATOR,
    )
    preset: str = parameter(
        'full',
        'realtime is a fifth of the arithmetic of student_depthmap and teacher, with less detail; '
        'full is as they were released.',
        choices=PRESETS,
        change=ESTIMATOR,
    )
    warm_up_width: int = parameter(
        0,
        'Width of the images that the network is warmed up for at configure; 0 does not, and the '
        'first frame takes longer.',
        minimum=0,
        maximum=32_768,
        change=ESTIMATOR,
    )
    warm_up_height: int = parameter(
        0, 'Height of these images.', minimum=0, maximum=32_768, change=ESTIMATOR
    )


@dataclass(frozen=True)
class CameraSettings:
    """How the image relates to its CameraInfo."""

    rectified: bool = parameter(
        False,
        'The image is rectified: use P of CameraInfo and no distortion (REP-104).',
        change=CONFIGURE,
    )
    rectify: bool = parameter(
        False,
        'Rectify the image first: all that is made of it is that of an ideal pinhole. For fisheye '
        'cameras, and for methods that know pinholes only.',
        change=CONFIGURE,
    )
    rectified_fov_deg: float = parameter(
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

    sources: tuple[str, ...] = parameter(
        ('points',),
        'Topics that give metric depth: points (PointCloud2 of a LiDAR), sensor_depth (depth '
        'image), radar (PointCloud2 of a radar).',
        choices=PROMPT_SOURCES,
        change=CONFIGURE,
    )
    max_age_s: float = parameter(
        0.15,
        'A measurement further than this from the stamp of the image is not used, in seconds.',
        minimum=0.0,
        maximum=60.0,
    )
    max_wait_s: float = parameter(
        0.05,
        'How long an image waits for a measurement that is due, in seconds after its arrival. A '
        'source that is silent, or not due, is not waited for. 0 never waits.',
        minimum=0.0,
        maximum=1.0,
    )
    min_points: int = parameter(
        10,
        'With fewer points the fallback_estimator answers, if there is one.',
        minimum=1,
        maximum=1_000_000,
        change=ESTIMATOR,
    )
    min_depth_m: float = parameter(
        0.1, 'Nearer measurements are dropped (own vehicle), in meters.', minimum=0.0, maximum=1e3
    )
    max_depth_m: float = parameter(
        250.0, 'Farther measurements are dropped, in meters.', minimum=0.01, maximum=1e5
    )
    sigma_m: float = parameter(
        0.02,
        'Range noise of the points: one standard deviation, constant part, in meters.',
        minimum=0.0,
        maximum=10.0,
    )
    sigma_rel: float = parameter(
        0.005,
        'Range noise of the points: part that grows with depth (calibration, beam width).',
        minimum=0.0,
        maximum=1.0,
    )
    remove_occluded: bool = parameter(
        True, 'Drop points that the camera cannot see because a nearer surface hides them.'
    )
    max_points: int = parameter(
        2_000_000,
        'A cloud with more points is refused, so that one message cannot stall the camera.',
        minimum=1,
        maximum=100_000_000,
    )
    compensate_motion: bool = parameter(
        True,
        'Move every point of a cloud that has per-point times to the stamp of the image, where '
        'the motion through extrinsics.fixed_frame is known.',
    )
    time_field: str = parameter(
        '',
        'Field of the cloud that holds the time of each point; empty: t, time, timestamp, '
        'time_stamp or offset_time.',
    )
    time_unit: str = parameter(
        'auto',
        'Unit of that field; auto: the one in which a sweep lasts 1 ms to 1 s.',
        choices=('auto', 's', 'ms', 'us', 'ns'),
    )
    radar_sigma_m: float = parameter(
        0.5,
        'Range noise of radar: one standard deviation, constant part, in meters.',
        minimum=0.0,
        maximum=100.0,
    )
    radar_sigma_rel: float = parameter(
        0.02,
        'Range noise of radar: part that grows with depth.',
        minimum=0.0,
        maximum=1.0,
    )
    depth_transport: str = parameter(
        'raw',
        'raw subscribes to sensor_depth/image, compressedDepth to '
        'sensor_depth/image/compressedDepth (PNG or RVL).',
        choices=('raw', 'compressedDepth'),
        change=CONFIGURE,
    )
    remove_flying_pixels: bool = parameter(
        True,
        'Drop pixels of sensor_depth that float or are smeared between a near and a far surface.',
    )
    depth_alignment: str = parameter(
        'auto',
        'How sensor_depth lies to the image: registered (same pixels), unregistered (own lens and '
        'place: needs sensor_depth/camera_info and extrinsics), low_resolution (same view, fewer '
        'pixels), projected (a LiDAR that somebody projected into the image: noise and hidden '
        'points are those of points). auto: registered when frame and size are those of the '
        'image, else unregistered.',
        choices=('auto', 'registered', 'unregistered', 'low_resolution', 'projected'),
        change=CONFIGURE,
    )
    depth_rectified: bool = parameter(
        False,
        'With sensor_depth unregistered: its image is rectified, so use P of '
        'sensor_depth/camera_info and no distortion (REP-104).',
        change=CONFIGURE,
    )
    depth_sigma_m_at_1m: float = parameter(
        0.002,
        'Noise of sensor_depth at 1 m, growing with the square of depth, in meters.',
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class MountSettings:
    """How frames lie to each other; all that a node needs that places no sensor in an image."""

    source: str = parameter(
        'tf2',
        'tf2 (needs tf2_ros), file (calibration file) or bag (/tf_static of a recording).',
        choices=('tf2', 'file', 'bag'),
        change=CONFIGURE,
    )
    path: str = parameter(
        '',
        'The calibration file (YAML, Kalibr camchain) or the bag. A file that changes is read '
        'again.',
        change=CONFIGURE,
    )
    frames: str = parameter(
        '',
        'Names of frames that differ in file and messages: camera_optical_frame=cam0, several '
        'separated by commas.',
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class ExtrinsicsSettings(MountSettings):
    """Where the place of the sensors comes from."""

    path: str = parameter(
        '',
        'The calibration file (YAML, Kalibr camchain, KITTI calib.txt / calib_velo_to_cam.txt) or '
        'the bag. A file that changes is read again.',
        change=CONFIGURE,
    )
    kitti_camera: int = parameter(
        2,
        'Camera 0 to 3 of a KITTI calibration that the image is from.',
        minimum=0,
        maximum=3,
        change=CONFIGURE,
    )
    fixed_frame: str = parameter(
        'odom',
        'With tf2 or a bag that has /tf: frame through which a measurement is moved from its '
        'stamp to that of the image. Without that frame in the tree, or empty, the sensors count '
        'as rigidly mounted.',
        change=CONFIGURE,
    )
    max_wait_s: float = parameter(
        0.04,
        'With tf2: longest time that a frame waits for odometry that is about to arrive. Two '
        'periods of the odometry are enough; while it is silent, ever fewer frames wait.',
        minimum=0.0,
        maximum=1.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class DepthSettings:
    """What is published."""

    encoding: str = parameter(
        '32FC1',
        '32FC1: meters, NaN unknown, +Inf beyond range. 16UC1: millimeters, 0 for both.',
        choices=('32FC1', '16UC1'),
    )
    max_range_m: float = parameter(
        250.0, 'Depth beyond this is +Inf (REP-117), in meters.', minimum=0.1, maximum=1e6
    )
    min_confidence: float = parameter(
        0.0, 'Depth of lower confidence is NaN.', minimum=0.0, maximum=1.0
    )
    edge_filter: float = parameter(
        0.0,
        'Depth that rises by more than this share of itself a pixel, on both sides, is NaN: it '
        'floats between two surfaces. 0 filters nothing; 0.03 suits clouds.',
        minimum=0.0,
        maximum=1.0,
    )
    voxel_size_m: float = parameter(
        0.05,
        'depth/points_voxels has one point a cube of this size, in meters.',
        minimum=0.001,
        maximum=10.0,
    )


@dataclass(frozen=True)
class SyncSettings:
    """Pairing of image, CameraInfo and sensor depth."""

    policy: str = parameter(
        'nearest',
        'nearest: the image leads and takes the nearest measurement. exact, approximate: image, '
        'CameraInfo and sensor_depth are paired by message_filters (must be installed).',
        choices=('nearest', 'exact', 'approximate'),
        change=CONFIGURE,
    )
    slop_s: float = parameter(
        0.02,
        'Largest difference of stamps that approximate pairs, in seconds.',
        minimum=0.0,
        maximum=10.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class DiagnosticsSettings:
    """Reports about the node's own state."""

    period_s: float = parameter(
        1.0,
        'Time between two messages on /diagnostics, in seconds.',
        minimum=0.1,
        maximum=60.0,
        change=CONFIGURE,
    )


@dataclass(frozen=True)
class SnapshotSettings:
    """The service ~/save_snapshot."""

    folder: str = parameter(
        '',
        'Folder that snapshots are saved in, one folder each; empty: metric_depth_snapshots in '
        'the ROS home folder (ROS_HOME, ~/.ros).',
    )


@dataclass(frozen=True)
class DepthNodeSettings:
    """All parameters of the node, checked."""

    autostart: bool = parameter(
        True,
        'Configure and activate at start; false leaves that to a lifecycle manager.',
        change=READ_ONLY,
    )
    estimator: str = parameter(
        'classical',
        'Depth method: classical (same as classical:quality), classical:fast, nearest, or a '
        'learned one of docs/MODELS.md.',
        change=ESTIMATOR,
    )
    fallback_estimator: str = parameter(
        '',
        'Depth method while the prompt is silent or has fewer than prompt.min_points points: a '
        'monocular one, e.g. student_pointmap. Empty: the estimator answers every frame.',
        change=ESTIMATOR,
    )
    fallback_policy: str = parameter(
        'auto',
        'Which of the two answers, where there is a fallback_estimator. auto: the estimator while '
        'the prompt is fresh and has enough points (back after three such frames with half as '
        'many again), else the fallback. prompted, monocular: always the estimator, always the '
        'fallback.',
        choices=POLICIES,
    )
    device: str = parameter(
        'auto',
        'Where a learned estimator runs: auto (a GPU if there is one), cpu, cuda, cuda:1.',
        change=ESTIMATOR,
    )
    estimator_timeout_s: float = parameter(
        60.0,
        'An estimator that takes longer for a frame is given up: it is made anew and the next '
        'frame is answered. Compiling, the first frame and that of fallback_estimator may take '
        'any time unless another estimator is set meanwhile. 0 waits for ever.',
        minimum=0.0,
        maximum=3600.0,
    )
    cameras: tuple[str, ...] = parameter(
        (),
        'Names of several cameras, which their topics begin with (front/image, '
        'front/depth/image); clouds are shared, and frames that arrive together are one batch. '
        'Empty: one camera, and topics without a name before them.',
        change=CONFIGURE,
    )
    batch_window_s: float = parameter(
        0.02,
        'With several cameras: longest time that a frame waits for those of the others, to be '
        'answered with them.',
        minimum=0.0,
        maximum=1.0,
        change=CONFIGURE,
    )
    image_transport: str = parameter(
        'raw',
        'raw subscribes to image, compressed to image/compressed (JPEG or PNG).',
        choices=('raw', 'compressed'),
        change=CONFIGURE,
    )
    max_frame_age_s: float = parameter(
        1.0,
        'An image older than this by the clock of the node, when it arrives or when its turn '
        'comes, is dropped, in seconds. 0 accepts any stamp.',
        minimum=0.0,
        maximum=3600.0,
    )
    lazy: bool = parameter(
        True,
        'Estimate depth only while somebody subscribes to an output or to ~/status; images are '
        'checked meanwhile. false estimates every image, for ~/save_snapshot without subscribers.',
    )
    log_throttle_s: float = parameter(
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


def check_camera(settings: CameraSettings) -> None:
    """Refuse values that contradict each other."""
    if settings.rectify and settings.rectified:
        raise InputError(
            'parameter',
            'parameters camera.rectify and camera.rectified are both true: an image that is '
            'rectified already (camera.rectified) needs no rectifying.',
        )


def check_extrinsics(settings: MountSettings) -> None:
    """Refuse a source without its path."""
    if settings.source != 'tf2' and not settings.path:
        raise InputError(
            'parameter',
            f'parameter extrinsics.path is empty, but extrinsics.source is {settings.source!r}: '
            f'give the path of the {"bag" if settings.source == "bag" else "calibration file"}.',
        )


def _check_together(settings: DepthNodeSettings) -> None:
    prompt = settings.prompt
    if prompt.min_depth_m >= prompt.max_depth_m:
        raise InputError(
            'parameter',
            f'parameter prompt.min_depth_m is {prompt.min_depth_m:g}, expected less than '
            f'prompt.max_depth_m, which is {prompt.max_depth_m:g}.',
        )
    check_camera(settings.camera)
    check_extrinsics(settings.extrinsics)


DEPTH_NODE = ParameterTable(DepthNodeSettings, _check_together)
