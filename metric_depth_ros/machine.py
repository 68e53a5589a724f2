# SPDX-License-Identifier: Apache-2.0
"""What figures were measured on: machine and library versions. Standard library only."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ('metric_depth_ros', 'numpy', 'scipy', 'opencv-python-headless', 'torch', 'open3d')


def describe_machine() -> dict[str, object]:
    """Return processor, usable cores and operating system of this machine."""
    return {
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'system': platform.system(),
        'architecture': platform.machine(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that figures depend on."""
    versions = {'python': platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or 'unknown'
