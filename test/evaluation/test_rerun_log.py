# SPDX-License-Identifier: Apache-2.0
"""Logs for the Rerun viewer, read back by rerun-sdk itself."""

import builtins
import json
import os
import shutil
import socket
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.rerun_log import RerunLog
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt

CAMERA = CameraModel.pinhole(40, 30, 37.5, 37.5, 19.5, 14.5)
S = 1_000_000_000


@pytest.fixture
def reader():
    return pytest.importorskip('rerun.chunk', reason='needs rerun-sdk').RrdReader


def rows(reader, path):
    """Return what a log holds: by entity, a list of its rows by component and timeline."""
    found = defaultdict(list)
    for chunk in reader(path).stream():
        batch = chunk.to_record_batch()
        for i in range(batch.num_rows):
            values = {}
            for name in batch.schema.names:
                if name in ('stamp', 'frame'):
                    values[name] = batch.column(name).cast('int64')[i].as_py()
                elif ':' in name and batch.column(name)[i].is_valid:
                    values[name.split(':')[1]] = batch.column(name)[i].as_py()
            found[chunk.entity_path].append(values)
    return found


def frame(stamp_ns):
    uv = np.array([[3.0, 4.0], [30.0, 20.0]], np.float32)
    prompt = SparsePrompt(
        uv, np.array([1.5, 2.5], np.float32), np.full(2, 0.01, np.float32), np.ones(2, np.uint8)
    )
    image = np.full((30, 40, 3), (10, 200, 90), np.uint8)
    return Frame(stamp_ns, 'camera', image, CAMERA, prompt)


def estimate():
    depth = np.full((30, 40), 2.0, np.float32)
    depth[0, 0] = np.nan
    return DepthEstimate(depth, np.full((30, 40), 0.5, np.float32), CAMERA, 'test')


def test_a_frame_is_logged_whole_at_its_stamp(reader, tmp_path):
    path = tmp_path / 'log.rrd'
    place = np.eye(4)
    place[:3, 3] = (1.0, 2.0, 3.0)
    with RerunLog(str(path)) as log:
        for i in range(2):
            log.frame(
                frame((100 + i) * S),
                estimate(),
                ground_truth=np.full((30, 40), 2.1, np.float32),
                T_world_camera=place,
                latency_ms=12.5 + i,
            )
    found = rows(reader, path)
    image = '/world/camera/image'
    assert {
        '/world/camera', image, f'{image}/prompt', f'{image}/depth', f'{image}/confidence',
        f'{image}/ground_truth', '/world/camera/cloud', '/figures/latency_ms',
    } <= found.keys()  # fmt: skip
    (error, _) = found['/figures/abs_rel']
    assert error['scalars'] == pytest.approx([0.1 / 2.1], rel=0.03)  # one pixel failed
    latency = sorted(found['/figures/latency_ms'], key=lambda row: row['stamp'])
    assert [row['stamp'] for row in latency] == [100 * S, 101 * S]
    assert [row['frame'] for row in latency] == [0, 1]
    assert [row['scalars'] for row in latency] == [[12.5], [13.5]]
    (depth, _) = found[f'{image}/depth']
    values = np.frombuffer(np.array(depth['buffer'][0], np.uint8).tobytes(), np.float32)
    assert values[0] == 0.0
    assert (values[1:] == 2.0).all()
    assert depth['meter'] == [1.0]
    pinhole = next(row for row in found[image] if 'image_from_camera' in row)
    np.testing.assert_allclose(np.reshape(pinhole['image_from_camera'], (3, 3)).T, CAMERA.K)
    assert pinhole['resolution'] == [[40.0, 30.0]]
    (cloud, _) = found['/world/camera/cloud']
    assert len(cloud['positions']) == 30 * 40 - 1
    np.testing.assert_allclose(np.array(cloud['positions'])[:, 2], 2.0)
    assert found['/world/camera'][0]['translation'] == [[1.0, 2.0, 3.0]]
    assert len(found[f'{image}/prompt'][0]['positions']) == 2


def test_surfaces_are_logged_in_the_world(reader, tmp_path):
    path = tmp_path / 'log.rrd'
    corners = np.eye(3, dtype=np.float32)
    with RerunLog(str(path)) as log:
        log.surface(corners, np.zeros((3, 3), np.uint8), np.array([[0, 1, 2]], np.int32))
    (mesh,) = rows(reader, path)['/world/surface/0']
    np.testing.assert_array_equal(mesh['vertex_positions'], corners)
    assert mesh['triangle_indices'] == [[0, 1, 2]]


def test_complete_logs_its_frame(reader, tmp_path):
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((30, 40, 3), 80, np.uint8))
    camera = {'width': 40, 'height': 30, 'K': CAMERA.K.tolist()}
    (tmp_path / 'camera.json').write_text(json.dumps(camera))
    np.save(tmp_path / 'prompt.npy', np.full((30, 40), 2.0, np.float32))
    log = tmp_path / 'log.rrd'
    code = main(
        ['complete', str(tmp_path / 'image.png'), '--camera', str(tmp_path / 'camera.json'),
         '--prompt', str(tmp_path / 'prompt.npy'), '--out', str(tmp_path / 'out'),
         '--estimator', 'nearest', '--rerun', str(log)]
    )  # fmt: skip
    assert code == 0
    assert '/world/camera/image/depth' in rows(reader, log)


def test_a_viewer_that_is_not_there_is_refused_before_the_work(reader, mini_set, tmp_path, capsys):
    with socket.socket() as nobody:  # bound and never listening: the port stays free of others
        nobody.bind(('127.0.0.1', 0))
        target = f'rerun+http://127.0.0.1:{nobody.getsockname()[1]}/proxy'
        scores = tmp_path / 'scores.json'
        assert main(['evaluate', str(mini_set), '--rerun', target, '--json', str(scores)]) == 2
    said = capsys.readouterr().err
    assert f'--rerun {target}: no viewer answers there' in said
    assert not scores.exists()


def test_figures_are_written_though_the_log_cannot_be_finished(
    reader, mini_set, tmp_path, monkeypatch, caplog
):
    import rerun

    def flush(recording):
        raise RuntimeError('the viewer has gone\na page of advice')

    monkeypatch.setattr(rerun.RecordingStream, 'flush', flush)
    scores, log = tmp_path / 'scores.json', tmp_path / 'log.rrd'
    options = ['--estimator', 'nearest', '--json', str(scores), '--rerun', str(log)]
    assert main(['evaluate', str(mini_set), *options]) == 0
    assert json.loads(scores.read_text())['groups']
    (warning,) = [r for r in caplog.records if r.name == RerunLog.__module__]
    assert warning.getMessage() == '--rerun: the log is not complete: the viewer has gone'


def test_an_error_under_way_is_not_replaced_by_that_of_the_log(reader, tmp_path, monkeypatch):
    import rerun

    def flush(recording):
        raise RuntimeError('the viewer has gone')

    monkeypatch.setattr(rerun.RecordingStream, 'flush', flush)
    with (
        pytest.raises(InputError, match='the prompt'),
        RerunLog(str(tmp_path / 'log.rrd')),
    ):
        raise InputError('prompt_file', 'the prompt cannot be read')


def test_the_viewer_beside_python_is_found_without_an_active_environment(
    reader, tmp_path, monkeypatch
):
    import rerun

    viewer = tmp_path / 'bin' / 'rerun'
    viewer.parent.mkdir()
    viewer.touch(mode=0o755)
    found = []
    monkeypatch.setattr(sys, 'executable', str(viewer.with_name('python')))
    monkeypatch.setattr(
        rerun.RecordingStream, 'spawn', lambda recording: found.append(shutil.which('rerun'))
    )
    before = os.environ['PATH']
    with RerunLog('live'):
        pass
    assert [Path(path) for path in found] == [viewer]
    assert os.environ['PATH'] == before


def test_a_viewer_that_cannot_be_started_is_told_of_in_one_sentence(reader, monkeypatch):
    import rerun

    def spawn(recording):
        raise RuntimeError('Failed to find Rerun Viewer executable in PATH.\n\nPATH="/bin"')

    monkeypatch.setattr(rerun.RecordingStream, 'spawn', spawn)
    with pytest.raises(InputError, match=r'live cannot be used: .*in PATH\.$'):
        RerunLog('live')


@pytest.mark.parametrize('target', ['log.mcap', 'https://somewhere'])
def test_a_target_that_is_none_is_refused(reader, target):
    with pytest.raises(InputError, match=r'FILE\.rrd'):
        RerunLog(target)


def test_without_rerun_sdk_it_is_said_what_to_install(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == 'rerun':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, 'rerun', raising=False)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(InputError, match='pip install'):
        RerunLog(str(tmp_path / 'log.rrd'))
    assert not (tmp_path / 'log.rrd').exists()
