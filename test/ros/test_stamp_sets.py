# SPDX-License-Identifier: Apache-2.0
"""Messages of one stamp are gathered into sets."""

from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.ros.stamp_sets import StampSets

MS = 1_000_000


def sets_of(arrivals, capacity=5):
    """Return what is delivered of (stream, ms) arrivals, as (ms, streams), and the gatherer."""
    delivered = []
    sets = StampSets(
        ('depth', 'info'),
        ('confidence',),
        lambda stamp, messages: delivered.append(
            (stamp // MS, ''.join(sorted(m[0] for m in messages)))
        ),
        lambda: delivered.append('jump'),
        capacity,
    )
    for stream, stamp_ms in arrivals:
        sets.add(stream, stream, stamp_ms * MS)
    return delivered, sets


def frame(stamp_ms, *streams):
    return [(stream, stamp_ms) for stream in streams]


def test_only_messages_of_the_same_stamp_make_a_set():
    assert sets_of([*frame(1000, 'depth'), *frame(1001, 'info')])[0] == []
    assert sets_of(frame(1000, 'info', 'depth'))[0] == [(1000, 'di')]


def test_what_usually_comes_is_waited_for():
    first = frame(0, 'confidence', 'depth', 'info')
    arrivals = [*first, *frame(100, 'depth', 'info')]
    assert sets_of(arrivals)[0] == [(0, 'cdi')]
    assert sets_of([*arrivals, ('confidence', 100)])[0] == [(0, 'cdi'), (100, 'cdi')]


def test_what_has_stopped_coming_is_not_waited_for():
    arrivals = frame(0, 'confidence', 'depth', 'info')
    for i in range(1, 9):
        arrivals += frame(100 * i, 'depth', 'info')
    delivered, _ = sets_of(arrivals)
    assert delivered[-1] == (800, 'di')
    assert [stamp for stamp, _ in delivered] == [100 * i for i in range(9)]


def test_depth_without_camera_info_is_given_up_and_counted():
    arrivals = [*frame(0, 'depth'), *frame(100, 'depth', 'info')]
    delivered, sets = sets_of(arrivals)
    assert delivered == [(100, 'di')]
    assert sets.tally['incomplete'] == 1


def test_images_that_wait_for_their_depth_find_room():
    images = [('confidence', i) for i in range(20)]
    late = frame(5, 'depth', 'info')
    assert sets_of([*images, *late], capacity=40)[0] == [(5, 'cdi')]


def late_depth(late_ms, capacity=40):
    """Return the sets of a camera of 30 Hz whose depth comes late, every fourth image."""
    arrivals = []
    for now in range(0, 6000, 33):
        arrivals += frame(now, 'confidence')
        if now >= late_ms and now % 132 == 0:
            arrivals += frame(now - late_ms, 'depth', 'info')
    return sets_of(arrivals, capacity)


def test_depth_that_is_later_than_images_are_kept_comes_without_its_image():
    kept, _ = late_depth(33 * 36)
    assert [streams for _, streams in kept] == ['cdi'] * 37
    later, sets = late_depth(33 * 48)
    assert [streams for _, streams in later] == ['di'] * (34 - 2)  # two may still get theirs
    assert [stamp for stamp, _ in later] == [132 * i for i in range(32)]
    assert len(sets._waiting) <= 41


def test_images_do_not_drive_out_depth_that_waits_for_its_camera_info():
    images = [('confidence', 100 + i) for i in range(20)]
    assert sets_of([('depth', 5), *images, ('info', 5)])[1].tally['incomplete'] == 0
    both = [('depth', 5), *images, ('info', 5), *frame(200, 'confidence', 'depth', 'info')]
    assert sets_of(both)[0] == [(5, 'di'), (200, 'cdi')]


def test_depth_whose_camera_info_has_other_stamps_is_counted_and_finds_an_end():
    arrivals = []
    for now in range(0, 1000, 10):
        arrivals += [('depth', now), ('info', now + 1), ('confidence', now)]
    delivered, sets = sets_of(arrivals)
    assert delivered == []
    assert sets.tally['incomplete'] >= 90
    assert len(sets._waiting) <= 6


def test_depth_that_takes_long_is_no_clock_that_went_back():
    arrivals = []
    for now in range(0, 6000, 100):
        arrivals += frame(now, 'confidence')
        if now >= 2000 and now % 1000 == 0:
            arrivals += frame(now - 2000, 'depth', 'info')
    delivered, _ = sets_of(arrivals, capacity=40)
    assert delivered == [(0, 'cdi'), (1000, 'cdi'), (2000, 'cdi'), (3000, 'cdi')]


def test_a_clock_that_goes_back_begins_anew():
    arrivals = [*frame(5000, 'depth', 'info'), *frame(100, 'depth', 'info')]
    assert sets_of(arrivals)[0] == [(5000, 'di'), 'jump', (100, 'di')]


def test_the_last_set_is_delivered_when_no_more_comes():
    arrivals = [*frame(0, 'confidence', 'depth', 'info'), *frame(100, 'depth', 'info')]
    delivered, sets = sets_of(arrivals)
    sets.flush()
    assert delivered == [(0, 'cdi'), (100, 'di')]


@given(
    st.lists(
        st.tuples(st.sampled_from(['depth', 'info', 'confidence']), st.integers(0, 12)),
        max_size=80,
    )
)
def test_whatever_arrives_sets_are_delivered_once_in_order_and_with_all_they_need(arrivals):
    delivered, _ = sets_of(arrivals)
    stamps = [stamp for stamp, _ in delivered]
    assert stamps == sorted(set(stamps))
    assert all({'d', 'i'} <= set(streams) for _, streams in delivered)
