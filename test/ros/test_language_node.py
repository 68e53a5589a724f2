# SPDX-License-Identifier: Apache-2.0
"""A tiny language model drives the live node like any other estimator."""

import numpy as np
import pytest
from sensor_msgs.msg import Image

from metric_depth_ros.codecs.image import decode_depth


def test_depthvlm_answers_frames_in_the_node(start_node, client_in, tmp_path):
    pytest.importorskip('torch')
    pytest.importorskip('transformers')
    from tiny_vlm import write_depthvlm

    folder = write_depthvlm(tmp_path / 'depthvlm')
    given = {
        'estimator': 'depthvlm',
        'model.weights': str(folder),
        'device': 'cpu',
        'max_frame_age_s': 0.0,
        'prompt.sources': '[]',
    }
    node = start_node(given, ['__ns:=/tiny_depthvlm'])
    client = client_in('tiny_depthvlm')
    client.subscribe(Image, 'depth/image')
    node.wait_for_log('active')
    client.wait_for(lambda: client.node.count_publishers('depth/image'), 'depth/image')

    def send():
        whole = client.frame()
        client.send({topic: whole[topic] for topic in ('image', 'camera_info')})

    found = client.repeat(
        send, lambda: next(iter(client.received['depth/image']), None), 'depth/image'
    )
    depth = decode_depth(found)
    assert depth.shape == (48, 64)
    assert np.isfinite(depth).all()
    assert (depth > 0.0).all()
    node.end()
