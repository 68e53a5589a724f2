# SPDX-License-Identifier: Apache-2.0
"""What the `query` node publishes: answers, and why there is none."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PointStamped, PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header, String

from metric_depth_ros.codecs.stamps import sec_nanosec
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.diagnostics import status_message
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.pixel_point import PixelPoint
from metric_depth_ros.ros.qos import advertise
from metric_depth_ros.ros.tally import Tally

OUTPUTS: Mapping[str, type] = {
    'point': PointStamped,
    'point_with_covariance': PoseWithCovarianceStamped,
    '~/answer': String,
    '~/status': DiagnosticStatus,
}

# A point has no orientation: identity, with the variance of an angle that may be any.
_ANY_ANGLE = math.pi**2 / 3.0
_QUEUE = 10  # answers of questions that end together


class QueryOutputs:
    """Publishers of answers, and their counts. Called from any thread.

    Parameters
    ----------
    node
        Node to publish from.
    faults
        Where questions that are not answered, and subscribers that do not match, are logged.

    Raises
    ------
    InputError
        Quality of service overrides that cannot be.
    """

    def __init__(self, node: Node, faults: FaultLog) -> None:
        self.tally = Tally('asked', 'answered', 'refused')
        self._node = node
        self._faults = faults
        self._publishers: dict[str, Publisher] = {
            topic: advertise(node, kind, topic, faults.report, _QUEUE)
            for topic, kind in OUTPUTS.items()
        }

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def tell_point(self, found: PixelPoint, values: Mapping[str, object]) -> None:
        """Publish a point; `values` are what was asked, for the status."""
        self.tally.count('answered')
        self._publishers['point'].publish(point_message(found))
        self._publishers['point_with_covariance'].publish(pose_message(found))
        x, y, z = (float(value) for value in found.point)
        sigma = float(np.sqrt(np.trace(found.covariance)))
        sentence = (
            f'({x:.3f}, {y:.3f}, {z:.3f}) m in {found.frame_id}, standard deviation {sigma:.3f} m'
        )
        told: dict[str, object] = {
            'stamp_ns': found.stamp_ns,
            'method': found.method,
            'x': x,
            'y': y,
            'z': z,
            'sigma_depth_m': found.sigma_depth,
            'confidence': 'none' if found.confidence is None else found.confidence,
        }
        self._tell(DiagnosticStatus.OK, sentence, {**values, **told}, found.frame_id)

    def tell_words(self, answer: str, values: Mapping[str, object]) -> None:
        """Publish an answer in words."""
        self.tally.count('answered')
        self._publishers['~/answer'].publish(String(data=answer))
        self._tell(DiagnosticStatus.OK, answer, values)

    def refuse(
        self, topic: str, error: BaseException, values: Mapping[str, object], *, in_words: bool
    ) -> None:
        """Say why there is no answer: on the status, in the log, and to who asked in words."""
        self.tally.count('refused')
        resolved = self._node.resolve_topic_name(topic)
        if isinstance(error, InputError):
            level, fault, sentence = DiagnosticStatus.WARN, error.fault, str(error)
            self._faults.report(resolved, fault, sentence)
        else:
            level, fault, sentence = DiagnosticStatus.ERROR, 'internal', f'it failed: {error!r}'
            told = ''.join(traceback.format_exception(error))
            self._faults.report(resolved, fault, f'a question failed: {told}')
        if in_words:
            self._publishers['~/answer'].publish(String(data=f'error [{fault}]: {sentence}'))
        self._tell(level, sentence, {**values, 'fault': fault})

    def _tell(
        self, level: bytes, sentence: str, values: Mapping[str, object], frame_id: str = ''
    ) -> None:
        name = self._node.get_fully_qualified_name()
        self._publishers['~/status'].publish(
            status_message(name, frame_id, level, sentence, values)
        )


def point_message(found: PixelPoint) -> PointStamped:
    """Return the point alone."""
    return PointStamped(header=_header(found), point=_point(found))


def pose_message(found: PixelPoint) -> PoseWithCovarianceStamped:
    """Return the point with its covariance; the orientation means nothing."""
    message = PoseWithCovarianceStamped(header=_header(found))
    message.pose.pose.position = _point(found)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = found.covariance
    covariance[(3, 4, 5), (3, 4, 5)] = _ANY_ANGLE
    message.pose.covariance = covariance.ravel()
    return message


def _header(found: PixelPoint) -> Header:
    header = Header(frame_id=found.frame_id)
    header.stamp.sec, header.stamp.nanosec = sec_nanosec(found.stamp_ns)
    return header


def _point(found: PixelPoint) -> Point:
    x, y, z = (float(value) for value in found.point)
    return Point(x=x, y=y, z=z)
