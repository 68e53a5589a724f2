# SPDX-License-Identifier: Apache-2.0
"""The image plane that enters MoGe's decoders."""

import math

import pytest
import torch

from metric_depth_ros.networks.view_plane import (
    normalized_intrinsics,
    project_back,
    view_plane_uv,
)


def test_the_image_plane_reaches_the_diagonal_at_its_corners():
    plane = view_plane_uv(4, 6, 1.5, torch.zeros(1, 1, 4, 6))
    right, bottom = plane[0, 0, -1], plane[1, -1, 0]

    torch.testing.assert_close(plane, -plane.flip(1, 2))
    assert math.hypot(right * 6 / 5, bottom * 4 / 3) == pytest.approx(1)
    assert torch.equal(plane[0, 0], plane[0, 3])  # u runs along the columns


def test_the_aspect_of_the_plane_is_of_the_image_not_of_the_grid():
    wide = view_plane_uv(4, 4, 2.0, torch.zeros(1, 1, 4, 4))

    assert wide[0, 0, -1] == pytest.approx(2 * float(wide[1, -1, 0]))


def test_points_of_depth_project_onto_their_coordinates():
    intrinsics = normalized_intrinsics(torch.tensor([0.7, 1.9]), 1.5)
    depth = 1 + torch.rand(2, 4, 6)
    u, v = (torch.arange(6) + 0.5) / 6, (torch.arange(4) + 0.5) / 4

    points = project_back(depth, intrinsics, u, v)

    projected = torch.einsum('bij,bhwj->bhwi', intrinsics, points)
    torch.testing.assert_close(projected[..., 0] / depth, u.expand(2, 4, 6))
    torch.testing.assert_close(projected[..., 1] / depth, v[:, None].expand(2, 4, 6))
    assert torch.equal(points[..., 2], depth)
