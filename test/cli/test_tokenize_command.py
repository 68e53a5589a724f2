# SPDX-License-Identifier: Apache-2.0
"""``metric-depth tokenize`` where depth is not known; the rest is in test_depth_token_recipe."""

import json

import cv2
import numpy as np
import pytest

from metric_depth_ros.cli.main import main

PROMPT = {'path': 'depth.png', 'format': 'depth_map', 'kind': 'rgbd', 'scale': 0.001}


@pytest.fixture
def write(tmp_path):
    def frame_set(*prompts):
        cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 64, 3), np.uint8))
        cv2.imwrite(
            str(tmp_path / 'depth.png'), np.tile(np.arange(1000, 1064), (48, 1)).astype('u2')
        )
        size = {'image': 'image.png', 'width': 64, 'height': 48}
        frames = [{'id': str(i), **size, 'prompts': p} for i, p in enumerate(prompts)]
        (tmp_path / 'frames.json').write_text(json.dumps({'name': 'set', 'frames': frames}))
        return ['tokenize', str(tmp_path), '--estimator', 'nearest', '-o', str(tmp_path / 'out')]

    return frame_set


def test_a_frame_without_known_depth_has_no_tokens(write, tmp_path, capsys):
    assert main(write({'rgbd': PROMPT}, {})) == 0
    _, known, unknown = map(json.loads, (tmp_path / 'out').read_text().splitlines())
    assert len(known['tokens']) == 100
    assert unknown == {'source': tmp_path.name, 'frame': '1', 'stamp_ns': 0, 'tokens': None}
    assert '1 frames of which no depth is known' in capsys.readouterr().err


def test_sources_without_any_known_depth_are_refused(write, capsys):
    assert main(write({})) == 2
    assert 'nearest knows no depth in any of the 1 frames' in capsys.readouterr().err
