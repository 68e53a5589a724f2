# SPDX-License-Identifier: Apache-2.0
"""Radar clouds, whose fields every driver names its own way."""

import numpy as np
import pytest

from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.codecs.radar import STRENGTH_FIELDS, VELOCITY_FIELDS, decode_radar
from metric_depth_ros.errors import InputError

X, Y = np.array([10.0, 20.0], np.float32), np.array([1.0, -2.0], np.float32)


def test_returns_without_height_lie_in_the_plane_of_the_sensor():
    returns = decode_radar(encode_cloud({'x': X, 'y': Y}))
    np.testing.assert_array_equal(returns.xyz, [[10, 1, 0], [20, -2, 0]])
    assert returns.rcs_db is None
    assert returns.velocity_mps is None


def test_height_is_taken_where_it_is_measured():
    returns = decode_radar(encode_cloud({'x': X, 'y': Y, 'z': Y}))
    np.testing.assert_array_equal(returns.xyz[:, 2], Y)


def test_range_and_azimuth_become_positions():
    columns = {'range': np.hypot(X, Y), 'azimuth': np.arctan2(Y, X)}
    returns = decode_radar(encode_cloud(columns))
    np.testing.assert_allclose(returns.xyz, [[10, 1, 0], [20, -2, 0]], atol=1e-5)


def test_elevation_lifts_a_return():
    columns = {'range': np.ones(1), 'azimuth': np.zeros(1), 'elevation': np.full(1, np.pi / 6)}
    xyz = decode_radar(encode_cloud(columns)).xyz
    np.testing.assert_allclose(xyz, [[np.sqrt(0.75), 0.0, 0.5]], atol=1e-6)


@pytest.mark.parametrize('name', [*STRENGTH_FIELDS, 'RCS', 'SNR'])
def test_strength_goes_by_many_names(name):
    returns = decode_radar(encode_cloud({'x': X, 'y': Y, name: np.array([3.0, -7.0])}))
    np.testing.assert_array_equal(returns.rcs_db, [3.0, -7.0])


@pytest.mark.parametrize('name', [*VELOCITY_FIELDS, 'Doppler'])
def test_velocity_goes_by_many_names(name):
    returns = decode_radar(encode_cloud({'x': X, 'y': Y, name: np.array([3, -7], np.int16)}))
    np.testing.assert_array_equal(returns.velocity_mps, [3.0, -7.0])


def test_a_cloud_without_positions_is_refused():
    with pytest.raises(InputError, match='fields x, rcs, expected x and y, or range and azimuth'):
        decode_radar(encode_cloud({'x': X, 'rcs': Y}))
