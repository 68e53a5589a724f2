# SPDX-License-Identifier: Apache-2.0
"""Bags through the real node in a process of its own, over real DDS."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.cli.main import main
from metric_depth_ros.codecs.cdr_stamps import with_shifted_stamp
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.figures import failures, replay_figures
from metric_depth_ros.replay.streams import find_streams
from metric_depth_ros.ros.parameters import DEPTH_NODE

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

from metric_depth_ros.replay.recorder import Answers
from metric_depth_ros.replay.session import ReplayOptions, ReplayRun
from metric_depth_ros.replay.session import replay as replay_in_this_process

GENERIC = Path(__file__).resolve().parents[2] / 'config' / 'generic.yaml'
HAS_RERUN = importlib.util.find_spec('rerun') is not None
KEYS = {
    'frames_in', 'frames_out', 'replaced', 'stale', 'latency_ms', 'estimator_ms', 'rss_mb',
    'cpu_percent', 'metrics', 'metrics_unprompted', 'exit_code', 'machine', 'versions', 'bag',
}  # fmt: skip


def replay(bag, out, *arguments):
    """Run the command as a user does; return the finished process and its JSON."""
    figures = out / 'figures.json'
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'replay', str(bag)]
    finished = subprocess.run(
        [*command, '--out', out, '--json', figures, '-p', 'estimator:=nearest', *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, 'COLUMNS': '200'},
    )
    return finished, json.loads(figures.read_text()) if figures.exists() else None


@pytest.fixture(scope='module')
def street_replay(street_bag, tmp_path_factory):
    out = tmp_path_factory.mktemp('street')
    shown = ['--html', out / 'report.html']
    if HAS_RERUN:
        shown += ['--rerun', out / 'log.rrd']
    return out, *replay(street_bag, out, '--with-points', '--fail-if', 'abs_rel>0.5', *shown)


def test_without_a_folder_to_write_into_every_replay_gets_a_new_one(
    street_bag, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'out' / 'replay' / street_bag.name).mkdir(parents=True)
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'replay', str(street_bag)]
    finished = subprocess.run(
        [*command, '-p', 'estimator:=nearest'], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    written = tmp_path / 'out' / 'replay' / f'{street_bag.name}-2'
    assert str(written.relative_to(tmp_path)) in finished.stderr
    assert json.loads((written / 'figures.json').read_text())['lost'] == 0


def test_a_bag_that_is_missing_leaves_no_folder_behind(tmp_path):
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'replay', 'nowhere']
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert finished.returncode == 2
    assert 'there is no bag at nowhere' in finished.stderr
    assert not list(tmp_path.iterdir())


def test_a_replay_that_is_refused_leaves_no_folder_behind(
    street_bag, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for wrong, told in (
        (('--topic', 'image:=/nope'), 'no topic /nope'),
        (('--params-file', str(tmp_path)), 'is a folder, expected a YAML file'),
    ):
        assert main(['replay', str(street_bag), *wrong]) == 2
        assert told in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


def test_every_frame_is_answered_and_the_node_ends_well(street_replay):
    _, finished, figures = street_replay
    assert finished.returncode == 0, finished.stderr
    assert (figures['frames_in'], figures['frames_out'], figures['lost']) == (6, 6, 0)
    assert figures['points_out'] == 6
    assert figures['exit_code'] == 0


def test_a_report_shows_where_the_answers_err(street_replay):
    out, _, _ = street_replay
    page = (out / 'report.html').read_text()
    assert 'worst frames' in page
    assert page.count('<svg') >= 2
    assert 'src="data:image/' in page


@pytest.mark.skipif(not HAS_RERUN, reason='rerun-sdk is missing')
def test_a_log_has_every_answer_at_its_stamp(street_replay, street_bag):
    from rerun.chunk import RrdReader

    out, _, _ = street_replay
    with BagReader(street_bag) as played:
        stamps = {stamp_of(m) for _, m in played.messages(['/camera/image_raw'])}
    logged = {}
    for chunk in RrdReader(out / 'log.rrd').stream():
        batch = chunk.to_record_batch()
        if 'stamp' in batch.schema.names:
            of_entity = logged.setdefault(chunk.entity_path, set())
            of_entity |= set(batch.column('stamp').cast('int64').to_pylist())
    image = '/world/camera/image'
    for entity in (
        image, f'{image}/prompt', f'{image}/depth', '/world/camera/cloud', '/figures/latency_ms',
        '/figures/abs_rel',
    ):  # fmt: skip
        assert logged[entity] == stamps, entity


def test_the_figures_are_complete(street_replay):
    _, _, figures = street_replay
    assert figures.keys() >= KEYS
    assert set(figures['latency_ms']) == {'p50', 'p95', 'p99', 'max'}
    assert set(figures['estimator_ms']) == {'p50', 'p95'}
    assert figures['estimator_ms']['p50'] <= figures['latency_ms']['max']
    assert figures['rss_mb']['start'] > 10
    assert 0 < figures['metrics']['abs_rel'] < 0.5
    assert figures['metrics']['abs_rel'] < figures['metrics_unprompted']['abs_rel']


def test_the_answers_are_recorded_with_the_stamps_of_the_bag(street_replay, street_bag):
    out, _, _ = street_replay
    with BagReader(street_bag) as played, BagReader(out / 'recording') as recorded:
        stamps = [stamp_of(m) for _, m in played.messages(['/camera/image_raw'])]
        for topic in ('/depth/image', '/depth/camera_info', '/depth/points'):
            assert [stamp_of(m) for _, m in recorded.messages([topic])] == stamps
        _, cloud = next(recorded.messages(['/depth/points']))
        assert recorded.count('/depth/status') == 6
    assert (cloud.height, cloud.width) == (96, 160)
    assert np.isfinite(decode_xyz(cloud)).any()


def test_a_depth_camera_is_replayed_in_loops_and_a_condition_fails(tabletop_bag, tmp_path):
    finished, figures = replay(tabletop_bag, tmp_path, '--loops', '2', '--fail-if', 'delta1<=1')
    assert finished.returncode == 1
    assert 'delta1<=1' in finished.stderr
    assert figures['frames_in'] == 12
    assert figures['frames_out'] + figures['replaced'] == 12
    with BagReader(tmp_path / 'recording') as recorded:
        assert recorded.count('/depth/image') <= 6


def test_a_simulation_that_counts_from_zero_is_replayed(tabletop_bag, tmp_path):
    start_ns = 100_000_000
    with BagReader(tabletop_bag) as reader, BagWriter(tmp_path / 'bag') as writer:
        earlier_ns = start_ns - min(raw.log_ns for raw in reader.raw())
        for raw in reader.raw():
            moved = raw.data
            if 'tf' not in raw.topic:  # which begins with no header
                moved = with_shifted_stamp(raw.data, earlier_ns)
            writer.write_raw(raw.topic, raw.message_type, moved, raw.log_ns + earlier_ns)
    finished, figures = replay(tmp_path / 'bag', tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (figures['frames_out'], figures['lost']) == (6, 0)


def test_a_node_that_refuses_its_parameters_is_quoted(street_bag, tmp_path):
    finished, figures = replay(street_bag, tmp_path, '-p', 'prompt.max_age_s:=-1.0')
    assert finished.returncode == 2
    assert figures is None
    assert 'prompt.max_age_s' in finished.stderr
    assert not (tmp_path / 'recording').exists()


def test_a_node_that_would_get_no_prompt_of_the_bag_is_refused(tabletop_bag, tmp_path):
    finished, figures = replay(tabletop_bag, tmp_path, '--params-file', GENERIC)
    assert finished.returncode == 2
    assert figures is None
    assert "--param 'prompt.sources:=[sensor_depth]'" in ' '.join(finished.stderr.split())


def test_answers_of_a_rectified_view_are_scored_in_that_view(tabletop_bag, tmp_path):
    wide = ['-p', 'camera.rectify:=true', '-p', 'camera.rectified_fov_deg:=100.0']
    finished, figures = replay(tabletop_bag, tmp_path, *wide)
    assert figures, finished.stderr
    assert figures['metrics']['abs_rel'] < 0.1  # 0.06 as in the raw view; beside it 0.16


def whole_run(bag, recording, answers):
    """Return a replay that went well, with these answers."""
    return ReplayRun(
        streams=find_streams(bag, {}),
        settings=DEPTH_NODE.settings({}),
        recording=recording,
        answers=answers,
        warm_up_frames=1,
        counters={},
        rss_mb={'start': None, 'end': None},
        cpu_percent=None,
        exit_code=0,
        node_died=False,
        last_words='',
    )


def test_latencies_stay_where_the_score_is_refused(street_bag, tmp_path, monkeypatch):
    out = tmp_path / 'out'

    def measured(options, progress):
        return whole_run(street_bag, out / 'recording', Answers(played={1: 0.0}, depth={1: 0.5}))

    def refuse(*given, **settings):
        raise InputError('transform_missing', 'nobody knows where the LiDAR is')

    monkeypatch.setattr('metric_depth_ros.replay.session.replay', measured)
    monkeypatch.setattr('metric_depth_ros.replay.scoring.score_recording', refuse)
    assert main(['replay', str(street_bag), '--out', str(out)]) == 2
    figures = json.loads((out / 'figures.json').read_text())
    assert figures['latency_ms']['max'] == 500.0
    assert figures['metrics']['abs_rel'] is None


def test_images_with_the_stamp_of_an_earlier_one_are_counted_apart(street_bag, tmp_path):
    run = whole_run(street_bag, tmp_path, Answers(depth={7: 0.5}))
    for now_s in (0.0, 1.0, 2.0):
        run.answers.note_played(7, now_s)
    run.answers.note_played(8, 3.0)
    figures = replay_figures(ReplayOptions(street_bag, tmp_path), run, None)
    counted = {
        name: figures[name] for name in ('frames_in', 'frames_out', 'repeated_stamps', 'lost')
    }
    assert counted == {'frames_in': 4, 'frames_out': 1, 'repeated_stamps': 2, 'lost': 1}
    assert figures['latency_ms']['max'] == 500.0  # from the first, before which none was answered


def test_a_bad_image_at_the_end_of_a_bag_is_accounted_for(street_bag, tmp_path):
    image = '/camera/image_raw'
    with BagReader(street_bag) as reader, BagWriter(tmp_path / 'bag') as writer:
        last_ns = max(raw.log_ns for raw in reader.raw([image]))
        for raw in reader.raw():
            data = raw.data
            if raw.topic == image and raw.log_ns == last_ns:
                data = data.replace(b'rgb8\0', b'rgbX\0')
            writer.write_raw(raw.topic, raw.message_type, data, raw.log_ns)
    options = ReplayOptions(tmp_path / 'bag', tmp_path, parameters=['estimator:=nearest'])
    run = replay_in_this_process(options)
    figures = replay_figures(options, run, None)
    assert (figures['frames_out'], figures['bad_input'], figures['lost']) == (5, 1, 0)
    assert failures(figures, run, []) == []


def test_a_missing_bag_is_bad_input(tmp_path):
    finished, _ = replay(tmp_path / 'nowhere', tmp_path)
    assert finished.returncode == 2
    assert 'there is no bag' in finished.stderr


def test_a_replay_that_is_terminated_leaves_no_node_behind(street_bag, tmp_path):
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'replay', str(street_bag)]
    arguments = ['--out', tmp_path, '--loops', '1000', '-p', 'estimator:=nearest']
    log = tmp_path / 'node.log'
    with subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL) as running:
        deadline_s = time.monotonic() + 60.0
        while not (log.exists() and log.stat().st_size):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        nodes = psutil.Process(running.pid).children()
        assert nodes
        running.terminate()
        running.send_signal(signal.SIGHUP)
        assert running.wait(60.0) == 130
    assert not any(node.is_running() for node in nodes)


@pytest.mark.parametrize('option', ['--html', '--rerun'])
def test_one_name_for_the_figures_and_another_file_is_refused(option, tmp_path, capsys):
    (tmp_path / 'bag').mkdir()
    out = tmp_path / 'out'
    figures = str(out / 'figures.json')
    assert main(['replay', str(tmp_path / 'bag'), '--out', str(out), option, figures]) == 2
    assert f'--json and {option} are both {figures}: name two files.' in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize('domain', ['-1', '233', 'home'])
def test_a_domain_that_dds_does_not_have_is_refused(domain, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(['replay', str(tmp_path), '--domain', domain])
    assert ended.value.code == 2
    assert domain in capsys.readouterr().err


def test_a_node_that_dies_fails_the_replay(street_bag, tmp_path):
    def kill_the_node(done, total):
        if done == 3:
            children = psutil.Process().children()
            (node,) = [c for c in children if 'metric_depth_ros.nodes.depth' in c.cmdline()]
            node.kill()

    options = ReplayOptions(street_bag, tmp_path, loops=50)
    run = replay_in_this_process(options, kill_the_node)
    assert (run.node_died, run.exit_code) == (True, -9)
    assert len(run.answers.played) < 300
    assert (
        'the node died with exit code -9'
        in failures(replay_figures(options, run, None), run, [])[0]
    )
