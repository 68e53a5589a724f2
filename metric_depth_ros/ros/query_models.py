# SPDX-License-Identifier: Apache-2.0
"""The models that answer for the `query` node, each loaded once. Imports no rclpy."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, Speaker
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.ros.query_parameters import DENSE, QueryNodeSettings

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class QueryModels:
    """What has been loaded.

    Parameters
    ----------
    estimator
        Answers pixels; None where the depth node's estimates do.
    speaker
        Answers questions in words; None where nothing does.
    """

    estimator: Estimator | None
    speaker: Speaker | None

    @property
    def see_images(self) -> bool:
        """Whether a model answers anything."""
        return self.estimator is not None or self.speaker is not None

    @property
    def need_camera(self) -> bool:
        """Whether there are questions that no model answers without a CameraInfo."""
        estimator = self.estimator
        finds_camera = estimator is None or estimator.recovers_camera
        return self.speaker is not None or not finds_camera


def models_from(settings: QueryNodeSettings) -> QueryModels:
    """Load what the parameters ask for.

    Raises
    ------
    InputError
        A model that cannot be made or that needs a prompt, or a language model that does not
        speak.
    """
    options = EstimatorOptions.of(settings.model, device=settings.device)
    pixels, words = settings.estimator, settings.language_model
    # A robot starts also with what another model has left in its parameters. A language model is
    # made with the same options: what it does not use either is told when it is made.
    tell = _LOGGER.warning
    warn = (lambda sentence: None) if words not in ('', pixels) else tell
    estimator = (
        None if pixels == DENSE else create_estimator(pixels, options, beside=words, unused=warn)
    )
    if estimator is not None and estimator.needs_prompt:
        raise InputError(
            'parameter',
            f'parameter estimator is {pixels!r}, which knows no depth without a prompt, and this '
            f'node has images alone: expected {DENSE}, which answers from a depth node with any '
            'estimator, or a monocular one, e.g. compact_student or student_pointmap.',
        )
    if not words:
        return QueryModels(estimator, estimator if isinstance(estimator, Speaker) else None)
    speaker = (
        estimator
        if words == pixels
        else create_estimator(words, options, 'parameter language_model', pixels, tell)
    )
    if not isinstance(speaker, Speaker):
        raise InputError(
            'parameter',
            f'parameter language_model is {words!r}, which answers no questions: expected '
            'depthvlm, depthvlm_8b or depthlm, or nothing.',
        )
    return QueryModels(estimator, speaker)
