# SPDX-License-Identifier: Apache-2.0
"""Per-point times of clouds, as the drivers write them."""

import numpy as np
import pytest

from metric_depth_ros.codecs.point_times import decode_point_times
from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.errors import InputError

STAMP_NS = 1_767_225_600_123_456_789
SWEEP = np.linspace(0.0, 0.1, 500)


def cloud(**columns):
    zeros = np.zeros(len(next(iter(columns.values()))), np.float32)
    return encode_cloud({'x': zeros, 'y': zeros, 'z': zeros, **columns})


def absolute(scale):
    return (STAMP_NS * 1e-9 + SWEEP) * scale


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('t', (SWEEP * 1e9).astype(np.uint32)),  # Ouster
        ('time', SWEEP.astype(np.float32)),  # Velodyne
        ('time_stamp', (SWEEP * 1e9).astype(np.uint32)),  # Nebula
        ('offset_time', (SWEEP * 1e9).astype(np.uint32)),  # Livox
        ('time', (SWEEP * 1e6).astype(np.float32)),  # LIO-SAM's converters, microseconds
        ('t', (SWEEP * 1e6).astype(np.uint32)),
        ('time', (SWEEP * 1e3).astype(np.float32)),  # milliseconds
        ('timestamp', SWEEP * 1e3),
        ('timestamp', SWEEP),  # seconds after the stamp
    ],
)
def test_offsets_are_read_in_the_unit_that_their_values_speak_for(name, values):
    times = decode_point_times(cloud(**{name: values}), STAMP_NS)
    np.testing.assert_allclose(times, SWEEP, atol=2e-6)


@pytest.mark.parametrize('scale', [1.0, 1e3, 1e6, 1e9])
def test_times_since_1970_are_relative_to_the_stamp(scale):
    times = decode_point_times(cloud(timestamp=absolute(scale)), STAMP_NS)
    np.testing.assert_allclose(times, SWEEP, atol=2e-6)


def test_times_of_a_sweep_that_ends_at_the_stamp_are_negative():
    times = decode_point_times(cloud(time=(SWEEP - 0.1).astype(np.float32)), STAMP_NS)
    np.testing.assert_allclose(times, SWEEP - 0.1, atol=1e-6)


def test_times_of_another_clock_count_from_the_first_point():
    times = decode_point_times(cloud(timestamp=absolute(1.0) - 4.0e8), STAMP_NS)
    np.testing.assert_allclose(times, SWEEP, atol=2e-6)


def test_a_given_unit_is_believed():
    ticks = (SWEEP * 1e4).astype(np.uint32)
    times = decode_point_times(cloud(t=ticks), STAMP_NS, unit='us')
    np.testing.assert_allclose(times, SWEEP * 1e-2, atol=2e-6)


def test_a_given_field_is_taken():
    columns = {'t': (SWEEP * 1e9).astype(np.uint32), 'when': (2 * SWEEP).astype(np.float32)}
    times = decode_point_times(cloud(**columns), STAMP_NS, field='when')
    np.testing.assert_allclose(times, 2 * SWEEP, atol=1e-6)


def test_a_given_field_that_is_missing_is_refused():
    with pytest.raises(InputError, match=r"'when' \(prompt.time_field\)"):
        decode_point_times(cloud(t=np.arange(5, dtype=np.uint32)), STAMP_NS, field='when')


def test_a_cloud_without_times_has_none():
    assert decode_point_times(cloud(intensity=np.ones(5, np.float32)), STAMP_NS) is None


@pytest.mark.parametrize('values', [np.zeros(5), np.full(5, np.nan), np.full(5, 1.7e9)])
def test_times_that_are_all_the_same_are_none(values):
    assert decode_point_times(cloud(timestamp=values), STAMP_NS) is None


def test_an_empty_cloud_has_no_times():
    assert decode_point_times(cloud(t=np.zeros(0, np.uint32)), STAMP_NS) is None


def test_a_point_without_time_counts_as_measured_at_the_stamp():
    values = SWEEP.astype(np.float32)
    values[7] = np.nan
    assert decode_point_times(cloud(time=values), STAMP_NS)[7] == 0.0


def test_a_sweep_of_seconds_is_refused():
    with pytest.raises(InputError, match=r'prompt\.time_unit'):
        decode_point_times(cloud(time=(SWEEP * 25).astype(np.float32)), STAMP_NS, unit='s')


def test_milliseconds_can_be_asked_for():
    times = decode_point_times(cloud(time=(SWEEP * 10).astype(np.float32)), STAMP_NS, unit='ms')
    np.testing.assert_allclose(times, SWEEP * 1e-2, atol=2e-6)


@pytest.mark.parametrize('scale', [1.0, 1e3, 1e6, 1e9])
def test_zeros_among_times_since_1970_count_as_measured_at_the_stamp(scale):
    values = absolute(scale)
    values[::50] = 0.0
    times = decode_point_times(cloud(timestamp=values), STAMP_NS)
    np.testing.assert_allclose(times, np.where(values, SWEEP, 0.0), atol=2e-6)
