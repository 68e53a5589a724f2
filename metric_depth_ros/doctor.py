# SPDX-License-Identifier: Apache-2.0
"""What is installed, what is missing, and what to do about each gap.

Imports the standard library, `errors`, `libraries` and `middleware` alone, and everything else in
processes of its own: a broken library must not break its own diagnosis.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from metric_depth_ros.errors import InputError
from metric_depth_ros.libraries import NEEDED, OPTIONAL, Library
from metric_depth_ros.middleware import (
    dds_environment,
    dds_profile,
    read_dds_profile,
    refuse_missing_middleware,
    shared_memory_bytes,
    uses_fast_dds,
)

IMPORT_TIMEOUT_S = 120
_OF_OPEN3D = {'usb-1.0': 'libusb-1.0-0', 'GL': 'libgl1', 'EGL': 'libegl1'}
GPU_TIMEOUT_S = 20
_MIB = 2**20
_IMAGE_BYTES = 640 * 480 * 3  # of a small color camera
_LIST_ESTIMATORS = (
    'from metric_depth_ros.estimators.registry import ESTIMATOR_NAMES; '
    'print(", ".join(ESTIMATOR_NAMES))'
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    subject
        What was looked at.
    state
        ``'ok'``; ``'missing'`` where it is needed, or installed and broken; ``'absent'`` where
        only those need it who use it.
    detail, remedy
        What was found, and what to do about it.
    """

    subject: str
    state: str
    detail: str
    remedy: str = ''


def examine() -> Iterator[Finding]:
    """Yield the findings one by one; checking an import may take seconds."""
    yield Finding('Python', 'ok', f'{platform.python_version()} at {sys.executable}')
    yield _distribution()
    yield _middleware()
    for library in NEEDED:
        yield _library(library, 'missing')
    for library in OPTIONAL:
        yield _library(library, 'absent')
    if _is_installed('open3d'):
        for name, package in _OF_OPEN3D.items():
            yield _system_library(name, package, 'open3d')
    yield _rviz()
    yield _dds_profile()
    yield _shared_memory()
    yield _gpu()
    yield _estimators()


def _distribution() -> Finding:
    name = os.environ.get('ROS_DISTRO')
    if name:
        return Finding('ROS 2', 'ok', f'{name} (sourced)')
    if _is_installed('rclpy'):
        return Finding('ROS 2', 'ok', 'rclpy from PyPI, no distribution sourced')
    return Finding(
        'ROS 2', 'missing', 'neither a distribution nor the PyPI build',
        "source /opt/ros/<distro>/setup.bash, or pip install '.[embedded]'",
    )  # fmt: skip


def _middleware() -> Finding:
    fault, _, remedy = _missing_middleware().partition(': ')
    if fault:
        return Finding('middleware', 'missing', fault, remedy)
    chosen = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp (default)'
    return Finding('middleware', 'ok', chosen)


def _missing_middleware() -> str:
    if _is_installed('rclpy'):
        try:
            refuse_missing_middleware()
        except InputError as error:
            return str(error)
    return ''


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # of a finder or a module that is broken itself
        return False


def _library(library: Library, state_without: str) -> Finding:
    """Look for a package and load it; `state_without` is the state without one that will do."""
    if not _is_installed(library.module):
        return Finding(library.module, state_without, library.purpose, library.remedy)
    of_module = f"getattr({library.module}, '__version__', '')"
    printed, failure = _python(f'import {library.module}; print({of_module})')
    if failure:
        detail = f'does not import: {failure}'
        return Finding(library.module, 'missing', detail, library.remedy)
    # A module may have come from a distribution of another name, as OpenCV's from Debian.
    found = printed.rpartition('\n')[2] or _version(library.distribution)
    if _numbers(found) and _numbers(found) < _numbers(library.least):
        detail = (
            f'{found} is too old, {library.least} or newer is needed for all of: {library.purpose}'
        )
        remedy = f"pip install '{library.distribution}>={library.least}'"
        return Finding(library.module, state_without, detail, remedy)
    return Finding(library.module, 'ok', f'{found}: {library.purpose}')


def _numbers(version_text: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', version_text)]


def _python(code: str) -> tuple[str, str]:
    """Return what Python prints, and why it failed, in a process of its own.

    A system library that is missing may end the process. A middleware that is missing would, and
    has a line of its own.
    """
    environment = dict(os.environ)
    if _missing_middleware():
        del environment['RMW_IMPLEMENTATION']
    try:
        result = subprocess.run(
            [sys.executable, '-c', code], env=environment,
            capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return '', f'took over {IMPORT_TIMEOUT_S} s'
    if result.returncode == 0:
        return result.stdout.strip(), ''
    return '', (result.stderr.strip().splitlines() or ['no message'])[-1]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return 'installed'


def _system_library(name: str, package: str, user: str) -> Finding:
    if ctypes.util.find_library(name):
        return Finding(package, 'ok', f'system library of {user}')
    return Finding(
        package, 'missing', f'system library of {user}', f'sudo apt-get install {package}'
    )


def _dds_profile() -> Finding:
    if not uses_fast_dds():
        return Finding('DDS profile', 'absent', 'of Fast DDS, which is not the middleware')
    try:
        read_dds_profile()
    except InputError as error:
        fault, _, remedy = str(error).rpartition(': ')
        return Finding('DDS profile', 'missing', fault, remedy)
    profile = dds_profile()
    if not dds_environment():
        return Finding('DDS profile', 'ok', f'{profile} (chosen by you)')
    return Finding(
        'DDS profile', 'ok', profile,
        'nodes of this package, launch files and metric-depth set it; for camera drivers and bag '
        f'players export FASTRTPS_DEFAULT_PROFILES_FILE={profile}',
    )  # fmt: skip


def _shared_memory(folder: str = '/dev/shm') -> Finding:
    """Compare the shared memory that each process takes with what the machine has left."""
    size = shared_memory_bytes()
    if size is None or not os.path.isdir(folder):
        return Finding('shared memory', 'absent', 'messages do not go through it')
    free = shutil.disk_usage(folder).free
    detail = (
        f'{round(size / _MIB, 1):g} MiB a process, {free >> 20} MiB free in {folder}; larger '
        'messages, one or several at once, may be lost where readers are slow'
    )
    if free < size:
        return Finding(
            'shared memory', 'missing', detail,
            f'docker run --shm-size={4 * size // _MIB}m, or mount -o remount,size=... {folder}',
        )  # fmt: skip
    if size < _IMAGE_BYTES:
        return Finding(
            'shared memory', 'missing', f'{detail}; an image is larger',
            'name a segment_size in the profile, or take config/fastdds.xml',
        )  # fmt: skip
    remedy = 'for larger messages choose the profile config/fastdds_large.xml (docs/FAULTS.md)'
    return Finding('shared memory', 'ok', detail, remedy)


def _gpu() -> Finding:
    tool = shutil.which('nvidia-smi')
    if tool is None:
        return Finding('GPU', 'absent', 'no NVIDIA driver found', 'estimators run on the CPU')
    try:
        result = subprocess.run(
            [tool, '--query-gpu=name,memory.total', '--format=csv,noheader'],
            capture_output=True, text=True, timeout=GPU_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding(
            'GPU', 'absent', f'nvidia-smi took over {GPU_TIMEOUT_S} s', 'check the NVIDIA driver'
        )
    if result.returncode != 0:
        return Finding('GPU', 'absent', result.stdout.strip()[:120], 'check the NVIDIA driver')
    return Finding('GPU', 'ok', '; '.join(result.stdout.strip().splitlines()))


def _rviz() -> Finding:
    if shutil.which('rviz2'):
        return Finding('rviz2', 'ok', 'displays')
    return Finding('rviz2', 'absent', 'displays', 'sudo apt install ros-$ROS_DISTRO-rviz2')


def _estimators() -> Finding:
    names, failure = _python(_LIST_ESTIMATORS)
    if failure:
        return Finding(
            'estimators', 'missing', f'cannot be listed: {failure}', 'mend what is missing above'
        )
    return Finding(
        'estimators',
        'ok',
        f'{names} (classical and nearest need no weights, compact_* have theirs in the package)',
        '`metric-depth models` tells where the weights of the others come from',
    )
