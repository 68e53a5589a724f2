# SPDX-License-Identifier: Apache-2.0
from glob import glob

from setuptools import find_packages, setup

PACKAGE = 'metric_depth_ros'

# On a ROS 2 distribution rosdep installs what package.xml names, under Debian's names, so nothing
# is required here. Without ROS, `pip install '.[embedded]'` brings everything from PyPI.
EMBEDDED = [
    'ros-jazzy-ament-index-python',
    'ros-jazzy-diagnostic-msgs',
    'ros-jazzy-geometry-msgs',
    'ros-jazzy-lifecycle-msgs',
    'ros-jazzy-nav-msgs',
    'ros-jazzy-rclpy[fastrtps]',
    'ros-jazzy-sensor-msgs',
    'ros-jazzy-std-msgs',
    'ros-jazzy-std-srvs',
    'huggingface-hub',
    'numpy>=1.26',
    'open3d',
    'opencv-python-headless>=4.6',
    'pillow',
    'psutil',
    'PyYAML',
    'rich',
    'rosbags',
    'safetensors',
    'scipy',
    'torch',
    'transformers>=5.3',
]
TRAINING = ['accelerate']
# On machines without a wheel of it, build librealsense with its Python bindings.
REALSENSE = ['pyrealsense2>=2.56']
ONNX = ['onnx', 'onnxruntime', 'onnxscript']
RERUN = ['rerun-sdk>=0.24']
TEST = [
    *ONNX,
    *RERUN,
    *TRAINING,
    *REALSENSE,
    'catkin-pkg',
    'colcon-common-extensions',
    'hypothesis',
    'import-linter',
    'math-verify',
    'matplotlib',
    'mypy',
    'pytest<9',
    'pytest-xdist',
    'ruff',
    'types-psutil',
    'types-PyYAML',
    'webdataset',
]

setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['weights/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        # colcon.pkg names it: sourcing a workspace puts the command on PATH.
        (f'share/{PACKAGE}/environment', ['resource/path.dsv']),
        (f'share/{PACKAGE}/launch', glob('launch/*.launch.py')),
        (f'share/{PACKAGE}/config', glob('config/*.*')),
        (f'share/{PACKAGE}/config/sros2', glob('config/sros2/*.xml')),
        (f'share/{PACKAGE}/config/training', glob('config/training/*.yaml')),
        (f'share/{PACKAGE}/rviz', glob('rviz/*.rviz')),
    ],
    python_requires='>=3.10',
    install_requires=['setuptools'],
    extras_require={
        'embedded': EMBEDDED,
        'onnx': ONNX,
        'realsense': REALSENSE,
        'rerun': RERUN,
        'training': TRAINING,
        'test': TEST,
    },
    zip_safe=False,
    maintainer='metric_depth_ros developers',
    maintainer_email='metric-depth-ros@example.com',
    description='Metric depth perception for ROS 2: sparse sensor prompts in, dense depth out.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'depth = metric_depth_ros.nodes.depth:main',
            'query = metric_depth_ros.nodes.query:main',
            'realsense = metric_depth_ros.nodes.realsense:main',
            'realsense_depth = metric_depth_ros.nodes.realsense_depth:main',
            'metric-depth = metric_depth_ros.cli.main:main',
            'reconstruct = metric_depth_ros.nodes.reconstruct:main',
        ],
    },
)
