# SPDX-License-Identifier: Apache-2.0
"""What the endurance run makes of a node that leaks, and of one that answers no more."""

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

from sensor_msgs.msg import Image

from metric_depth_ros.codecs.stamps import sec_nanosec
from metric_depth_ros.torture import endurance
from metric_depth_ros.torture.holdings import Holdings

FRAMES = endurance.LEAST_FRAMES


class PretendedNode:
    """Stands in for a rig: answers frames up to one of them, and holds more with every frame."""

    def __init__(self, answers: int, leak_mb: float) -> None:
        self.node = SimpleNamespace(is_running=True)
        self.ros = self
        self.sent = 0
        self._answers, self._leak_mb = answers, leak_mb

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pause_stream(self) -> None:
        pass

    def create_subscription(self, kind, topic, receive, depth) -> None:
        self._receive = receive

    def now_ns(self) -> int:
        return self.sent + 1

    def send(self, messages) -> None:
        self.sent += 1
        if self.sent <= self._answers:
            depth = Image()
            depth.header.stamp.sec, depth.header.stamp.nanosec = sec_nanosec(self.sent)
            self._receive(depth)

    def holdings(self) -> Holdings:
        return Holdings(10, 0, 20, 5, 100.0 + self._leak_mb * self.sent)


@pytest.mark.parametrize(
    ('answers', 'leak_mb', 'passes'),
    [
        (FRAMES, 0.0, True),
        (FRAMES - 1, 0.0, True),
        (FRAMES // 2, 0.0, False),
        (FRAMES, 1.0, False),
    ],
)
def test_only_a_node_that_answers_and_does_not_leak_passes(
    answers, leak_mb, passes, tmp_path, monkeypatch
):
    pretended = PretendedNode(answers, leak_mb)
    monkeypatch.setattr(endurance, 'Rig', lambda folder, parameters: pretended)
    monkeypatch.setattr(endurance, 'frame', lambda *given: None)
    monkeypatch.setattr(endurance, '_ANSWER_S', 0.0)
    outcome = endurance.run_endurance(tmp_path, FRAMES)
    assert outcome.passed is passes
    assert f'of {pretended.sent} frames not answered' in outcome.observed
