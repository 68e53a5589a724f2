# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie, and the environment that its processes start with.

Files of config/, launch/ and rviz/ are found in a colcon install, in a pip install and in a
checkout alike. Standard library only: this runs before ROS is loaded.
"""

from __future__ import annotations

import os
import re
import sys
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
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
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


def default_environment() -> dict[str, str]:
    """Return a copy of the environment for a process that speaks DDS, profile included."""
    return {**os.environ, **dds_environment()}
