# SPDX-License-Identifier: Apache-2.0
"""The Python packages that are used: what each is for, and how it is installed.

Not every installation has all of them, and none is loaded with this, so that a broken one can be
named.
Standard library and `errors` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from metric_depth_ros.errors import InputError


@dataclass(frozen=True)
class Library:
    """A Python package of others.

    Parameters
    ----------
    module
        As it is imported.
    distribution
        As it is called on PyPI.
    purpose
        What does not work without it.
    remedy
        How it is installed, or what to do without it.
    least
        The oldest version that is enough; empty where none is known not to be.
    """

    module: str
    distribution: str
    purpose: str
    remedy: str
    least: str = ''


def _of_debian(
    module: str, debian: str, distribution: str, purpose: str, least: str = ''
) -> Library:
    """Return a package that comes with Debian, and with PyPI where there is no ROS."""
    remedy = f'sudo apt install {debian}, or without a ROS distribution pip install {distribution}'
    return Library(module, distribution, purpose, remedy, least)


def _of_pypi(module: str, distribution: str, purpose: str, least: str = '') -> Library:
    wanted = f"'{distribution}>={least}'" if least else distribution
    return Library(module, distribution, purpose, f'pip install {wanted}', least)


def _of_ros(package: str, purpose: str) -> Library:
    remedy = (
        f'sudo apt install ros-$ROS_DISTRO-{package.replace("_", "-")} and source its setup.bash, '
        "or without a ROS distribution pip install '.[embedded]'"
    )
    return Library(package, package, purpose, remedy)


# What package.xml names: rosdep installs it.
NEEDED = (
    _of_debian('numpy', 'python3-numpy', 'numpy', 'arrays', '1.26'),
    _of_debian('scipy', 'python3-scipy', 'scipy', 'distance transforms, triangulation'),
    _of_debian('cv2', 'python3-opencv', 'opencv-python-headless', 'image operations', '4.6'),
    _of_debian('yaml', 'python3-yaml', 'PyYAML', 'calibration and parameter files'),
    _of_debian('psutil', 'python3-psutil', 'psutil', 'replay, demo, bench, torture'),
    _of_debian('rich', 'python3-rich', 'rich', 'tables and progress of the commands'),
    _of_ros('rclpy', 'the nodes, run, replay, demo'),
)

# What only those need who use it.
OPTIONAL = (
    _of_pypi('rosbags', 'rosbags', 'bags, in commands, as extrinsics.source and in snapshots'),
    _of_pypi('torch', 'torch', 'simulation, reconstruction, training, learned estimators'),
    _of_pypi('open3d', 'open3d', 'reconstruction, .ply and .pcd prompts'),
    _of_pypi('transformers', 'transformers', 'tokenize, learned estimators (not compact)', '5.3'),
    _of_pypi('safetensors', 'safetensors', 'weights of learned estimators'),
    _of_pypi('huggingface_hub', 'huggingface_hub', 'weights from the Hugging Face hub'),
    _of_pypi('PIL', 'pillow', 'language models, images of some benchmarks'),
    _of_pypi('accelerate', 'accelerate', 'train'),
    _of_pypi('onnxruntime', 'onnxruntime', 'the backend onnx, export'),
    _of_pypi('onnx', 'onnx', 'export'),
    _of_pypi('onnxscript', 'onnxscript', 'export'),
    _of_pypi('hypothesis', 'hypothesis', 'torture'),
    _of_pypi('rerun', 'rerun-sdk', 'logs for the Rerun viewer (--rerun)', '0.24'),
    _of_pypi('pyrealsense2', 'pyrealsense2', 'the nodes realsense and realsense_depth', '2.56'),
    Library(
        'tf2_ros', 'tf2_ros', 'extrinsics.source tf2',
        'use extrinsics.source file or bag, or a ROS 2 install',
    ),
    Library(
        'message_filters', 'message_filters', 'sync.policy exact and approximate',
        'use sync.policy nearest',
    ),
    Library('launch', 'launch', 'ros2 launch', 'use metric-depth run'),
    Library(
        'nav_msgs', 'nav_msgs', 'pose.source odometry of the node reconstruct',
        'use pose.source tf2 or pose',
    ),
)  # fmt: skip

# They come with rclpy, so that a report of what is installed need not name them.
_BESIDE_RCLPY = (
    'ament_index_python', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs',
    'lifecycle_msgs', 'rcl_interfaces', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs',
)  # fmt: skip
_KNOWN = {
    library.module: library
    for library in (*NEEDED, *OPTIONAL, *(_of_ros(name, 'the nodes') for name in _BESIDE_RCLPY))
}


@contextmanager
def missing_libraries_named() -> Iterator[None]:
    """Refuse what needs a package that is not installed, in words.

    Raises
    ------
    InputError
        ``library_missing``: one of the packages above is not installed. Anything else that cannot
        be imported, a part of an installed package among it, stays what it is: a defect.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = _KNOWN.get(error.name or '')
        if library is None:
            raise
        raise InputError(
            'library_missing',
            f'the Python package {library.module} is not installed ({library.purpose}): '
            f'{library.remedy}.',
        ) from error


def import_open3d() -> Any:
    """Import open3d, or say what it takes."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise InputError(
            'open3d',
            f'clouds need open3d, which cannot be loaded ({error}): pip install open3d; on '
            'Debian and Ubuntu it needs apt install libusb-1.0-0 libgl1 libegl1.',
        ) from error
    return open3d
