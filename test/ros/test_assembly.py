# SPDX-License-Identifier: Apache-2.0
"""Assembly: the image leads, measurements are paired by stamp, nothing ever stalls."""

import threading
import time
from itertools import count

import pytest

from metric_depth_ros.ros.assembly import _STEADY, Arrival, Assembly

MS = 1_000_000
T0 = 1_000_000 * MS


def assembly(sources=('points',), latched=(), max_age_s=0.15, max_wait_s=0.0):
    return Assembly(sources, latched, max_age_s, max_wait_s)


def test_a_bundle_holds_the_image_and_the_nearest_measurement():
    meeting = assembly()
    for offset in (-90, -10, 40):
        meeting.offer('points', offset, T0 + offset * MS)
    meeting.offer_image('image', T0)
    bundle = meeting.take()
    assert bundle.image.message == 'image'
    assert bundle.measurements['points'].message == -10


def test_the_newer_of_two_equally_near_measurements_is_taken():
    meeting = assembly()
    meeting.offer('points', 'before', T0 - 10 * MS)
    meeting.offer('points', 'after', T0 + 10 * MS)
    meeting.offer_image('image', T0)
    assert meeting.take().measurements['points'].message == 'after'


def test_a_measurement_beyond_the_age_limit_is_not_used():
    meeting = assembly(max_age_s=0.1)
    meeting.offer('points', 'old', T0 - 101 * MS)
    meeting.offer_image('image', T0)
    bundle = meeting.take()
    assert bundle.measurements == {}
    assert bundle.missed_s == {'points': pytest.approx(-0.101)}


def test_a_source_that_never_sent_is_missed_without_a_distance():
    meeting = assembly()
    meeting.offer_image('image', T0)
    assert meeting.take().missed_s == {'points': None}


def test_a_newer_image_replaces_one_that_waits_and_is_counted():
    meeting = assembly()
    for number in range(3):
        meeting.offer_image(number, T0 + number * MS)
    assert meeting.take().image.message == 2
    assert meeting.replaced == 2


def test_each_source_is_paired_on_its_own():
    meeting = assembly(('points', 'sensor_depth'))
    meeting.offer('sensor_depth', 'depth', T0)
    meeting.offer_image('image', T0)
    assert set(meeting.take().measurements) == {'sensor_depth'}


def test_camera_info_holds_whatever_its_stamp():
    meeting = assembly(latched=('camera_info',))
    meeting.offer('camera_info', 'info', 0)
    meeting.offer_image('image', T0)
    assert meeting.take().measurements['camera_info'].message == 'info'


@pytest.mark.parametrize('ahead_s', [-1e9, -0.2, 0.2, 1e9])
def test_camera_info_of_another_clock_is_the_last_that_arrived(ahead_s):
    meeting = assembly(sources=(), latched=('camera_info',))
    for number in range(100):
        stamp_ns = T0 + number * 33 * MS
        meeting.offer('camera_info', number, stamp_ns + int(ahead_s * 1000) * MS)
        meeting.offer_image(number, stamp_ns)
        assert meeting.take().measurements['camera_info'].message == number


def test_a_late_image_gets_the_camera_info_of_its_own_stamp():
    meeting = assembly(sources=(), latched=('camera_info',))
    for number in range(3):
        meeting.offer('camera_info', number, T0 + number * 33 * MS)
    meeting.offer_image('image', T0 + 33 * MS)
    assert meeting.take().measurements['camera_info'].message == 1


@pytest.fixture
def zooming():
    """Return a meeting where infos may change, and what an image gets whose own info follows.

    Told so, its own info comes first.
    """
    meeting = Assembly((), ('camera_info',), 0.15, 60.0, content=lambda message: message)
    stamps = count(T0, 33 * MS)

    def taken(own, *, first=False):
        stamp_ns, bundles = next(stamps), []
        if first:
            meeting.offer('camera_info', own, stamp_ns)
        meeting.offer_image('image', stamp_ns)
        worker = threading.Thread(target=lambda: bundles.append(meeting.take()))
        worker.start()
        while meeting._image is not None:
            time.sleep(0.001)
        if not first:
            meeting.offer('camera_info', own, stamp_ns)  # the worker waits, or is done
        worker.join()
        return bundles[0].measurements['camera_info'].message

    return meeting, taken, stamps


def test_while_camera_info_changes_an_image_waits_for_the_one_of_its_stamp(zooming):
    _, taken, _ = zooming
    # The first one that differs cannot be foreseen.
    assert [taken(zoom) for zoom in (0, 1, 2, 3, 3, 4)] == [0, 0, 2, 3, 3, 4]


@pytest.mark.parametrize('nth', [2, 3])
def test_camera_info_that_comes_now_before_and_now_after_its_image_is_waited_for(zooming, nth):
    _, taken, _ = zooming
    got = [taken(zoom, first=zoom % nth == 0) for zoom in range(8)]
    assert got == [0, 0, 2, 3, 4, 5, 6, 7]


def test_camera_info_that_does_not_change_any_more_is_not_waited_for(zooming):
    meeting, taken, stamps = zooming
    assert [taken(zoom) for zoom in (0, 1, *[2] * (_STEADY + 1))][-1] == 2
    meeting.offer_image('image', next(stamps))
    assert meeting.take().waited_s < 30.0


def test_camera_info_that_comes_before_its_image_is_not_waited_for(zooming):
    meeting, _, stamps = zooming
    for zoom in range(5):
        stamp_ns = next(stamps)
        meeting.offer('camera_info', zoom, stamp_ns)
        meeting.offer_image('image', stamp_ns)
        meeting.take()
    meeting.offer_image('image', next(stamps))
    assert meeting.take().waited_s < 30.0


def test_a_measurement_that_is_due_is_waited_for():
    meeting = assembly(max_wait_s=2.0)
    for scan in (-2, -1):
        meeting.offer('points', scan, T0 + scan * 100 * MS)
    meeting.offer_image('image', T0)
    late = threading.Timer(0.05, meeting.offer, ('points', 0, T0))
    late.start()
    bundle = meeting.take()
    late.join()
    assert bundle.measurements['points'].message == 0
    assert 0.0 < bundle.waited_s < 1.5


def test_a_measurement_farther_than_the_last_one_is_not_waited_for():
    meeting = assembly(max_wait_s=2.0)
    for offset in (-130, -30):
        meeting.offer('points', offset, T0 + offset * MS)
    meeting.offer_image('image', T0)
    bundle = meeting.take()
    assert bundle.measurements['points'].message == -30
    assert bundle.waited_s < 1.0


def test_a_measurement_of_the_image_stamp_ends_the_wait():
    meeting = assembly(max_wait_s=2.0)
    meeting.offer('points', 'same', T0)
    meeting.offer_image('image', T0)
    assert meeting.take().waited_s < 1.0


def test_the_wait_is_bounded_when_a_source_stops():
    meeting = assembly(max_wait_s=0.05)
    for scan in (-2, -1):
        meeting.offer('points', scan, T0 + scan * 100 * MS)
    meeting.offer_image('image', T0)
    bundle = meeting.take()
    assert bundle.image.message == 'image'
    assert bundle.waited_s < 1.0


def test_a_source_that_sent_once_long_ago_is_not_waited_for():
    meeting = assembly(max_wait_s=2.0)
    meeting._sources['points'].add(Arrival('once', T0 - 5000 * MS, time.monotonic() - 5.0))
    meeting.offer_image('image', T0)
    assert meeting.take().waited_s < 1.0


def test_a_source_that_never_sent_stops_delaying_images():
    meeting = assembly(max_wait_s=0.01)
    waits = []
    for number in range(5):
        meeting.offer_image(number, T0 + number * 100 * MS)
        waits.append(meeting.take().waited_s)
    assert waits[0] > 0.1
    assert max(waits[3:]) < 0.1


def test_a_jump_back_of_the_image_clock_forgets_the_measurements_of_the_future():
    meeting = assembly()
    meeting.offer_image('before', T0 + 5000 * MS)
    meeting.take()
    meeting.offer('points', 'future', T0 + 5000 * MS)
    meeting.offer('points', 'now', T0)
    meeting.offer_image('again', T0, jumped_back=True)
    assert meeting.take().measurements['points'].message == 'now'


def test_a_jump_back_of_a_source_forgets_its_own_past():
    meeting = assembly(max_age_s=10.0)
    meeting.offer('points', 'future', T0 + 20_000 * MS)
    meeting.offer('points', 'now', T0)
    meeting.offer_image('image', T0 + 15_000 * MS)
    assert meeting.take().measurements == {}


def test_memory_is_bounded_however_far_the_worker_lags():
    meeting = assembly(max_age_s=1e6)
    for number in range(1000):
        meeting.offer('points', number, T0 + number * MS)
    meeting.offer_image('image', T0)
    assert meeting.take().measurements['points'].message == 1000 - 64


def pairs(meeting, period_ms, image_period_ms, late_ms):
    """Return by how much each measurement is after its image, in ms; None where there is none."""
    apart = []
    for now in range(2000):
        if now % period_ms == 0:
            meeting.offer('points', now, T0 + now * MS)
        taken = now - late_ms
        if taken >= 0 and taken % image_period_ms == 0:
            meeting.offer_image('image', T0 + taken * MS)
            found = meeting.take().measurements.get('points')
            apart.append(None if found is None else found.message - taken)
    return apart


@pytest.mark.parametrize(
    ('period_ms', 'image_period_ms', 'late_ms', 'most_ms'),
    [(17, 33, 100, 8), (50, 33, 350, 25), (16, 33, 1000, 8), (100, 40, 30, 100)],
)
def test_an_image_that_comes_late_gets_what_was_measured_at_its_time(
    period_ms, image_period_ms, late_ms, most_ms
):
    apart = pairs(assembly(), period_ms, image_period_ms, late_ms)
    assert len(apart) > 20
    assert all(a is not None and abs(a) <= most_ms for a in apart)


def kept(meeting):
    return [arrival.message for arrival in meeting._sources['points'].recent]


def test_what_was_measured_before_the_last_image_is_not_kept():
    meeting = assembly()
    for now in range(0, 1000, 20):
        meeting.offer('points', now, T0 + now * MS)
    meeting.offer_image('image', T0 + 950 * MS)
    assert kept(meeting) == [940, 960, 980]
    meeting.offer('points', 1000, T0 + 1000 * MS)
    meeting.offer_image('image', T0 + 990 * MS)
    assert kept(meeting) == [980, 1000]


def test_an_image_that_waits_for_its_measurement_keeps_the_one_before_it():
    meeting = assembly(max_wait_s=60.0)
    for offset in (-70, -30):
        meeting.offer('points', offset, T0 + offset * MS)
    meeting.offer_image('first', T0)
    bundles = []
    worker = threading.Thread(target=lambda: bundles.append(meeting.take()))
    worker.start()
    while meeting._image is not None:
        time.sleep(0.001)
    meeting.offer_image('second', T0 + 100 * MS)
    with meeting._changed:  # both before the worker wakes
        meeting.offer('points', 40, T0 + 40 * MS)
        meeting.offer('points', 80, T0 + 80 * MS)
    worker.join()
    assert bundles[0].measurements['points'].message == -30


def test_measurements_wait_no_longer_than_the_oldest_image_that_is_accepted():
    meeting = Assembly(('points',), (), 0.15, 0.0, max_frame_age_s=0.5)
    for now in range(0, 1000, 50):
        meeting.offer('points', now, T0 + now * MS)
    assert kept(meeting) == list(range(300, 1000, 50))
    meeting.set_limits(0.15, 0.0, 0.1)
    meeting.offer('points', 1000, T0 + 1000 * MS)
    assert kept(meeting) == list(range(750, 1001, 50))


def test_a_source_that_begins_anew_before_the_camera_keeps_what_late_images_need():
    meeting = assembly()
    meeting.offer('points', 'before', T0 + 60_000 * MS)
    meeting.offer_image('before', T0 + 60_000 * MS)
    meeting.take()
    for now in range(0, 400, 50):
        meeting.offer('points', now, T0 + now * MS)
    meeting.offer_image('image', T0 + 49 * MS, jumped_back=True)
    assert meeting.take().measurements['points'].message == 50


def test_closing_wakes_the_worker():
    meeting = assembly()
    threading.Timer(0.05, meeting.close).start()
    assert meeting.take() is None


def test_closing_ends_a_wait():
    meeting = assembly(max_wait_s=60.0)
    meeting.offer_image('image', T0)
    threading.Timer(0.05, meeting.close).start()
    began = time.monotonic()
    assert meeting.take() is None
    assert time.monotonic() - began < 30.0


@pytest.mark.parametrize('stream', ['image', 'points'])
def test_silence_is_told_per_stream(stream):
    meeting = assembly()
    assert meeting.silent_s(stream) is None
    meeting.offer('points', 0, T0)
    meeting.offer_image('image', T0)
    assert 0.0 <= meeting.silent_s(stream) < 60.0


def test_limits_change_for_the_next_image():
    meeting = assembly(max_age_s=0.01)
    meeting.set_limits(1.0, 0.0, 0.0)
    meeting.offer('points', 'old', T0 - 500 * MS)
    meeting.offer_image('image', T0)
    assert meeting.take().measurements['points'].message == 'old'
