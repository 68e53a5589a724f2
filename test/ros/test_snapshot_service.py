# SPDX-License-Identifier: Apache-2.0
"""~/save_snapshot of a live node, computed again by `metric-depth repeat` bit by bit."""

import json

import numpy as np
import pytest
from std_srvs.srv import Trigger

from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.snapshots import read_snapshot

DEFECTIVE = """
import sys
from metric_depth_ros.nodes.depth import main
from metric_depth_ros.ros import depth_node

def fail(*arguments):
    raise RuntimeError('nobody thought of this')

depth_node.save_snapshot = fail
sys.exit(main())
"""


@pytest.fixture(scope='module')
def snapshot(start_node, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp('snapshots')
    start_node({'snapshot.folder': folder, 'estimator': 'classical'})
    client.connect()
    client.answer(client.frame())
    response = client.call(Trigger, '/depth/save_snapshot', Trigger.Request())
    # The service answers again where its first response came before discovery had ended.
    assert response.success or 'is saved already' in response.message, response.message
    return next(folder.iterdir())


def test_a_snapshot_holds_messages_parameters_and_outputs(snapshot):
    saved = read_snapshot(snapshot)
    assert saved.frame.image.shape == (48, 64, 3)
    assert len(saved.frame.prompt)
    assert saved.depth.shape == (48, 64)
    assert saved.parameters['estimator'] == 'classical'
    with BagReader(snapshot / 'messages') as bag:
        assert set(bag.topics) == {'/image', '/camera_info', '/points'}


def test_a_snapshot_is_computed_again_bit_by_bit(snapshot, capsys):
    assert main(['repeat', str(snapshot)]) == 0
    assert 'bit for bit' in capsys.readouterr().out


def test_a_snapshot_that_was_changed_is_told(snapshot, tmp_path, capsys):
    published = dict(np.load(snapshot / 'published.npz'))
    published['depth'][0, 0] += 1.0
    copy = tmp_path / 'copy'
    copy.mkdir()
    for path in snapshot.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    np.savez(copy / 'published.npz', **published)
    assert main(['repeat', str(copy)]) == 1
    assert '1 of 3072 pixels differ' in capsys.readouterr().out


def test_a_folder_without_a_snapshot_is_refused_by_what_makes_one(tmp_path):
    with pytest.raises(InputError, match='save_snapshot'):
        read_snapshot(tmp_path)


def test_a_damaged_snapshot_is_refused(tmp_path):
    (tmp_path / 'snapshot.json').write_text(json.dumps({'stamp_ns': 5}))
    with pytest.raises(InputError, match=r'snapshot'):
        read_snapshot(tmp_path)


def test_who_asks_is_answered_even_by_a_defect(start_node, client_in, tmp_path):
    script = tmp_path / 'defective.py'
    script.write_text(DEFECTIVE)
    node = start_node({'snapshot.folder': tmp_path}, ['__ns:=/defective'], script)
    client = client_in('defective')
    client.connect()
    response = client.call(Trigger, 'depth/save_snapshot', Trigger.Request())
    assert not response.success
    assert 'nobody thought of this' in response.message
    assert 'Traceback' in node.wait_for_log('[internal]')
