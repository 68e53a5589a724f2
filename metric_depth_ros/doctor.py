# SPDX-License-Identifier: Apache-2.0
"""What is installed, what is missing, and what to do about each gap.

Looks without importing: a broken library must not break its own diagnosis. Standard library and
`resources` only.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import dds_environment, share_file, shared_memory_bytes

IMPORT_TIMEOUT_S = 120
GPU_TIMEOUT_S = 20
# module, distribution on PyPI, what it is for, how to get it
_NEEDED = [
    ('numpy', 'numpy', 'arrays', 'pip install numpy'),
    ('scipy', 'scipy', 'distance transforms, triangulation', 'pip install scipy'),
    ('cv2', 'opencv-python-headless', 'image operations', 'pip install opencv-python-headless'),
    ('rosbags', 'rosbags', 'bags: make-bag, simulate, replay', 'pip install rosbags'),
    ('rclpy', 'rclpy', 'the node', "source your ROS 2 setup.bash, or pip install '.[embedded]'"),
    ('torch', 'torch', 'the simulation and the learned estimators', 'pip install torch'),
    ('open3d', 'open3d', 'cloud files', 'pip install open3d'),
    ('matplotlib', 'matplotlib', 'pictures in reports', 'pip install matplotlib'),
]
_OPTIONAL = [
    ('tf2_ros', 'extrinsics.source: tf2', 'use extrinsics.source file or bag, or a ROS 2 install'),
    ('message_filters', 'sync.policy: exact, approximate', 'use sync.policy nearest'),
    ('launch', 'ros2 launch', 'use metric-depth run'),
    ('nav_msgs', 'pose.source: odometry of the node reconstruct', 'use pose.source tf2 or pose'),
    ('rerun', '--rerun: logs for the Rerun viewer', 'pip install rerun-sdk'),
    ('pyrealsense2', 'the nodes realsense and realsense_depth', 'pip install pyrealsense2'),
    ('rviz_common', 'rviz2 displays', 'apt install ros-$ROS_DISTRO-rviz2'),
]


@dataclass(frozen=True)
class Finding:
    """One line of the report: state is ``'ok'``, ``'missing'`` (needed) or ``'absent'``."""

    subject: str
    state: str
    detail: str
    remedy: str = ''


def examine() -> Iterator[Finding]:
    """Yield the findings one by one; checking an import may take seconds."""
    yield Finding('Python', 'ok', f'{platform.python_version()} at {sys.executable}')
    yield _distribution()
    for module, distribution, purpose, remedy in _NEEDED:
        yield _needed(module, distribution, purpose, remedy)
    yield _system_library('usb-1.0', 'libusb-1.0-0', 'open3d')
    for module, purpose, remedy in _OPTIONAL:
        found = find_spec(module) is not None
        yield Finding(module, 'ok' if found else 'absent', purpose, '' if found else remedy)
    yield _dds_profile()
    yield _shared_memory()
    yield _gpu()
    yield from _models()


def _distribution() -> Finding:
    name = os.environ.get('ROS_DISTRO')
    if name:
        return Finding('ROS 2', 'ok', f'{name} (sourced)')
    if find_spec('rclpy') is not None:
        return Finding('ROS 2', 'ok', 'rclpy from PyPI, no distribution sourced')
    return Finding(
        'ROS 2', 'missing', 'neither a distribution nor the PyPI build',
        "source /opt/ros/<distro>/setup.bash, or pip install '.[embedded]'",
    )  # fmt: skip


def _needed(module: str, distribution: str, purpose: str, remedy: str) -> Finding:
    """Import in a process of its own, since a missing system library may end the process."""
    if find_spec(module) is None:
        return Finding(module, 'missing', purpose, remedy)
    try:
        result = subprocess.run(
            [sys.executable, '-c', f'import {module}'],
            capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding(module, 'missing', f'import took over {IMPORT_TIMEOUT_S} s', remedy)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ['no message'])[-1]
        return Finding(module, 'missing', f'does not import: {reason}', remedy)
    return Finding(module, 'ok', f'{_version(distribution)}: {purpose}')


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
    chosen = os.environ.get('FASTRTPS_DEFAULT_PROFILES_FILE') or os.environ.get(
        'FASTDDS_DEFAULT_PROFILES_FILE'
    )
    rmw = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp (default)')
    if chosen:
        return Finding('DDS profile', 'ok', f'{chosen} (chosen by you), {rmw}')
    try:
        share_file('config/fastdds.xml')
    except InputError as error:
        return Finding('DDS profile', 'missing', str(error), 'reinstall the package')
    profile = next(iter(dds_environment().values()))
    return Finding(
        'DDS profile', 'ok', f'{profile}, {rmw}',
        'set by metric-depth and the launch files; with ros2 run, export '
        f'FASTRTPS_DEFAULT_PROFILES_FILE={profile}',
    )  # fmt: skip


def _shared_memory(folder: str = '/dev/shm') -> Finding:
    """Compare the shared memory that each process takes with what the machine has left."""
    size = shared_memory_bytes()
    if size is None or not os.path.isdir(folder):
        return Finding('shared memory', 'absent', 'messages do not go through it')
    free = shutil.disk_usage(folder).free
    detail = (
        f'{size >> 20} MiB a process, {free >> 20} MiB free in {folder}; larger messages, '
        'one or several at once, may be lost where readers are slow'
    )
    if free < size:
        return Finding(
            'shared memory', 'missing', detail,
            f'docker run --shm-size={4 * (size >> 20)}m, or mount -o remount,size=... {folder}',
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


def _models() -> Iterator[Finding]:
    from metric_depth_ros.estimators.registry import ESTIMATOR_NAMES

    yield Finding(
        'estimators',
        'ok',
        f'{", ".join(ESTIMATOR_NAMES)} (classical and nearest need no weights)',
        '`metric-depth models` tells where the weights of the others come from',
    )
