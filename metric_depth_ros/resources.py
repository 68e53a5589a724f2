# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie, and the environment that its processes start with.

Files of config/, launch/ and rviz/ are found in a colcon install, in a pip install and in a
checkout alike. Standard library only: this runs before ROS is loaded.
"""

from __future__ import annotations

import os
import re
import sys
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

from metric_depth_ros.errors import InputError

PACKAGE = 'metric_depth_ros'
# Fast DDS reads either, by release; a user's own choice of any of them is respected.
_PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def share_file(relative: str) -> Path:
    """Return the path of a shipped file, e.g. ``'config/kitti.yaml'``.

    Raises
    ------
    InputError
        Not found in any of the places, which are named.
    """
    checkout = Path(__file__).resolve().parent.parent
    prefixes = [Path(p) for p in _paths('AMENT_PREFIX_PATH')]
    shares = [p / 'share' / PACKAGE for p in (*prefixes, Path(sys.prefix))]
    for folder in (checkout, *shares):
        if (folder / relative).is_file():
            return folder / relative
    raise InputError(
        'resource',
        f'{relative} of {PACKAGE} was not found in {checkout} nor in '
        f'{", ".join(map(str, shares))}: reinstall the package.',
    )


def dds_environment() -> dict[str, str]:
    """Return the variables that select the shipped Fast DDS profile.

    The default shared-memory segment of Fast DDS is smaller than one image, so that large
    messages fall back to UDP and are lost. Empty when the user has chosen a profile.
    """
    if any(os.environ.get(name) for name in _PROFILE_VARIABLES):
        return {}
    profile = str(share_file('config/fastdds.xml'))
    return dict.fromkeys(_PROFILE_VARIABLES, profile)


def shared_memory_bytes() -> int | None:
    """Return the size of the shared memory that Fast DDS sends the messages of a process through.

    It is that of the profile in force. None where another middleware is chosen, or the profile
    names no size.
    """
    if 'fastrtps' not in os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp'):
        return None
    environment = {**os.environ, **dds_environment()}
    path = next(environment[name] for name in _PROFILE_VARIABLES if environment.get(name))
    try:
        profile = Path(path).read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    size = re.search(r'<segment_size>\s*(\d{1,15})\s*</segment_size>', profile)
    return int(size[1]) if size else None


def user_path(text: str) -> Path:
    """Return a path as a user gave it: ``~`` is the home folder, as is ``~NAME`` of a known user.

    What begins with another ``~`` is taken as it stands, so that it is refused as missing.
    """
    return Path(os.path.expanduser(text))  # Path.expanduser would raise


def ros_home() -> Path:
    """Return the folder into which ROS nodes write what nobody gave a place: ``$ROS_HOME``."""
    return user_path(os.environ.get('ROS_HOME') or '~/.ros')


def refuse_missing_middleware() -> None:
    """Refuse a middleware that is chosen and not installed, before rclpy is loaded.

    rclpy would end the process without an exception. Where rclpy itself is not installed, there
    is nothing to refuse.

    Raises
    ------
    InputError
        ``middleware``: no library of the middleware lies where ROS looks for it.
    """
    name = os.environ.get('RMW_IMPLEMENTATION')
    rclpy = find_spec('rclpy') if name else None
    if not name or rclpy is None or rclpy.origin is None:
        return
    # PREFIX/lib/pythonX.Y/site-packages/rclpy/__init__.py, of a distribution and of PyPI alike.
    folders = [path / 'lib' for path in Path(rclpy.origin).parents[4:5]]
    folders += [Path(p) / 'lib' for p in _paths('AMENT_PREFIX_PATH')]
    folders += map(Path, _paths('LD_LIBRARY_PATH'))
    if any((folder / f'lib{name}.so').is_file() for folder in folders) or find_library(name):
        return
    raise InputError(
        'middleware',
        f'RMW_IMPLEMENTATION is {name!r}, a middleware that is not installed here: unset '
        f'RMW_IMPLEMENTATION, or install that middleware (sudo apt install '
        f'ros-$ROS_DISTRO-{name.replace("_", "-")}, with a ROS distribution).',
    )


def _paths(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, '').split(os.pathsep) if path]


def default_environment() -> dict[str, str]:
    """Return a copy of the environment for a process that speaks DDS, profile included."""
    return {**os.environ, **dds_environment()}
