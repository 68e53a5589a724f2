# SPDX-License-Identifier: Apache-2.0
"""The estimator that the parameters ask for. Imports no rclpy."""

from __future__ import annotations

import logging

import cv2

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.fallback import FallbackEstimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.ros.parameters import DepthNodeSettings

_LOGGER = logging.getLogger(__name__)


def estimator_from(settings: DepthNodeSettings) -> Estimator:
    """Make the estimator, with the fallback if there is one, and warm it up if asked.

    Raises
    ------
    InputError
        An estimator that cannot be made, in words.
    """
    model = settings.model
    options = EstimatorOptions.of(model, device=settings.device)
    fallback = settings.fallback_estimator
    # A robot starts also with what another estimator has left in its parameters.
    warn = _LOGGER.warning
    estimator = create_estimator(settings.estimator, options, beside=fallback, unused=warn)
    if fallback:
        monocular = create_estimator(
            fallback,
            options.for_companion(),
            'parameter fallback_estimator',
            settings.estimator,
            warn,
        )
        estimator = FallbackEstimator(
            estimator, monocular, settings.prompt.min_points, settings.fallback_policy
        )
    # Frames that are answered at the same time keep all cores busy; OpenCV would share each of its
    # operations among them nevertheless, and wait for the slowest share.
    cv2.setNumThreads(1 if estimator.frames_at_once > 1 else -1)
    if model.warm_up_width and model.warm_up_height:
        estimator.warm_up(model.warm_up_width, model.warm_up_height)
    return estimator


def apply_live(estimator: Estimator, settings: DepthNodeSettings) -> None:
    """Give an estimator what may change while it runs."""
    if isinstance(estimator, FallbackEstimator):
        estimator.policy = settings.fallback_policy
