# SPDX-License-Identifier: Apache-2.0
"""The parameters of the `query` node. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

from metric_depth_ros.ros.parameter_table import (
    CONFIGURE,
    ESTIMATOR,
    READ_ONLY,
    ParameterTable,
    parameter,
)
from metric_depth_ros.ros.parameters import (
    CameraSettings,
    DiagnosticsSettings,
    ModelSettings,
    MountSettings,
    check_camera,
    check_extrinsics,
)

DENSE = 'dense'


@dataclass(frozen=True)
class UncertaintySettings:
    """How the uncertainty of a point is told."""

    confidence: str = parameter(
        'quadratic',
        'What depth/confidence says of the relative error e, h being half_confidence_error: '
        'quadratic 1/(1+(e/h)^2) (classical, composed), linear 1/(1+e/h) (compact_teacher, '
        'compact_student), none (a confidence that says nothing of the error: student_pointmap, '
        'lingbot_depth).',
        choices=('quadratic', 'linear', 'none'),
    )
    half_confidence_error: float = parameter(
        0.1,
        'Relative error at which confidence is one half: 0.1 of classical, 0.05 of the compact '
        'models.',
        minimum=0.0001,
        maximum=10.0,
    )
    least_rel: float = parameter(
        0.02,
        'Standard deviation of depth over depth where confidence is 1.',
        minimum=0.0,
        maximum=1.0,
    )
    unknown_rel: float = parameter(
        0.15,
        'The same where there is no confidence, or it says nothing of the error.',
        minimum=0.0,
        maximum=10.0,
    )
    answer_rel: float = parameter(
        0.19,
        'The same of the answers of depthlm, which gives none: 77 % of the answers of its 12B are '
        'within a factor of 1.25.',
        minimum=0.0,
        maximum=10.0,
    )
    pixel_px: float = parameter(
        1.0,
        'Standard deviation of the place of the pixel that is asked about, in pixels. It decides '
        'the uncertainty across the ray, and that of the depth at an edge.',
        minimum=0.0,
        maximum=50.0,
    )


@dataclass(frozen=True)
class QueryNodeSettings:
    """All parameters of the node, checked."""

    autostart: bool = parameter(
        True,
        'Configure and activate at start; false leaves that to a lifecycle manager.',
        change=READ_ONLY,
    )
    estimator: str = parameter(
        DENSE,
        'What answers pixels: dense, the newest outputs of the depth node; depthlm, asked about '
        'that pixel of the newest image; or another estimator of docs/MODELS.md that needs no '
        'prompt, run on the newest image.',
        change=ESTIMATOR,
    )
    language_model: str = parameter(
        '',
        'What answers questions in words: depthvlm, depthvlm_8b or depthlm. Empty: the estimator, '
        'if it is one of them.',
        change=ESTIMATOR,
    )
    device: str = parameter(
        'auto',
        'Where a model runs: auto (a GPU if there is one), cpu, cuda, cuda:1.',
        change=ESTIMATOR,
    )
    image_transport: str = parameter(
        'raw',
        'raw subscribes to image, compressed to image/compressed (JPEG or PNG).',
        choices=('raw', 'compressed'),
        change=CONFIGURE,
    )
    max_age_s: float = parameter(
        1.0,
        'A depth estimate or an image older than this by the clock of the node answers nothing, '
        'in seconds. 0 accepts any age.',
        minimum=0.0,
        maximum=86_400.0,
    )
    match_stamp: bool = parameter(
        False,
        'Answer a pixel that has a stamp from the estimate of that stamp, not from the newest.',
        change=CONFIGURE,
    )
    max_stamp_difference_s: float = parameter(
        0.05,
        'With match_stamp: largest difference of the two stamps, in seconds.',
        minimum=0.0,
        maximum=10.0,
    )
    history: int = parameter(
        10,
        'With match_stamp: how many estimates are kept.',
        minimum=1,
        maximum=1000,
        change=CONFIGURE,
    )
    target_frame: str = parameter(
        '',
        'Frame that points are given in, by the transforms of extrinsics.source. Empty: the '
        'optical frame of the image.',
        change=CONFIGURE,
    )
    answer_tokens: int = parameter(
        256,
        'After how many tokens (a word is one or two) an answer in words is cut off.',
        minimum=1,
        maximum=8192,
    )
    queue_size: int = parameter(
        4,
        'How many pixels, and how many questions to a model, may wait for their answer; more are '
        'refused as busy.',
        minimum=1,
        maximum=1000,
    )
    timeout_s: float = parameter(
        60.0,
        'A question that is not answered in this time is given up and refused, in seconds; what '
        'a model says later is dropped. 0 waits for ever.',
        minimum=0.0,
        maximum=3600.0,
    )
    log_throttle_s: float = parameter(
        5.0,
        'The same fault is logged at most this often, in seconds.',
        minimum=0.0,
        maximum=3600.0,
    )
    uncertainty: UncertaintySettings = field(default_factory=UncertaintySettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    extrinsics: MountSettings = field(default_factory=MountSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)


def _check_together(settings: QueryNodeSettings) -> None:
    check_camera(settings.camera)
    if settings.target_frame:
        check_extrinsics(settings.extrinsics)


QUERY_NODE = ParameterTable(QueryNodeSettings, _check_together)
