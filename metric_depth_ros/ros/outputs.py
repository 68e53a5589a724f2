# SPDX-License-Identifier: Apache-2.0
"""What the node publishes about a frame; each output is computed only when it is subscribed."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import ImageFields, encode_depth, encode_mono
from metric_depth_ros.codecs.pointcloud import (
    ORGANIZED_POINT_STEP,
    encode_cloud,
    encode_organized,
    organized_xyz,
)
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.geometry.voxels import voxel_means
from metric_depth_ros.middleware import shared_memory_bytes
from metric_depth_ros.ros.depth_picture import depth_picture
from metric_depth_ros.ros.limits import LimitedDepth
from metric_depth_ros.ros.messages import (
    MessageBuffer,
    camera_info_message,
    cloud_message,
    image_message,
)
from metric_depth_ros.ros.parameters import DepthSettings
from metric_depth_ros.ros.qos import Warn, advertise
from metric_depth_ros.types import DepthEstimate, Frame

_MIB = 2.0**20
_UNDISCOVERED = '_NODE_NAME_UNKNOWN_'  # what rmw calls a node that it has not heard of yet
OUTPUTS: dict[str, type] = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/points': PointCloud2,
    'depth/points_voxels': PointCloud2,
    'depth/confidence': Image,
    'depth/image_color': Image,
    'depth/prompt': Image,
}


class Outputs:
    """Publishers of the depth topics.

    Parameters
    ----------
    node
        Node to publish from.
    warn
        Where incompatible subscribers are reported.
    camera
        Name of the camera, which the topics begin with where a node has several.
    """

    def __init__(self, node: Node, warn: Warn, camera: str = '') -> None:
        self._node = node
        self._warn = warn
        self._prefix = f'{camera}/' if camera else ''
        self._publishers: dict[str, Publisher] = {}
        self._buffers = {topic: MessageBuffer() for topic in OUTPUTS}
        self._room = shared_memory_bytes()

    def open(self) -> None:
        """Create the publishers.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        for topic, kind in OUTPUTS.items():
            name = self._prefix + topic
            self._publishers[topic] = advertise(self._node, kind, name, self._warn)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    @property
    def topics(self) -> set[str]:
        """Their topics, as remapped."""
        return {self._node.resolve_topic_name(self._prefix + topic) for topic in OUTPUTS}

    def other_publishers(self) -> dict[str, list[str]]:
        """Return the other nodes that publish on one of the topics, by topic as remapped."""
        own = self._node.get_fully_qualified_name()
        found: dict[str, list[str]] = {}
        for topic in OUTPUTS:
            # By the name before remapping: rclpy remaps it here, and would do so once more.
            infos = self._node.get_publishers_info_by_topic(self._prefix + topic)
            nodes = {f'{i.node_namespace.rstrip("/")}/{i.node_name}' for i in infos}
            others = sorted(n for n in nodes if n != own and _UNDISCOVERED not in n)
            if others:
                found[self._node.resolve_topic_name(self._prefix + topic)] = others
        return found

    @property
    def is_heard(self) -> bool:
        """Whether somebody subscribes to any of them."""
        return any(p.get_subscription_count() for p in tuple(self._publishers.values()))

    def publish(
        self,
        header: object,
        frame: Frame,
        estimate: DepthEstimate,
        limited: LimitedDepth,
        settings: DepthSettings,
    ) -> None:
        """Publish what is subscribed, all with the header of the image.

        Parameters
        ----------
        header
            Header of the image: its stamp and frame are those of every output.
        frame, estimate, limited
            Input, result, and the result's depth as it is to be published.
        settings
            Encoding of depth/image, and size of the voxels.
        """
        steps: dict[str, Callable[[], object | None]] = {
            'depth/image': lambda: self._depth_image(header, limited, settings.encoding),
            'depth/camera_info': lambda: _camera_info(header, limited),
            'depth/points': lambda: self._points(header, frame, limited),
            'depth/points_voxels': lambda: _voxels(header, limited, settings.voxel_size_m),
            'depth/confidence': lambda: self._confidence(header, estimate),
            'depth/image_color': lambda: self._color(header, limited),
            'depth/prompt': lambda: self._prompt(header, frame),
        }
        for topic, step in steps.items():
            publisher = self._publishers[topic]
            if publisher.get_subscription_count():
                message = step()
                if message is not None:
                    self._warn_if_too_large(topic, message)
                    publisher.publish(message)

    def _warn_if_too_large(self, topic: str, message: object) -> None:
        size = len(getattr(message, 'data', b''))
        if self._room is not None and size > self._room:
            self._warn(
                self._node.resolve_topic_name(self._prefix + topic),
                'too_large',
                f'a message of {size / _MIB:.1f} MiB does not fit into the shared memory of this '
                f'process ({self._room / _MIB:.1f} MiB) at once, so that it may be lost where '
                'readers are slow: choose the Fast DDS profile config/fastdds_large.xml '
                '(FASTRTPS_DEFAULT_PROFILES_FILE), or smaller images.',
            )

    def _depth_image(self, header: object, limited: LimitedDepth, encoding: str) -> Image:
        buffer = self._buffers['depth/image']
        out = buffer.sized(limited.depth.size * (4 if encoding == '32FC1' else 2))
        return image_message(header, encode_depth(limited.depth, encoding, out=out), buffer)

    def _points(self, header: object, frame: Frame, limited: LimitedDepth) -> PointCloud2 | None:
        height, width = limited.depth.shape
        if limited.camera is None or frame.image.shape[:2] != (height, width):
            return None
        buffer = self._buffers['depth/points']
        out = buffer.sized(height * width * ORGANIZED_POINT_STEP)
        xyz = organized_xyz(out, height, width)
        depth_to_points(limited.camera, limited.depth, out=xyz)
        return cloud_message(header, encode_organized(xyz, frame.image, out=out), buffer)

    def _confidence(self, header: object, estimate: DepthEstimate) -> Image | None:
        if estimate.confidence is None:
            return None
        buffer = self._buffers['depth/confidence']
        out = buffer.sized(estimate.confidence.size * 4)
        return image_message(header, encode_mono(estimate.confidence, out=out), buffer)

    def _color(self, header: object, limited: LimitedDepth) -> Image:
        buffer = self._buffers['depth/image_color']
        picture = depth_picture(limited.depth)
        height, width = limited.depth.shape
        out = buffer.sized(picture.size)
        out[...] = picture.reshape(-1)
        return image_message(header, ImageFields(height, width, 'bgr8', 0, 3 * width, out), buffer)

    def _prompt(self, header: object, frame: Frame) -> Image | None:
        if frame.prompt is None:
            return None
        height, width = frame.image.shape[:2]
        buffer = self._buffers['depth/prompt']
        prompt_map = frame.prompt.to_map(width, height)
        return image_message(
            header, encode_mono(prompt_map, out=buffer.sized(prompt_map.size * 4)), buffer
        )


def _voxels(header: object, limited: LimitedDepth, size_m: float) -> PointCloud2 | None:
    if limited.camera is None:
        return None
    means = voxel_means(depth_to_points(limited.camera, limited.depth), size_m)
    fields = encode_cloud({axis: means[:, i] for i, axis in enumerate('xyz')})
    return cloud_message(header, fields, MessageBuffer.holding(fields.data))


def _camera_info(header: object, limited: LimitedDepth) -> CameraInfo | None:
    if limited.camera is None:
        return None
    return camera_info_message(header, camera_to_fields(limited.camera))
