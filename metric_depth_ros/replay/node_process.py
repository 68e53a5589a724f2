# SPDX-License-Identifier: Apache-2.0
"""The node under test as a process of its own: start, watch, interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from metric_depth_ros.errors import InputError

_MODULE = 'metric_depth_ros.nodes.depth'
_STOP_S = 20.0
_LOG_LINES = 12
_MB = 1e6


class NodeProcess:
    """The `depth` node, started at once; a context manager that leaves no process behind.

    Parameters
    ----------
    arguments
        Command line of the node, from ``--ros-args`` on.
    log
        File for what it prints.
    environment
        Variables that differ from those of this process.
    module
        What is run, `nodes.depth` or something that behaves like it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        module: str = _MODULE,
    ) -> None:
        self._log = log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # a Ctrl-C here must reach the node once, from us
            )
        self._statistics = psutil.Process(self._process.pid)

    def __enter__(self) -> NodeProcess:
        """Return self."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Make sure that the process has ended; a refusal removes a log that it tells whole."""
        told = self.log.strip()
        self.stop()
        if isinstance(error, InputError) and told in str(error):
            self._log.unlink()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the node has printed so far."""
        return self._log.read_text(encoding='utf-8', errors='replace')

    def signal(self, number: int) -> None:
        """Send a signal, if the process lives."""
        if self.is_running:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, None if the process has not ended by then."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code, None while the process lives; negative for the signal that killed it."""
        return self._process.poll()

    def rss_mb(self) -> float | None:
        """Return the resident memory in MB (10^6 bytes), None once the process is gone."""
        try:
            return float(self._statistics.memory_info().rss) / _MB
        except psutil.Error:
            return None

    def cpu_s(self) -> float | None:
        """Return the processor time used so far, None once the process is gone."""
        try:
            times = self._statistics.cpu_times()
        except psutil.Error:
            return None
        return float(times.user + times.system)

    def stop(self) -> int:
        """Interrupt the node as Ctrl-C does and return its exit code; kill it if it hangs."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        """Return the end of what the node printed."""
        return '\n'.join(self.log.splitlines()[-_LOG_LINES:])
