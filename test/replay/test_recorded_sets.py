# SPDX-License-Identifier: Apache-2.0
"""Messages of one stamp are gathered out of a bag, however late depth was recorded."""

from types import SimpleNamespace

import pytest

from metric_depth_ros.replay.recorded_sets import recorded_sets

MS = 1_000_000
IMAGE_MS = 33


def recorded(topic, stamp_ms):
    seconds, nanoseconds = divmod(stamp_ms * MS, 1000 * MS)
    stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    return SimpleNamespace(topic=topic), SimpleNamespace(header=SimpleNamespace(stamp=stamp))


def drive(late_ms):
    """Return a bag of a camera of 30 Hz, and of depth of every tenth image that comes late."""
    messages = []
    for now in range(0, 300 * IMAGE_MS, IMAGE_MS):
        messages.append(recorded('image', now))
        if now >= late_ms and (now - late_ms) % (10 * IMAGE_MS) == 0:
            messages += [recorded(topic, now - late_ms) for topic in ('depth', 'info')]
    return SimpleNamespace(messages=lambda topics: messages)


@pytest.mark.parametrize(
    ('late', 'sets', 'with_image'), [(20, 28, 28), (100, 20, 20), (150, 15, 0)]
)
def test_depth_that_is_late_is_kept_and_finds_its_image_within_four_seconds(
    late, sets, with_image
):
    found = list(recorded_sets(drive(late * IMAGE_MS), ['depth', 'info'], ['image']))
    assert [stamp for stamp, _ in found] == [10 * i * IMAGE_MS * MS for i in range(sets)]
    assert sum('image' in messages for _, messages in found) == with_image
