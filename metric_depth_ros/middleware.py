# SPDX-License-Identifier: Apache-2.0
"""The DDS middleware that a process gets: its Fast DDS profile, and whether it is installed.

Standard library only: this runs before ROS is loaded.
"""

from __future__ import annotations

import os
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import paths_in, share_file

# Fast DDS reads either, by release; a user's own choice of any of them is respected.
_PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
_DEFAULT_SEGMENT_BYTES = 512 * 1024  # of Fast DDS


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

    It is that of the profile in force, or Fast DDS' own where the profile names none or cannot be
    read. None where messages do not go through it: another middleware is chosen, or a profile
    whose transports are others.
    """
    if not uses_fast_dds():
        return None
    try:
        profile = read_dds_profile()
    except InputError:  # Fast DDS says so, and goes on without
        return _DEFAULT_SEGMENT_BYTES
    sizes = _texts(profile, 'segment_size')
    if sizes and sizes[0].isdecimal():
        return int(sizes[0])
    others_alone = 'false' in _texts(profile, 'useBuiltinTransports')
    return (
        None if others_alone and 'SHM' not in _texts(profile, 'type') else _DEFAULT_SEGMENT_BYTES
    )


def uses_fast_dds() -> bool:
    """Return whether Fast DDS is the middleware: it is where none is chosen."""
    return 'fastrtps' in (os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp')


def dds_profile() -> str:
    """Return the path of the Fast DDS profile in force: the user's, or the shipped one."""
    environment = {**os.environ, **dds_environment()}
    return next(environment[name] for name in _PROFILE_VARIABLES if environment.get(name))


def read_dds_profile() -> ElementTree.Element:
    """Return the Fast DDS profile in force.

    Raises
    ------
    InputError
        ``dds_profile``: it cannot be read, or is no XML.
    """
    path = dds_profile()
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(
            'dds_profile',
            f'the Fast DDS profile {path} cannot be read ({reason}), so that Fast DDS takes its '
            f'own: correct or unset {" and ".join(_PROFILE_VARIABLES)}.',
        ) from error


def _texts(profile: ElementTree.Element, name: str) -> list[str]:
    return [(found.text or '').strip() for found in profile.findall(f'.//{{*}}{name}')]


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
    folders += [Path(p) / 'lib' for p in paths_in('AMENT_PREFIX_PATH')]
    folders += map(Path, paths_in('LD_LIBRARY_PATH'))
    if any((folder / f'lib{name}.so').is_file() for folder in folders) or find_library(name):
        return
    raise InputError(
        'middleware',
        f'RMW_IMPLEMENTATION is {name!r}, a middleware that is not installed here: unset '
        f'RMW_IMPLEMENTATION, or install that middleware (sudo apt install '
        f'ros-$ROS_DISTRO-{name.replace("_", "-")}, with a ROS distribution).',
    )
