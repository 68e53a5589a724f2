# SPDX-License-Identifier: Apache-2.0
"""ROS nodes of this process beside a node under test, apart from whatever else runs here.

Each has a context of its own, takes no arguments of the command and leaves signals to it.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import rclpy
from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from metric_depth_ros.middleware import dds_environment

_LAST_DOMAIN = 101  # beyond it, ports of DDS may be those that Linux gives to anybody


def random_domain() -> int:
    """Return a ROS domain in which most likely nothing else runs."""
    return random.SystemRandom().randint(1, _LAST_DOMAIN)


def local_environment() -> dict[str, str]:
    """Return the variables by which nothing is to be seen on the network, nor seen of it."""
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **dds_environment()}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process meanwhile: the middleware reads them for each context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def idle_node(name: str, domain: int | None = None) -> Iterator[tuple[Node, Executor]]:
    """Yield a node with its executor, which nobody spins.

    Parameters
    ----------
    name
        Of the node.
    domain
        ROS domain; None: that of the environment.
    """
    context = Context()
    rclpy.init(
        args=[],
        context=context,
        domain_id=domain,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    node = Node(name, context=context, enable_rosout=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield node, executor
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


@contextmanager
def spinning_node(name: str, domain: int | None = None) -> Iterator[Node]:
    """Yield the same node, spun in a thread of its own."""
    with idle_node(name, domain) as (node, executor):

        def spin() -> None:
            with suppress(ExternalShutdownException):
                executor.spin()

        thread = threading.Thread(target=spin, name=f'{name}-spin', daemon=True)
        thread.start()
        try:
            yield node
        finally:
            executor.shutdown()
            thread.join()
