# SPDX-License-Identifier: Apache-2.0
"""What is kept of the newest frame that was answered."""

from types import SimpleNamespace

import numpy as np

from metric_depth_ros.codecs.cdr import WireHeader, WireStamp
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.diagnostics import Counters
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.processing import FrameProcessor
from metric_depth_ros.types import Frame


def test_the_newest_frame_is_kept_with_the_parameters_it_was_answered_with():
    message = SimpleNamespace(header=WireHeader(WireStamp(0, 5), 'camera'))
    frame = Frame(5, 'camera', np.zeros((4, 6, 3), np.uint8))
    processor = FrameProcessor(
        SimpleNamespace(build=lambda bundle, settings: frame),
        SimpleNamespace(is_heard=True, publish=lambda *what: None),
        SimpleNamespace(get_subscription_count=lambda: 0),
        Counters(),
        'depth',
    )
    settings = DEPTH_NODE.settings({'prompt.sigma_m': 0.05})
    bundle = Bundle(Arrival(message, 5, 0.0), {}, 0.0)

    assert processor.answer(bundle, NearestFill(), settings, 0, lambda: True)

    assert processor.newest is not None
    assert processor.newest.settings is settings
