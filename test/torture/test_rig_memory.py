# SPDX-License-Identifier: Apache-2.0
"""A rig that watches a node for a day grows no more than the node may."""

import pytest

from metric_depth_ros.torture import rig as rigs


@pytest.fixture
def rig(tmp_path, monkeypatch):
    made = rigs.Rig(tmp_path)
    monkeypatch.setattr(made, 'send', lambda messages: None)
    return made


def test_frames_of_long_ago_are_forgotten(rig):
    stamps = [rig.send_good() for _ in range(2000)]
    assert len(rig._sent) < 1000
    assert list(rig._sent) == stamps[-len(rig._sent) :]
