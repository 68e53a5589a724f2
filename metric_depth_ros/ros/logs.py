# SPDX-License-Identifier: Apache-2.0
"""What estimators log, in the log of the node: which weights, what they fell back to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_PACKAGE = 'metric_depth_ros'


def forward_logs(logger: Any) -> Callable[[], None]:
    """Forward the package's Python log records to a ROS logger; return what ends it."""
    package = logging.getLogger(_PACKAGE)
    handler = _Forwarder(logger)
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)

    def end() -> None:
        package.removeHandler(handler)
        package.setLevel(before)

    return end


class _Forwarder(logging.Handler):
    """Gives records to a ROS logger.

    Parameters
    ----------
    logger
        Of a node.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Give one record away; warnings and errors keep their severity."""
        # rclpy binds a severity to each place that it is called from: one place, one severity.
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())
