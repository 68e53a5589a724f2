# SPDX-License-Identifier: Apache-2.0
"""Points with their uncertainty as messages."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point, PointStamped, PoseWithCovarianceStamped
from std_msgs.msg import Header

from metric_depth_ros.ros.pixel_point import PixelPoint

# A point has no orientation: identity, with the variance of an angle that may be any.
_ANY_ANGLE = math.pi**2 / 3.0


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
    header.stamp.sec, header.stamp.nanosec = divmod(found.stamp_ns, 1_000_000_000)
    return header


def _point(found: PixelPoint) -> Point:
    x, y, z = (float(value) for value in found.point)
    return Point(x=x, y=y, z=z)
