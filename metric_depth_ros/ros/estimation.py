# SPDX-License-Identifier: Apache-2.0
"""The estimator that the parameters ask for. Imports no rclpy."""

from __future__ import annotations

import cv2

from metric_depth_ros.estimators.base import Estimator, frames_at_once, warm_up
from metric_depth_ros.estimators.fallback import FallbackEstimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.ros.parameters import DepthNodeSettings, ModelSettings


def estimator_from(settings: DepthNodeSettings) -> Estimator:
    """Make the estimator, with the fallback if there is one, and warm it up if asked.

    Raises
    ------
    InputError
        An estimator that cannot be made, in words.
    """
    model, options = settings.model, options_from(settings.model, settings.device)
    estimator = create_estimator(settings.estimator, options)
    if settings.fallback_estimator:
        monocular = create_estimator(
            settings.fallback_estimator, options.for_companion(), 'parameter fallback_estimator'
        )
        estimator = FallbackEstimator(
            estimator, monocular, settings.prompt.min_points, settings.fallback_policy
        )
    # Frames that are answered at the same time keep all cores busy; OpenCV would share each of its
    # operations among them nevertheless, and wait for the slowest share.
    cv2.setNumThreads(1 if frames_at_once(estimator) > 1 else -1)
    if model.warm_up_width and model.warm_up_height:
        warm_up(estimator, model.warm_up_width, model.warm_up_height)
    return estimator


def options_from(model: ModelSettings, device: str) -> EstimatorOptions:
    """Return how learned estimators are to run."""
    return EstimatorOptions(
        device=device,
        weights=model.weights,
        revision=model.revision,
        precision=model.precision,
        compile=model.compile,
        resolution_scale=model.resolution_scale,
        backend=model.backend,
        preset=model.preset,
    )


def apply_live(estimator: Estimator, settings: DepthNodeSettings) -> None:
    """Give an estimator what may change while it runs."""
    if isinstance(estimator, FallbackEstimator):
        estimator.policy = settings.fallback_policy
