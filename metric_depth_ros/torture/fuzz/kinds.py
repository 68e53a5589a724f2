# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: the message types of the node's inputs, each as the node may be told to read it.

Loads nothing, so that the campaign can be listed where hypothesis is not installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """Messages of one type on one input.

    Parameters
    ----------
    name
        In the campaign.
    message_type
        ROS type.
    stream
        Input of the node that takes it.
    parameters
        Of the node, so that it does.
    as_bytes
        Whether it is not fields that are replaced, but bytes as they come from the middleware.
    """

    name: str
    message_type: str
    stream: str
    parameters: dict[str, object] = field(default_factory=dict)
    as_bytes: bool = False


KINDS = (
    Kind('image', 'sensor_msgs/msg/Image', 'image'),
    Kind(
        'compressed',
        'sensor_msgs/msg/CompressedImage',
        'image',
        {'image_transport': 'compressed'},
    ),
    Kind('camera_info', 'sensor_msgs/msg/CameraInfo', 'camera_info'),
    Kind('points', 'sensor_msgs/msg/PointCloud2', 'points'),
    Kind('radar', 'sensor_msgs/msg/PointCloud2', 'radar', {'prompt.sources': ['radar']}),
    Kind(
        'sensor_depth',
        'sensor_msgs/msg/Image',
        'sensor_depth',
        {'prompt.sources': ['sensor_depth']},
    ),
    Kind(
        'compressed_depth',
        'sensor_msgs/msg/CompressedImage',
        'sensor_depth',
        {
            'prompt.sources': ['sensor_depth'],
            'prompt.depth_transport': 'compressedDepth',
            'prompt.depth_alignment': 'low_resolution',
        },
    ),
    Kind('image_bytes', 'sensor_msgs/msg/Image', 'image', as_bytes=True),
    Kind(
        'compressed_bytes',
        'sensor_msgs/msg/CompressedImage',
        'image',
        {'image_transport': 'compressed'},
        as_bytes=True,
    ),
    Kind('points_bytes', 'sensor_msgs/msg/PointCloud2', 'points', as_bytes=True),
)
