# SPDX-License-Identifier: Apache-2.0
"""Play a bag through the `depth` node in real time, record and score what it publishes.

``ros2 launch metric_depth_ros bag_evaluation.launch.py bag:=drive.mcap fail_if:='abs_rel>0.1'``.
Runs ``metric-depth replay``, which starts the node, plays the bag and scores the depth against the
bag's ground truth; figures.json lies beside the recording. The launch fails when frames were lost
or the condition holds. Prompt sources and extrinsics are those of the bag, unless params_file
says otherwise; its topics are named as for ``metric-depth replay --topic``.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction
from launch.conditions import IfCondition
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.resources import share_file

# Launch argument: (default, None where it must be given; description).
ARGUMENTS = {
    'bag': (None, 'rosbag2 folder, .mcap or .db3 file.'),
    'out': (
        '',
        'Folder for recording, log and figures.json, without a recording yet. Empty: a new one in '
        'out/replay.',
    ),
    'params_file': ('', 'Parameters of the node. Empty: its defaults, with what the bag has.'),
    'estimator': ('', 'Depth method. Empty: see params_file.'),
    'rate': ('1.0', '2.0 plays twice as fast.'),
    'with_points': ('false', 'Have the node compute its cloud too.'),
    'fail_if': ('', 'Condition that fails the launch, e.g. abs_rel>0.1.'),
    'rviz': ('false', 'Watch in RViz.'),
    'rviz_frame': ('camera_optical_frame', 'Frame that RViz draws in.'),
    'image': ('/camera/image_raw', 'Topic of the bag with the camera image.'),
}
# Launch argument: (input of the node, description). Empty: the topic that make-bag writes.
TOPICS = {
    'camera_info': ('camera_info', 'Topic of the bag with the CameraInfo of the image.'),
    'points': ('points', 'Topic of the bag with the PointCloud2 of the LiDAR.'),
    'radar': ('radar', 'Topic of the bag with the PointCloud2 of the radar.'),
    'sensor_depth_image': ('sensor_depth/image', 'Topic of the bag with the measured depth.'),
    'sensor_depth_camera_info': (
        'sensor_depth/camera_info',
        'Topic of the bag with the CameraInfo of the measured depth.',
    ),
    'ground_truth': (
        'ground_truth',
        'Topic of the bag that the depth is scored against: a depth image, or the cloud of a '
        'LiDAR that the node does not get.',
    ),
}


def generate_launch_description() -> LaunchDescription:
    """Return the replay, and RViz beside it if wanted."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            *(
                DeclareLaunchArgument(name, default_value='', description=description)
                for name, (_, description) in TOPICS.items()
            ),
            OpaqueFunction(function=_replay),
            Node(
                package='rviz2',
                executable='rviz2',
                arguments=[
                    '--display-config', str(share_file('rviz/depth.rviz')),
                    '--fixed-frame', LaunchConfiguration('rviz_frame'),
                ],
                remappings=[('/image', LaunchConfiguration('image'))],
                parameters=[{'use_sim_time': True}],  # as the node: replay publishes /clock
                additional_env=dds_environment(),
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )  # fmt: skip


def _replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    options = []
    for argument, (name, _) in {'image': ('image', ''), **TOPICS}.items():
        if topic := LaunchConfiguration(argument).perform(context):
            options += ['--topic', f'{name}:={topic}']
    if params_file := LaunchConfiguration('params_file').perform(context):
        options += ['--params-file', params_file]
    if out := LaunchConfiguration('out').perform(context):
        options += ['--out', out]
    if estimator := LaunchConfiguration('estimator').perform(context):
        options += ['--param', f'estimator:={estimator}']
    if fail_if := LaunchConfiguration('fail_if').perform(context):
        options += ['--fail-if', fail_if]
    if IfCondition(LaunchConfiguration('with_points')).evaluate(context):
        options.append('--with-points')
    return [
        ExecuteProcess(
            cmd=[
                ExecutableInPackage('metric-depth', 'metric_depth_ros'),
                'replay', LaunchConfiguration('bag'),
                '--rate', LaunchConfiguration('rate'),
                '--domain', EnvironmentVariable('ROS_DOMAIN_ID', default_value='0'),
                *options,
            ],
            name='replay',
            additional_env=dds_environment(),
            output='screen',
            on_exit=_end,
        )
    ]  # fmt: skip


def _end(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    if event.returncode:
        # The only way to make `ros2 launch` itself return an error.
        raise RuntimeError(f'the evaluation failed: metric-depth returned {event.returncode}')
    return [EmitEvent(event=Shutdown(reason='the evaluation is done'))]
