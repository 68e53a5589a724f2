# SPDX-License-Identifier: Apache-2.0
"""``metric-depth tokenize`` where depth is not known; the rest is in test_depth_token_recipe."""

import json

import cv2
import numpy as np
import pytest

from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.cli.main import main
from metric_depth_ros.estimators.learned.depth_tokenizer import DepthTokenizer

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


def test_sources_that_are_refused_leave_the_tokens_of_another_time_alone(write, tmp_path):
    arguments = write({})
    out = tmp_path / 'out'
    out.write_text('precious')
    before = sorted(tmp_path.iterdir())
    assert main(arguments) == 2
    assert main(['tokenize', str(tmp_path / 'nowhere'), *arguments[2:]]) == 2
    assert out.read_text() == 'precious'
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_leaves_no_half_of_a_file(write, tmp_path, monkeypatch):
    arguments = write({'rgbd': PROMPT}, {'rgbd': PROMPT})
    before = sorted(tmp_path.iterdir())
    tokenize, frames = DepthTokenizer.tokenize, []

    def interrupted(tokenizer, depth):
        frames.append(depth)
        if len(frames) == 2:
            raise KeyboardInterrupt
        return tokenize(tokenizer, depth)

    monkeypatch.setattr(DepthTokenizer, 'tokenize', interrupted)
    assert main(arguments) == 130
    assert len(frames) == 2
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_cannot_be_written_is_refused_by_its_option(write, tmp_path, capsys):
    arguments = write({'rgbd': PROMPT})
    (tmp_path / 'out').symlink_to(tmp_path / 'nowhere' / 'tokens.jsonl')
    assert main(arguments) == 2
    assert '--out' in capsys.readouterr().err


def test_topics_of_other_bags_are_chosen(write, tmp_path, capsys):
    command = write({'rgbd': PROMPT})
    index = json.loads((tmp_path / 'frames.json').read_text())
    index['frames'][0] |= {'K': [[50, 0, 32], [0, 50, 24], [0, 0, 1]], 'stamp_ns': 1}
    (tmp_path / 'frames.json').write_text(json.dumps(index))
    ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
    assert main(['make-bag', str(tmp_path), str(ours), '--prompt', 'rgbd']) == 0
    with BagReader(ours) as reader, BagWriter(theirs) as writer:
        for raw, message in reader.messages():
            writer.write(raw.topic.replace('/camera/image_raw', '/front'), message, raw.log_ns)
    command[1] = str(theirs)
    assert main(command) == 2
    assert '--topic image:=TOPIC' in capsys.readouterr().err
    assert main([*command, '--topic', 'image=/front']) == 2
    assert main([*command, '--topic', 'image:=/front']) == 0
    _, frame = map(json.loads, (tmp_path / 'out').read_text().splitlines())
    assert frame['source'] == 'theirs'
    assert len(frame['tokens']) == 100
