# SPDX-License-Identifier: Apache-2.0
"""Where the package's own files lie, and what paths of users and of ROS stand for.

Files of config/, launch/ and rviz/ are found in a colcon install, in a pip install and in a
checkout alike. Standard library only: this runs before ROS is loaded.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from metric_depth_ros.errors import InputError

PACKAGE = 'metric_depth_ros'


def share_file(relative: str) -> Path:
    """Return the path of a shipped file, e.g. ``'config/kitti.yaml'``.

    Raises
    ------
    InputError
        Not found in any of the places, which are named.
    """
    checkout = Path(__file__).resolve().parent.parent
    prefixes = [Path(p) for p in paths_in('AMENT_PREFIX_PATH')]
    shares = [p / 'share' / PACKAGE for p in (*prefixes, Path(sys.prefix))]
    for folder in (checkout, *shares):
        if (folder / relative).is_file():
            return folder / relative
    raise InputError(
        'resource',
        f'{relative} of {PACKAGE} was not found in {checkout} nor in '
        f'{", ".join(map(str, shares))}: reinstall the package.',
    )


def user_path(text: str) -> Path:
    """Return a path as a user gave it: ``~`` is the home folder, as is ``~NAME`` of a known user.

    What begins with another ``~`` is taken as it stands, so that it is refused as missing.
    """
    return Path(os.path.expanduser(text))  # Path.expanduser would raise


def ros_home() -> Path:
    """Return the folder into which ROS nodes write what nobody gave a place: ``$ROS_HOME``."""
    return user_path(os.environ.get('ROS_HOME') or '~/.ros')


def paths_in(variable: str) -> list[str]:
    """Return the paths that an environment variable lists."""
    return [path for path in os.environ.get(variable, '').split(os.pathsep) if path]
