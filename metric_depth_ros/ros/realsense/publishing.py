# SPDX-License-Identifier: Apache-2.0
"""Topics of the `realsense` node: images with their CameraInfo, and the frames of the camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import ImageFields
from metric_depth_ros.geometry.rigid import Transform, quaternion_from_matrix
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.messages import MessageBuffer, camera_info_message, image_message
from metric_depth_ros.ros.qos import Warn, advertise
from metric_depth_ros.ros.realsense.frames import Picture

# By picture: topics of the image and of its CameraInfo.
TOPICS: dict[str, tuple[str, str]] = {
    'color': ('~/color/image_raw', '~/color/camera_info'),
    'depth': ('~/depth/image_rect_raw', '~/depth/camera_info'),
    'aligned_depth': (
        '~/aligned_depth_to_color/image_raw',
        '~/aligned_depth_to_color/camera_info',
    ),
}


def feed_topics(node: Node, *, aligned: bool) -> dict[str, str]:
    """Return the topics that a depth node of this process takes, by its streams."""
    color, depth = TOPICS['color'], TOPICS['aligned_depth' if aligned else 'depth']
    topics = dict(zip(_streams('color'), color, strict=True))
    topics |= dict(zip(_streams('depth'), depth, strict=True))
    return {stream: node.resolve_topic_name(topic) for stream, topic in topics.items()}


def _streams(picture: str) -> tuple[str, str]:
    """Return the streams of a depth node that take a picture and its CameraInfo."""
    if picture == 'color':
        return 'image', 'camera_info'
    return 'sensor_depth', 'sensor_depth/camera_info'


class PictureOutputs:
    """Publishers of pictures, and their way to a depth node of this process.

    Parameters
    ----------
    node
        Node to publish from.
    warn
        Where incompatible subscribers are reported.
    feed
        Where messages are handed over.
    """

    def __init__(self, node: Node, warn: Warn, feed: CameraFeed) -> None:
        self._node = node
        self._warn = warn
        self._feed = feed
        self._publishers: dict[str, Publisher] = {}

    def open(self, pictures: tuple[str, ...]) -> None:
        """Create the publishers of some of `TOPICS`.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        for picture in pictures:
            for topic, kind in zip(TOPICS[picture], (Image, CameraInfo), strict=True):
                self._publishers[topic] = advertise(self._node, kind, topic, self._warn)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def wanted(self, name: str, *, fed: bool) -> bool:
        """Tell whether anybody takes a picture; one that nobody does need not be computed."""
        if fed and self._feed.wants(_streams(name)[0]):
            return True
        return any(self._publishers[topic].get_subscription_count() for topic in TOPICS[name])

    def send(self, name: str, picture: Picture, header: Header, *, fed: bool) -> None:
        """Publish a picture and its CameraInfo where they are subscribed, and hand them over.

        Parameters
        ----------
        name
            Which of `TOPICS`.
        picture
            The picture.
        header
            Its stamp and frame.
        fed
            Whether it is one that a depth node of this process takes.
        """
        image_topic, info_topic = TOPICS[name]
        image_stream, info_stream = _streams(name)
        info = camera_info_message(header, camera_to_fields(picture.camera))
        self._publish(info_topic, info)
        if fed:
            self._feed.offer(info_stream, info)
        image = _image(header, picture)
        self._publish(image_topic, image)
        if fed:
            self._feed.offer(image_stream, image)

    def _publish(self, topic: str, message: Any) -> None:
        if self._publishers[topic].get_subscription_count():
            self._publishers[topic].publish(message)


def _image(header: Header, picture: Picture) -> Image:
    """Return an Image of its own memory: librealsense wants the frame back."""
    height, step = picture.data.shape
    data = picture.data.reshape(-1)
    fields = ImageFields(height, picture.width, picture.encoding, 0, step, data)
    return image_message(header, fields, MessageBuffer.holding(data))


class StaticFrames:
    """Publisher of ``/tf_static``, where tf2_msgs is installed.

    Parameters
    ----------
    node
        Node to publish from.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher: Publisher | None = None
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return
        self._kind = TFMessage
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(TFMessage, '/tf_static', latched)

    @property
    def is_available(self) -> bool:
        """Whether anything is published."""
        return self._publisher is not None

    def publish(self, transforms: Mapping[tuple[str, str], Transform], stamp: Any) -> None:
        """Publish transforms for whoever is there, and for whoever comes later."""
        if self._publisher is None:
            return
        from geometry_msgs.msg import Quaternion, TransformStamped, Vector3

        message = self._kind()
        for (parent, child), T in transforms.items():
            stamped = TransformStamped(child_frame_id=child)
            stamped.header.frame_id, stamped.header.stamp = parent, stamp
            x, y, z = T[:3, 3].tolist()
            stamped.transform.translation = Vector3(x=x, y=y, z=z)
            x, y, z, w = quaternion_from_matrix(T).tolist()
            stamped.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
            message.transforms.append(stamped)
        self._publisher.publish(message)

    def close(self) -> None:
        """Destroy the publisher."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None
