# SPDX-License-Identifier: Apache-2.0
"""What the `query` node subscribes to: what its answers are made of, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from metric_depth_ros.ros.dense_history import DenseHistory
from metric_depth_ros.ros.dense_inputs import DenseInputs
from metric_depth_ros.ros.diagnostics import Problem
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.newest_frame import NewestFrame
from metric_depth_ros.ros.query_models import QueryModels
from metric_depth_ros.ros.query_parameters import QueryNodeSettings


class QueryInputs:
    """Depth where a depth node answers pixels, and images where a model answers anything.

    Parameters
    ----------
    node
        Node to subscribe with.
    settings
        Of the node.
    models
        What answers.
    faults
        Where what is wrong with a topic is reported.
    on_jump
        Called when the stamps went back.
    """

    def __init__(
        self,
        node: Node,
        settings: QueryNodeSettings,
        models: QueryModels,
        faults: FaultLog,
        on_jump: Callable[[], None],
    ) -> None:
        self.history = DenseHistory(settings.history if settings.match_stamp else 1)
        self.image = NewestFrame(node, settings.image_transport, settings.camera, faults, on_jump)
        self._models = models
        self._on_jump = on_jump
        self._dense = DenseInputs(node, self.history.keep, faults, on_jump=self._begin_anew)

    def open(self) -> None:
        """Subscribe.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be, or a topic in use with another type;
            nothing is subscribed then.
        """
        try:
            if self._models.estimator is None:
                self._dense.open()
            if self._models.see_images:
                self.image.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._dense.close()
        self.image.close()

    def problems(self, limit_s: float) -> list[Problem]:
        """Return what is lacking for answers.

        Parameters
        ----------
        limit_s
            A topic that has sent nothing for longer is silent.
        """
        models = self._models
        problems = self._dense.problems(limit_s) if models.estimator is None else []
        if models.see_images:
            problems += self.image.problems(limit_s, camera_needed=models.need_camera)
        return problems

    def _begin_anew(self) -> None:
        """Forget what was before the clock went back."""
        self.history.clear()
        self._on_jump()
