# SPDX-License-Identifier: Apache-2.0
"""`metric-depth reconstruct` on bags and frame sets."""

import json

import cv2
import numpy as np
import pytest

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.messages import depth_message, header, stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.cli.main import main
from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.replay.posed_frames import posed_frames

open3d = pytest.importorskip('open3d', exc_type=ImportError)


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    bag = tmp_path_factory.mktemp('room') / 'bag'
    size = ['--rate', '2', '--seconds', '2', '--size', '160x120']
    assert main(['simulate', str(bag), '--scene', 'indoor', *size]) == 0
    return bag


def reconstruct(source, folder, *arguments):
    out = folder / 'mesh.ply'
    figures = folder / 'figures.json'
    command = ['reconstruct', str(source), '-o', str(out), '--json', str(figures), *arguments]
    assert main(command) == 0
    assert out.read_bytes().startswith(b'ply\n')
    return json.loads(figures.read_text())


def test_a_completed_room_scores_above_the_measured_one(room, tmp_path):
    figures = reconstruct(room, tmp_path, '--compare', '--voxel', '0.03')
    assert figures['frames'] == 4
    assert figures['f_score'] > figures['f_score_measured'] > 0.2


K = [[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]]


def wall(folder, *intrinsics, every=1):
    """Write a frame set of a wall at 2 m, a frame for each of the intrinsics, and return it."""
    folder.mkdir()
    measured = np.zeros((48, 64), np.uint16)
    measured[::every, ::every] = 2000
    cv2.imwrite(str(folder / 'depth.png'), measured)
    cv2.imwrite(str(folder / 'image.png'), np.full((48, 64, 3), 90, np.uint8))
    prompt = {'path': 'depth.png', 'format': 'depth_map', 'kind': 'rgbd', 'scale': 0.001}
    frame = {'image': 'image.png', 'width': 64, 'height': 48, 'stamp_ns': None, 'gt': None}
    frame |= {'pose': np.eye(4).tolist()}
    prompts = {'measured': {**prompt, 'T_camera_sensor': None, 'scored': False}}
    frames = [
        {**frame, 'id': str(i), 'K': camera, 'prompts': prompts}
        for i, camera in enumerate(intrinsics)
    ]
    index = {'name': 'wall', 'description': 'a wall', 'frames': frames}
    (folder / 'frames.json').write_text(json.dumps(index), encoding='utf-8')
    return folder


def test_surfaces_that_share_nothing_are_compared_in_valid_json(tmp_path, capsys):
    source = wall(tmp_path / 'wall', K, every=8)  # too far apart for a measured surface
    figures = reconstruct(source, tmp_path, '--compare', '--voxel', '0.1')
    assert figures['median_m'] is None
    assert 'nothing to compare' in capsys.readouterr().out


def test_frames_without_intrinsics_are_left_out_and_not_counted(tmp_path, capsys):
    source = wall(tmp_path / 'wall', None, K, None)
    figures = reconstruct(source, tmp_path, '--estimator', 'sensor')
    assert figures['frames'] == 1
    assert '2 frames were left out: they have no K' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('camera', 'options', 'message'),
    [
        (None, [], 'no frame with a pose has K'),
        (K, ['--max-depth', '1.5'], 'beyond --max-depth 1.5 m'),
        (K, ['--min-weight', '99'], 'less than --min-weight 99'),
        (K, ['--voxel', '10'], '--voxel 10 m is coarser'),
    ],
)
def test_frames_that_give_no_surface_are_refused_and_no_file_is_written(
    camera, options, message, tmp_path, capsys
):
    source = wall(tmp_path / 'wall', camera)
    out, figures = tmp_path / 'mesh.ply', tmp_path / 'figures.json'
    command = ['reconstruct', str(source), '-o', str(out), '--json', str(figures), *options]
    assert main([*command, '--estimator', 'sensor']) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_a_completed_real_surface_covers_more_and_keeps_its_place(shared, tmp_path):
    figures = reconstruct(shared / 'data/sevenscenes', tmp_path, '--compare', '--max-depth', '5')
    assert figures['coverage_ratio'] > 1.0
    assert figures['median_m'] <= 0.010


def test_views_are_exported_with_the_keys_of_mapanything(room, tmp_path):
    views = tmp_path / 'views'
    cloud = tmp_path / 'cloud.ply'
    reconstruct(
        room, tmp_path, '--estimator', 'sensor', '--mapanything', str(views), '--cloud', str(cloud)
    )
    assert b'element face' not in cloud.read_bytes()[:400]
    files = sorted(views.iterdir())
    assert len(files) == 4
    with np.load(files[0]) as view:
        assert {n: (view[n].shape, view[n].dtype.name) for n in view.files} == {
            'img': ((120, 160, 3), 'uint8'),
            'intrinsics': ((3, 3), 'float32'),
            'depth_z': ((120, 160), 'float32'),
            'camera_poses': ((4, 4), 'float32'),
            'is_metric_scale': ((1,), 'bool'),
        }


def test_a_log_shows_the_path_of_the_camera_and_the_surface(room, tmp_path):
    reader = pytest.importorskip('rerun.chunk', reason='needs rerun-sdk').RrdReader
    log = tmp_path / 'log.rrd'
    reconstruct(room, tmp_path, '--estimator', 'sensor', '--rerun', str(log))
    places, entities = [], set()
    for chunk in reader(log).stream():
        entities.add(chunk.entity_path)
        if chunk.entity_path == '/world/camera':
            batch = chunk.to_record_batch()
            places += batch.column('Transform3D:translation').to_pylist()
    expected = [posed.T_world_camera[:3, 3] for posed in posed_frames(room)]
    np.testing.assert_allclose([place for (place,) in places], expected, atol=1e-5)
    assert {'/world/surface/0', '/world/camera/image/ground_truth'} <= entities


def test_poses_come_from_odometry_where_it_is_named(room, tmp_path):
    """A first message of zeros, as filters send before they start, is left out."""
    by_tf = [posed.T_world_camera for posed in posed_frames(room)]
    bag = tmp_path / 'odometry'
    types = typestore().types
    nowhere = types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 0.0)
    nothing = types['geometry_msgs/msg/Vector3'](0.0, 0.0, 0.0)
    covariance = np.zeros(36)

    def odometry(stamp_ns, place, turn):
        pose = types['geometry_msgs/msg/Pose'](
            types['geometry_msgs/msg/Point'](place.x, place.y, place.z), turn
        )
        return types['nav_msgs/msg/Odometry'](
            header(stamp_ns, 'odom'),
            'base_link',
            types['geometry_msgs/msg/PoseWithCovariance'](pose, covariance),
            types['geometry_msgs/msg/TwistWithCovariance'](
                types['geometry_msgs/msg/Twist'](nothing, nothing), covariance
            ),
        )

    with BagReader(room) as reader, BagWriter(bag) as writer:
        writer.write('/odometry', odometry(0, nothing, nowhere), 0)
        for raw, message in reader.messages():
            if raw.topic != layout.TF_TOPIC:
                writer.write(raw.topic, message, raw.log_ns)
                continue
            moved = message.transforms[0].transform
            said = odometry(raw.log_ns, moved.translation, moved.rotation)
            writer.write('/odometry', said, raw.log_ns)
    by_odometry = [p.T_world_camera for p in posed_frames(bag, odometry_topic='/odometry')]
    np.testing.assert_allclose(by_odometry, by_tf, atol=1e-9)


@pytest.fixture(scope='module')
def published(room, tmp_path_factory):
    """Return a bag of depth as a depth node publishes it: exact, but for a strip it doubts."""
    bag = tmp_path_factory.mktemp('published') / 'bag'
    kept = (layout.TF_TOPIC, layout.TF_STATIC_TOPIC)
    with BagReader(room) as reader, BagWriter(bag) as writer:
        for raw, message in reader.messages():
            if raw.topic in kept:
                writer.write(raw.topic, message, raw.log_ns)
            elif raw.topic == layout.CAMERA_INFO_TOPIC:
                writer.write('/depth/camera_info', message, raw.log_ns)
            elif raw.topic == layout.GROUND_TRUTH_TOPIC:
                stamp_ns, frame = stamp_of(message), message.header.frame_id
                depth = decode_depth(message).copy()
                sure = np.ones_like(depth)
                depth[:, :20], sure[:, :20] = 0.7, 0.05
                writer.write('/mine', depth_message(depth, stamp_ns, frame), raw.log_ns)
                doubt = depth_message(sure, stamp_ns, frame)
                writer.write('/depth/confidence', doubt, raw.log_ns)
    return bag


def test_depth_that_a_node_has_published_is_fused_with_its_confidence(room, published, tmp_path):
    cloud = tmp_path / 'cloud.ply'
    topics = ['--topic', 'depth/image:=/mine', '--voxel', '0.03']
    figures = reconstruct(published, tmp_path, '--cloud', str(cloud), *topics)
    assert (figures['frames'], figures['estimator']) == (4, 'published')
    vertices = np.asarray(open3d.io.read_point_cloud(str(cloud)).points)
    assert len(vertices) > 20_000
    for posed in posed_frames(room):
        away = np.linalg.norm(vertices - posed.T_world_camera[:3, 3], axis=1)
        assert away.min() > 0.85  # nothing of the strip at 0.7 m


def test_published_depth_that_is_not_there_is_refused_by_the_name_of_its_topic(
    room, published, tmp_path, capsys
):
    out = ['-o', str(tmp_path / 'mesh.ply')]
    for bag in (room, published):
        assert main(['reconstruct', str(bag), '--estimator', 'published', *out]) == 2
        assert '/depth/image' in capsys.readouterr().err
    assert (
        main(['reconstruct', str(published), '--topic', 'depth/image:=/mine', '--compare', *out])
        == 2
    )
    assert '--compare' in capsys.readouterr().err


def test_a_bag_without_poses_is_refused_and_told_what_to_do(room, tmp_path, capsys):
    bag = tmp_path / 'still'
    with BagReader(room) as reader, BagWriter(bag) as writer:
        for raw, message in reader.messages():
            if raw.topic != layout.TF_TOPIC:
                writer.write(raw.topic, message, raw.log_ns)
    assert main(['reconstruct', str(bag), '-o', str(tmp_path / 'mesh.ply')]) == 2
    assert '--odometry' in capsys.readouterr().err


def test_a_frame_set_without_poses_is_refused(shared, tmp_path, capsys):
    source = shared / 'data/nyu'
    assert main(['reconstruct', str(source), '-o', str(tmp_path / 'mesh.ply')]) == 2
    assert 'pose' in capsys.readouterr().err
