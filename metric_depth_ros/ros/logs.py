# SPDX-License-Identifier: Apache-2.0
"""What estimators log, in the log of the node: which weights, what they fell back to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_PACKAGE = 'metric_depth_ros'


class _Forwarder(logging.Handler):
    """Gives each record to one ROS logger: of the nodes of the process, that which came last."""

    def __init__(self) -> None:
        super().__init__()
        self.loggers: list[Any] = []
        self.level_before = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        """Give one record away; warnings and errors keep their severity."""
        if not self.loggers:
            return
        logger = self.loggers[-1]
        # rclpy binds a severity to each place that it is called from: one place, one severity.
        if record.levelno >= logging.ERROR:
            logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            logger.warning(record.getMessage())
        else:
            logger.info(record.getMessage())


_forwarder = _Forwarder()


def forward_logs(logger: Any) -> Callable[[], None]:
    """Forward the package's Python log records to a ROS logger; return what ends it."""
    package = logging.getLogger(_PACKAGE)
    if not _forwarder.loggers:
        _forwarder.level_before = package.level
        package.addHandler(_forwarder)
        package.setLevel(logging.INFO)
    _forwarder.loggers.append(logger)

    def end() -> None:
        _forwarder.loggers.remove(logger)
        if not _forwarder.loggers:
            package.removeHandler(_forwarder)
            package.setLevel(_forwarder.level_before)

    return end
