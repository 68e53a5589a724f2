# SPDX-License-Identifier: Apache-2.0
"""What every executable does: signals, the middleware's environment, spinning, a clean end.

ROS is loaded after signals are handled and the DDS profile is chosen, so that ``--help`` answers
at once and an early Ctrl-C ends cleanly.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from metric_depth_ros.errors import InputError
from metric_depth_ros.libraries import missing_libraries_named
from metric_depth_ros.ros.writing import WRITING

if TYPE_CHECKING:
    from metric_depth_ros.ros.managed_node import ManagedNode

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BAD_USAGE = 2
_SPIN_S = 0.1  # a signal is noticed at the latest after this
_PATIENCE_S = 4.0  # less than launch waits (5 s) before it sends the next signal


def run_node(
    name: str,
    usage: str,
    make_node: Callable[[], ManagedNode],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a node until it is interrupted, and end the process.

    Parameters
    ----------
    name
        Of the executable.
    usage
        What ``--help`` prints.
    make_node
        Makes the node; the first to load ROS.
    arguments
        Command line without the program; the process's own by default.

    Returns
    -------
    int
        0 for ``--help``, the only return. The exit code of the process is 0 after SIGINT or
        SIGTERM, 2 for a command line that ROS cannot read, for a package or a middleware that is
        not installed, and for security (SROS 2) that ROS cannot give.
    """
    return run_nodes(name, usage, lambda: [make_node()], arguments)


def run_nodes(
    name: str,
    usage: str,
    make_nodes: Callable[[], Sequence[ManagedNode]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run several nodes in one thread; as `run_node`, which says what the rest is.

    Parameters
    ----------
    make_nodes
        Makes the nodes; they are released in this order.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if {'-h', '--help'} & set(arguments):
        sys.stdout.write(usage)
        return 0
    faulthandler.enable()  # a crash of a library leaves the stack of every thread in the log
    stop = threading.Event()
    for number in _END_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    noticed = threading.Event()
    _end_where_unnoticed(name, noticed)

    from metric_depth_ros.middleware import dds_environment, refuse_missing_middleware
    from metric_depth_ros.ros.memory import keep_freed_memory
    from metric_depth_ros.ros.orphaned_segments import clear_orphans

    clear_orphans()
    keep_freed_memory()  # before the first thread allocates
    os.environ.update(dds_environment())  # before the middleware is loaded
    try:
        with missing_libraries_named():
            refuse_missing_middleware()
            _serve(_started(make_nodes, arguments), stop, noticed)
        code = 0
    except InputError as error:
        sys.stderr.write(f'{name}: {error}\n')
        code = _BAD_USAGE
    finally:
        # A launch system repeats its signal; one that comes while the interpreter takes itself
        # down would end the process by its default, not with exit code 0.
        for number in _END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    _end_process(code)


def _end_where_unnoticed(name: str, noticed: threading.Event) -> None:
    """End the process where the first signal is not noticed for some time.

    A disk or a GPU that hangs in the node's only thread keeps it from looking for signals. A file
    that is being written then may take its time, and so may what a node does once it has noticed.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(heard, 1)
        is_writing = True
        while is_writing:
            with WRITING:  # who has written has the whole patience to look for signals
                pass
            if noticed.wait(_PATIENCE_S):
                return
            is_writing = WRITING.locked()
        sys.stderr.write(
            f'{name}: still at work {_PATIENCE_S:g} s or more after the signal, ended as it is:\n'
        )
        faulthandler.dump_traceback()
        _end_process(0)

    threading.Thread(target=wait, name='end', daemon=True).start()


def _end_process(code: int) -> NoReturn:
    """End the process without taking the interpreter down; all is released and shut down by then.

    What is left are static objects of the middleware, of librealsense and of torch. They are
    destroyed in any order, beside threads of theirs that still run: an end in some hundreds
    crashed there, and threads that compute what nobody waits for any more make them abort.
    """
    with WRITING:  # a thread that was abandoned may be at it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _refuse_strays(arguments: Sequence[str]) -> None:
    """Refuse what ROS would ignore without a word, such as ``--params-file`` alone."""
    from rclpy.utilities import remove_ros_args

    strays = ' '.join(remove_ros_args(list(arguments)))
    if strays:
        raise InputError(
            'usage',
            f'{strays!r} stands outside --ros-args and would be ignored: write --ros-args before '
            'the options (--ros-args --params-file FILE -p NAME:=VALUE -r FROM:=TO).',
        )


def _started(
    make_nodes: Callable[[], Sequence[ManagedNode]], arguments: Sequence[str]
) -> Sequence[ManagedNode]:
    """Start ROS and return the nodes.

    Raises
    ------
    InputError
        A file or rule that ROS cannot read, an option or a parameter of its own that is wrong;
        security that is asked for and cannot be had; or as `make_nodes`.
    """
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from rclpy.signals import SignalHandlerOptions

    try:
        _refuse_strays(arguments)
        rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
        with missing_libraries_named():
            return make_nodes()
    except InputError:
        rclpy.try_shutdown()
        raise
    except (
        rclpy_implementation.RCLError,
        rclpy_implementation.UnknownROSArgsError,
        ParameterException,
    ) as error:
        rclpy.try_shutdown()
        raise InputError('usage', str(error)) from error


def _serve(nodes: Sequence[ManagedNode], stop: threading.Event, noticed: threading.Event) -> None:
    """Spin nodes until a signal stops them, and release them."""
    import rclpy

    from metric_depth_ros.ros.executor import NamingExecutor

    executor = NamingExecutor()
    for node in nodes:
        executor.add_node(node)
    try:
        for node in nodes:
            node.autostart()
        while not stop.is_set():
            try:
                executor.spin_once(_SPIN_S)
            except Exception:  # of one callback, rclpy's own included (a negative /clock)
                at_fault = [node for node in nodes if node is executor.last_node]
                (at_fault or nodes)[0].report_defect()
    finally:
        noticed.set()
        for node in nodes:
            node.release()
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
