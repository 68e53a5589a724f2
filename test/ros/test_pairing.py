# SPDX-License-Identifier: Apache-2.0
"""The pairs of sync.policy exact and approximate are those of message_filters itself."""

import importlib.util

import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.pairing import QUEUE, Pairing
from metric_depth_ros.ros.parameters import SyncSettings

installed = pytest.mark.skipif(
    importlib.util.find_spec('message_filters') is None,
    reason='message_filters of a ROS distribution is missing',
)
MS = 1_000_000
STREAMS = ('image', 'camera_info', 'sensor_depth')
SLOP_S = 0.02
# What arrives, in order: stream and stamp. Rhythm with jitter, dropouts, repetition and disorder.
ARRIVALS = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.integers(0, 12), st.integers(-25, 25)), max_size=60
).map(lambda items: [(stream, 5000 + 33 * beat + jitter) for stream, beat, jitter in items])


def message(stamp_ms):
    info = CameraInfo()
    sec, nanosec = divmod(stamp_ms * MS, 1000 * MS)
    info.header.stamp = Time(sec=sec, nanosec=nanosec)
    return info


def stamps(messages):
    return tuple(stamp_ns(m.header.stamp) // MS for m in messages)


def paired(policy, arrivals):
    sets = []
    pairing = Pairing(
        SyncSettings(policy=policy, slop_s=SLOP_S),
        STREAMS,
        lambda found: sets.append(stamps(found[stream] for stream in STREAMS)),
        lambda sentence: None,
    )
    for stream, stamp_ms in arrivals:
        pairing.add(stream, message(stamp_ms))
    return sets


def paired_by_message_filters(policy, arrivals):
    import message_filters

    inputs = {stream: message_filters.SimpleFilter() for stream in STREAMS}
    synchronizer = (
        message_filters.TimeSynchronizer(list(inputs.values()), QUEUE)
        if policy == 'exact'
        else message_filters.ApproximateTimeSynchronizer(list(inputs.values()), QUEUE, SLOP_S)
    )
    sets = []
    synchronizer.registerCallback(lambda *messages: sets.append(stamps(messages)))
    for stream, stamp_ms in arrivals:
        inputs[stream].signalMessage(message(stamp_ms))
    return sets


@installed
@pytest.mark.parametrize('policy', ['exact', 'approximate'])
@given(arrivals=ARRIVALS)
@settings(max_examples=200, deadline=None)
def test_the_same_stamps_give_the_same_pairs_as_message_filters(policy, arrivals):
    assert paired(policy, arrivals) == paired_by_message_filters(policy, arrivals)


@installed
@pytest.mark.parametrize('policy', ['exact', 'approximate'])
def test_streams_of_one_rhythm_are_all_paired(policy):
    arrivals = [(stream, 33 * beat) for beat in range(1, 20) for stream in STREAMS]
    assert paired(policy, arrivals) == [(33 * beat,) * 3 for beat in range(1, 20)]


@installed
def test_an_error_of_the_receiver_does_not_lock_the_streams():
    sets = []

    def receive(found):
        sets.append(found)
        if len(sets) == 1:
            raise InputError('any', 'the first set cannot be used')

    pairing = Pairing(SyncSettings(policy='exact'), STREAMS, receive, lambda sentence: None)
    for stamp_ms in (100, 200):
        for stream in STREAMS[:2]:
            pairing.add(stream, message(stamp_ms))
        if stamp_ms == 100:
            with pytest.raises(InputError):
                pairing.add(STREAMS[2], message(stamp_ms))
        else:
            pairing.add(STREAMS[2], message(stamp_ms))
    assert len(sets) == 2


@installed
@pytest.mark.parametrize('policy', ['exact', 'approximate'])
def test_a_bag_that_begins_anew_is_paired_again(policy):
    loop = [(stream, 60_000 + 100 * beat) for beat in range(8) for stream in STREAMS]
    unpaired = [('image', 70_000 + 100 * beat) for beat in range(8)]
    assert paired(policy, [*loop, *unpaired, *loop])[-8:] == paired(policy, loop)


def test_without_message_filters_the_policy_is_refused_with_what_to_install():
    if importlib.util.find_spec('message_filters') is not None:
        pytest.skip('message_filters is installed')
    with pytest.raises(InputError, match='message-filters'):
        paired('exact', [])
