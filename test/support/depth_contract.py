# SPDX-License-Identifier: Apache-2.0
"""What every running `depth` node owes its subscribers, whoever has started it.

Tests that start the node through a launch file and tests that start the process itself ask and
check with these functions. The scene is a wall 4 m ahead, seen by a small camera and by a LiDAR
whose axes and place differ from the camera's.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from metric_depth_ros.replay.spinning_node import idle_node

WIDTH, HEIGHT = 64, 48
K = (50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0)
WALL_M = 4.0
CAMERA_FRAME, LIDAR_FRAME = 'camera_optical_frame', 'lidar'
# Pose of the LiDAR (x ahead, y left, z up) in the camera's optical frame.
LIDAR_ORIGIN = (0.1, -0.2, -0.3)
LIDAR_ROTATION = (0.5, -0.5, 0.5, 0.5)
_LIDAR_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])

CALIBRATION = f"""\
transforms:
  - parent: {CAMERA_FRAME}
    child: {LIDAR_FRAME}
    translation: {list(LIDAR_ORIGIN)}
    rotation: {list(LIDAR_ROTATION)}
"""


@dataclass(frozen=True)
class Answer:
    """Outputs of one frame."""

    image: Image
    camera_info: CameraInfo
    points: PointCloud2


def write_calibration(folder: Path) -> Path:
    """Return a calibration file for `extrinsics.path`."""
    path = folder / 'calibration.yaml'
    path.write_text(CALIBRATION, encoding='utf-8')
    return path


def mounting() -> TransformStamped:
    """Return the same calibration as a transform for /tf_static."""
    message = TransformStamped(child_frame_id=LIDAR_FRAME)
    message.header.frame_id = CAMERA_FRAME
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = LIDAR_ORIGIN
    turn.x, turn.y, turn.z, turn.w = LIDAR_ROTATION
    return message


def ask(
    *,
    image: str = 'image',
    camera_info: str = 'camera_info',
    points: str = 'points',
    depth: str = 'depth',
    deadline_s: float = 45.0,
) -> Answer:
    """Return the answer of a running node to a frame published on these topics.

    Frames are repeated, each with its own stamp, until image, CameraInfo and cloud of one of them
    have come back. Those answered before the place of the LiDAR was known hold no depth and do
    not count.
    """
    with idle_node('depth_contract') as (node, executor):
        answers: dict[int, dict[str, object]] = {}

        def keep(kind: str, message: Image | CameraInfo | PointCloud2) -> None:
            stamp = message.header.stamp
            answers.setdefault(stamp.sec * 10**9 + stamp.nanosec, {})[kind] = message

        kinds = {'image': Image, 'camera_info': CameraInfo, 'points': PointCloud2}
        for kind, message_type in kinds.items():
            node.create_subscription(
                message_type, f'{depth}/{kind}', lambda m, kind=kind: keep(kind, m), 10
            )
        inputs = {
            node.create_publisher(CameraInfo, camera_info, 5): camera_info_message,
            node.create_publisher(PointCloud2, points, 5): wall_cloud_message,
            node.create_publisher(Image, image, 5): image_message,
        }
        ends = time.monotonic() + deadline_s
        while time.monotonic() < ends:
            if all(publisher.get_subscription_count() for publisher in inputs):
                stamp = node.get_clock().now().to_msg()
                for publisher, message in inputs.items():
                    publisher.publish(message(stamp))
            for _ in range(20):
                executor.spin_once(0.01)
            for answer in answers.values():
                if answer.keys() == kinds.keys() and _holds_depth(answer['image']):
                    return Answer(**answer)
        missing = {
            publisher.topic_name: publisher.get_subscription_count() for publisher in inputs
        }
    raise AssertionError(
        f'no complete answer within {deadline_s} s; subscribers of the inputs: {missing}; '
        f'answers: {[sorted(a) for a in answers.values()]}'
    )


def _holds_depth(image: Image) -> bool:
    return bool(np.isfinite(np.frombuffer(image.data, np.float32)).any())


def check(answer: Answer) -> None:
    """Hold an answer to the output contract: REP-117, REP-118, CameraInfo and cloud agree."""
    image, info, points = answer.image, answer.camera_info, answer.points
    for message in (info, points):
        assert message.header == image.header
    assert image.header.frame_id == CAMERA_FRAME

    assert (image.encoding, image.width, image.height) == ('32FC1', WIDTH, HEIGHT)
    assert image.step == 4 * WIDTH
    assert not image.is_bigendian
    depth = np.frombuffer(image.data, np.float32).reshape(HEIGHT, WIDTH)
    assert np.abs(depth - WALL_M).max() < 0.05

    assert (info.width, info.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(info.k, K)

    assert (points.width, points.height) == (WIDTH, HEIGHT)
    assert [(f.name, f.offset) for f in points.fields] == [
        ('x', 0), ('y', 4), ('z', 8), ('rgb', 16),
    ]  # fmt: skip
    assert (points.point_step, points.row_step) == (32, 32 * WIDTH)
    assert points.is_dense
    values = np.frombuffer(points.data, np.float32).reshape(HEIGHT, WIDTH, 8)
    np.testing.assert_array_equal(values[..., 2], depth)
    columns = (np.arange(WIDTH) - K[2]) / K[0]
    np.testing.assert_allclose(values[..., 0], columns * depth, atol=1e-4)
    rows = (np.arange(HEIGHT) - K[5]) / K[4]
    np.testing.assert_allclose(values[..., 1], rows[:, None] * depth, atol=1e-4)


def image_message(stamp: Time) -> Image:
    """Return a gray camera image."""
    return Image(
        header=Header(stamp=stamp, frame_id=CAMERA_FRAME),
        width=WIDTH,
        height=HEIGHT,
        encoding='rgb8',
        step=3 * WIDTH,
        data=array('B', bytes([128]) * (3 * WIDTH * HEIGHT)),
    )


def camera_info_message(stamp: Time) -> CameraInfo:
    """Return the CameraInfo of the image."""
    fx, _, cx, _, fy, cy = K[:6]
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=CAMERA_FRAME),
        width=WIDTH,
        height=HEIGHT,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=K,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def wall_cloud_message(stamp: Time) -> PointCloud2:
    """Return a scan of the wall, in the frame of the LiDAR."""
    x, y = np.meshgrid(np.linspace(-3.0, 3.0, 60), np.linspace(-2.2, 2.2, 40))
    in_camera = np.stack((x, y, np.full_like(x, WALL_M)), axis=-1).reshape(-1, 3)
    xyz = ((in_camera - LIDAR_ORIGIN) @ _LIDAR_AXES).astype(np.float32)
    return PointCloud2(
        header=Header(stamp=stamp, frame_id=LIDAR_FRAME),
        width=len(xyz),
        height=1,
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate('xyz')
        ],
        point_step=12,
        row_step=12 * len(xyz),
        data=array('B', xyz.tobytes()),
        is_dense=True,
    )


def depth_image_message(stamp: Time) -> Image:
    """Return the wall as a registered depth image in millimeters."""
    depth = np.full((HEIGHT, WIDTH), int(WALL_M * 1000), np.uint16)
    return Image(
        header=Header(stamp=stamp, frame_id=CAMERA_FRAME),
        width=WIDTH,
        height=HEIGHT,
        encoding='16UC1',
        step=2 * WIDTH,
        data=array('B', depth.tobytes()),
    )
