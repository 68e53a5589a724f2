# SPDX-License-Identifier: Apache-2.0
"""An executor that knows whose callback it ran last. rclpy only."""

from __future__ import annotations

from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class NamingExecutor(SingleThreadedExecutor):
    """Runs callbacks one after another, and tells of which node the last one was.

    Attributes
    ----------
    last_node
        Whose callback ran last, or runs; None before the first, and where it is of no node.
    """

    last_node: Node | None = None

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Return the next callback, as any executor does."""
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self.last_node = ready[2]
        return ready
