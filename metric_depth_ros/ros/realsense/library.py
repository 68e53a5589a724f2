# SPDX-License-Identifier: Apache-2.0
"""pyrealsense2, imported when a camera is wanted, not before. Knows no ROS."""

from __future__ import annotations

from typing import Any

from metric_depth_ros.errors import InputError


def realsense_library() -> Any:
    """Return the module pyrealsense2.

    Raises
    ------
    InputError
        It is not installed, does not load, or is older than what is used of it.
    """
    try:
        import pyrealsense2
    except ImportError as error:  # a missing system library, too
        raise InputError(
            'realsense_library',
            f'pyrealsense2 cannot be loaded ({error}): pip install pyrealsense2, or '
            "pip install '.[realsense]'. On machines for which there is no wheel, build "
            'librealsense with BUILD_PYTHON_BINDINGS.',
        ) from error
    if not hasattr(pyrealsense2.pipeline, 'set_device'):
        found = getattr(pyrealsense2, '__version__', '(older ones do not tell their version)')
        raise InputError(
            'realsense_library',
            f'pyrealsense2 {found} is too old, expected 2.56 or newer: pip install --upgrade '
            'pyrealsense2.',
        )
    return pyrealsense2
