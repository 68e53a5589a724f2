# SPDX-License-Identifier: Apache-2.0
"""What a replay is made of, without a node."""

import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.extrinsics import read_static_transforms
from metric_depth_ros.bags.messages import (
    camera_info_message,
    cloud_message,
    color_message,
    depth_message,
    stamp_of,
    transforms_message,
)
from metric_depth_ros.bags.reader import BagReader, RawMessage
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.codecs.cdr_stamps import read_stamp_ns, with_shifted_stamp
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.replay import scoring
from metric_depth_ros.replay.answered import answered_frames
from metric_depth_ros.replay.figures import failures
from metric_depth_ros.replay.given_parameters import file_parameters, refuse_unheard
from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.replay.player import Timing, looped, read_timing
from metric_depth_ros.replay.posed_frames import posed_frames
from metric_depth_ros.replay.scoring import recorded_frames, replayed_frames, score_recording
from metric_depth_ros.replay.session import ReplayOptions, node_arguments
from metric_depth_ros.replay.streams import check_sources, find_streams
from metric_depth_ros.ros.assembly import MOST_KEPT
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.realsense.calibration import write_calibration
from metric_depth_ros.types import Source

CONFIG = Path(__file__).resolve().parents[2] / 'config'
DEFAULTS = DEPTH_NODE.settings({})
IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def serialized(stamp_ns, little_endian=True):
    message = color_message(IMAGE, stamp_ns, 'camera')
    return bytes(
        typestore().serialize_cdr(message, message.__msgtype__, little_endian=little_endian)
    )


@given(
    stamp_ns=st.integers(1_000_000_000, 2**62 % (2**31 * 10**9)),
    shift_ns=st.integers(-1_000_000_000, 10**15),
    little_endian=st.booleans(),
)
def test_moving_a_stamp_changes_nothing_else(stamp_ns, shift_ns, little_endian):
    moved = with_shifted_stamp(serialized(stamp_ns, little_endian), shift_ns)
    assert read_stamp_ns(moved) == stamp_ns + shift_ns
    message = typestore().deserialize_cdr(moved, 'sensor_msgs/msg/Image')
    assert stamp_of(message) == stamp_ns + shift_ns
    assert moved == serialized(stamp_ns + shift_ns, little_endian)


@pytest.mark.parametrize(
    ('node_died', 'slower', 'ending'),
    [(False, None, ' --rate 0.5'), (False, 2.0, ' --rate 2'), (True, None, 'for by the node')],
)
def test_lost_images_are_told_with_the_rate_that_gives_the_node_more_time(
    node_died, slower, ending
):
    counts = {'lost': 6, 'failed': 0, 'frames_in': 50, 'frames_out': 44, 'points_out': None}
    figures = {**counts, 'rate': 1.0}
    run = SimpleNamespace(node_died=node_died, exit_code=0, last_words='')
    told = failures(figures, run, (), slower)[-1]
    assert told.startswith('6 of 50 images were neither answered nor accounted for by the node')
    assert told.endswith(ending)


def test_the_inputs_of_the_node_are_found_in_a_bag(street_bag):
    streams = find_streams(street_bag, {})
    assert streams.remappings == {
        'image': '/camera/image_raw',
        'camera_info': '/camera/camera_info',
        'points': '/lidar/points',
    }
    assert (streams.frames, streams.prompt_sources) == (6, ['points'])
    assert '/ground_truth/depth' not in streams.played


@pytest.mark.parametrize(
    ('chosen', 'words'),
    [
        ({'image': '/nowhere'}, '/nowhere'),
        ({'image': '/lidar/points'}, 'PointCloud2'),
        ({'sonar': '/lidar/points'}, 'sonar'),
    ],
)
def test_a_wrong_topic_is_named(street_bag, chosen, words):
    with pytest.raises(InputError, match=words):
        find_streams(street_bag, chosen)


def test_prompt_sources_of_which_the_bag_has_none_are_refused_with_those_that_it_has(street_bag):
    streams = find_streams(street_bag, {})
    with pytest.raises(InputError, match=r'\[radar, sensor_depth\].*has \[points\].*--topic'):
        check_sources(street_bag, streams, ['radar', 'sensor_depth'])
    check_sources(street_bag, streams, ['radar', 'points'])
    check_sources(street_bag, streams, [])


def test_a_bag_without_camera_is_refused(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write('/depth', depth_message(np.ones((4, 4), np.float32), 1, 'camera'), 1)
    with pytest.raises(InputError, match=r'/camera/image_raw.*/depth'):
        find_streams(tmp_path / 'bag', {})


def test_a_topic_without_messages_is_told_from_one_that_is_not_there(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write('/tf', transforms_message({}, 1), 1)
        bag._connect(layout.IMAGE_TOPIC, layout.IMAGE_TYPE)
        bag._connect('/odometry', layout.IMAGE_TYPE)
    with pytest.raises(InputError, match=r'no messages of topic /camera/image_raw .*was silent'):
        find_streams(tmp_path / 'bag', {})
    with BagReader(tmp_path / 'bag') as reader:
        with pytest.raises(
            InputError, match=r'no messages of topic /odometry .*expected nav_msgs'
        ):
            reader.require_type('/odometry', 'nav_msgs/msg/Odometry', 'choose another.')
        with pytest.raises(InputError, match='has no topic /pose, expected nav_msgs'):
            reader.require_type('/pose', 'nav_msgs/msg/Odometry', 'choose another.')


def test_loops_follow_each_other_at_the_rhythm_of_the_bag(street_bag):
    streams = find_streams(street_bag, {})
    timing = read_timing(street_bag, streams.image)
    images = [
        read_stamp_ns(with_shifted_stamp(message.data, shift))
        for message, shift in looped(street_bag, streams, timing, 3)
        if message.topic == streams.image
    ]
    assert timing.period_ns == 100_000_000
    assert np.diff(images).tolist() == [100_000_000] * 17


@pytest.mark.parametrize(
    ('first_ns', 'step_ns'), [(10**18, 10**8), (7 * 10**8, 10**8), (2 * 10**8, 28_571_428)]
)
def test_frames_before_the_first_have_stamps_above_zero(first_ns, step_ns):
    image = RawMessage('/image', layout.IMAGE_TYPE, first_ns, serialized(first_ns))
    assert Timing(first_ns, first_ns + 10**9, 10**8).step_before(image, 6) == step_ns
    assert first_ns - 6 * step_ns > 0


def test_a_first_image_without_time_before_it_is_refused():
    image = RawMessage('/image', layout.IMAGE_TYPE, 10**18, serialized(0))
    with pytest.raises(InputError, match='the first image is of 0 ns'):
        Timing(0, 10**9, 10**8).step_before(image, 6)


def test_own_parameters_win_over_a_file_and_the_bag_gives_the_extrinsics(street_bag, tmp_path):
    params = tmp_path / 'params.yaml'
    params.write_text('/**:\n  ros__parameters:\n    estimator: nearest\n')
    options = ReplayOptions(
        street_bag, tmp_path, params_file=params, parameters=['estimator:=classical:fast']
    )
    arguments = node_arguments(options, find_streams(street_bag, {}))
    order = [
        arguments.index(word)
        for word in (
            'prompt.sources:=[points]',
            str(params),
            f'extrinsics.path:={street_bag}',
            'estimator:=classical:fast',
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    'content',
    [
        '/**: {ros__parameters: {extrinsics.source: file, extrinsics.path: rig.yaml}}',
        'depth: {ros__parameters: {extrinsics: {source: file, path: rig.yaml}}}',
    ],
)
def test_a_calibration_of_the_parameter_file_wins_over_the_bag(content, street_bag, tmp_path):
    params = tmp_path / 'params.yaml'
    params.write_text(content)
    options = ReplayOptions(street_bag, tmp_path, params_file=params)
    arguments = node_arguments(options, find_streams(street_bag, {}))
    assert str(params) in arguments
    assert not [word for word in arguments if word.startswith('extrinsics.')]


def test_a_calibration_given_singly_wins_over_the_bag(street_bag, tmp_path):
    given = ['extrinsics.source:=file', 'extrinsics.path:=rig.yaml']
    options = ReplayOptions(street_bag, tmp_path, parameters=given)
    arguments = node_arguments(options, find_streams(street_bag, {}))
    assert [word for word in arguments if word.startswith('extrinsics.')] == given


@pytest.mark.parametrize('name', ['generic.yaml', 'rgbd.yaml', 'learned.yaml'])
def test_what_a_robot_hears_from_tf2_comes_from_the_bag(name, street_bag, tmp_path):
    options = ReplayOptions(street_bag, tmp_path, params_file=CONFIG / name)
    arguments = node_arguments(options, find_streams(street_bag, {}))
    file = arguments.index(str(CONFIG / name))
    assert arguments.index('extrinsics.source:=bag') > file
    assert arguments.index(f'extrinsics.path:={street_bag}') > file


def test_a_parameter_file_that_is_no_yaml_is_refused(street_bag, tmp_path):
    params = tmp_path / 'params.yaml'
    params.write_text('a: [')
    options = ReplayOptions(street_bag, tmp_path, params_file=params)
    with pytest.raises(InputError, match=r'params\.yaml cannot be read as YAML'):
        node_arguments(options, find_streams(street_bag, {}))


@pytest.mark.parametrize(
    'content',
    [
        '/**: {ros__parameters: {prompt.depth_aligment: projected}}',
        'depth: {ros__parameters: {prompt: {depth_aligment: projected}}}',
    ],
)
def test_a_parameter_of_a_file_that_the_node_does_not_have_is_refused(
    content, street_bag, tmp_path
):
    params = tmp_path / 'params.yaml'
    params.write_text(content)
    options = ReplayOptions(street_bag, tmp_path, params_file=params)
    with pytest.raises(InputError, match=r'params\.yaml.*did you mean prompt\.depth_alignment\?'):
        node_arguments(options, find_streams(street_bag, {}))


def test_a_single_parameter_that_the_node_does_not_have_is_refused(street_bag, tmp_path):
    options = ReplayOptions(street_bag, tmp_path, parameters=['prompt.depth_aligment:=projected'])
    with pytest.raises(InputError, match=r'--param.*did you mean prompt\.depth_alignment\?'):
        node_arguments(options, find_streams(street_bag, {}))


@pytest.mark.parametrize('name', ['use_sim_time', 'qos_overrides./image.subscription.depth'])
def test_parameters_that_ros_gives_every_node_are_passed_on(name, street_bag, tmp_path):
    options = ReplayOptions(street_bag, tmp_path, parameters=[f'{name}:=1'])
    assert f'{name}:=1' in node_arguments(options, find_streams(street_bag, {}))


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        ('/other: {ros__parameters: {estimator: nearest}}', 'found those of /other'),
        ('/front/depth: {ros__parameters: {estimator: nearest}}', 'found those of /front/depth'),
        ('estimator: nearest', 'found no section'),
        ('- estimator', 'found no section'),
        ('', 'found no section'),
    ],
)
def test_a_parameter_file_that_gives_the_node_nothing_is_refused(
    content, found, street_bag, tmp_path
):
    params = tmp_path / 'params.yaml'
    params.write_text(content)
    options = ReplayOptions(street_bag, tmp_path, params_file=params)
    with pytest.raises(InputError, match=rf'params\.yaml gives the node /depth nothing.*{found}'):
        node_arguments(options, find_streams(street_bag, {}))


@pytest.mark.parametrize('name', ['/**', '/*', '/**/depth', 'depth', '/depth', '**'])
def test_the_sections_of_the_node_are_those_that_ros_takes(name, tmp_path):
    params = tmp_path / 'params.yaml'
    params.write_text(
        f'/other: {{ros__parameters: {{speed: 1}}}}\n'
        f'"{name}": {{ros__parameters: {{estimator: nearest}}}}\n'
    )
    assert file_parameters(params) == {'estimator': 'nearest'}


def test_the_last_of_several_sections_wins_as_in_ros(tmp_path):
    params = tmp_path / 'params.yaml'
    params.write_text(
        'depth: {ros__parameters: {estimator: nearest}}\n'
        '/**: {ros__parameters: {estimator: classical}}\n'
    )
    assert file_parameters(params) == {'estimator': 'classical'}


def recording_of(bag, path, change, topic='/depth/image'):
    """Write a recording whose depth is the ground truth of `bag` after `change`."""
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for raw, message in reader.messages(['/ground_truth/depth']):
            depth = change(np.frombuffer(message.data, np.float32)).reshape(
                message.height, message.width
            )
            stamp_ns = stamp_of(message)
            writer.write(topic, depth_message(depth, stamp_ns, 'camera_optical_frame'), raw.log_ns)
    return path


def test_depth_that_equals_the_ground_truth_has_no_error(street_bag, tmp_path):
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: depth)
    score = score_recording(
        street_bag, find_streams(street_bag, {}), recording, '/depth/image', DEFAULTS
    )
    assert score.frames == 6
    assert score.metrics['abs_rel'] == 0.0
    assert score.metrics['delta1'] == 1.0


def test_an_error_shows_in_both_figures(street_bag, tmp_path):
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: 1.1 * depth)
    score = score_recording(
        street_bag, find_streams(street_bag, {}), recording, '/depth/image', DEFAULTS
    )
    assert score.metrics['abs_rel'] == pytest.approx(0.1, rel=1e-4)
    assert score.metrics_unprompted['abs_rel'] == pytest.approx(0.1, rel=1e-4)


def test_unprompted_pixels_are_those_without_a_measurement(tabletop_bag, tmp_path):
    recording = recording_of(tabletop_bag, tmp_path / 'recording', lambda depth: depth)
    streams = find_streams(tabletop_bag, {})
    settings = DEPTH_NODE.settings({'prompt.sources': ['sensor_depth']})
    first = next(replayed_frames(tabletop_bag, streams, recording, '/depth/image', settings))
    score = first.score()
    assert first.frame.image.std() > 10
    assert score.overall.pixels - score.unprompted.pixels == len(first.frame.prompt)


def test_held_back_points_serve_as_ground_truth(street_bag, tmp_path):
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: depth)
    streams = find_streams(street_bag, {'ground_truth': '/lidar/points'})
    score = score_recording(street_bag, streams, recording, '/depth/image', DEFAULTS)
    assert score.frames == 6
    assert 0.0 < score.metrics['mae_m'] < 1.0


def without_places(bag, path):
    """Write a copy of a bag without its transforms."""
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for raw in reader.raw([t for t in reader.topics if not t.startswith('/tf')]):
            writer.write_raw(raw.topic, raw.message_type, raw.data, raw.log_ns)
    return path


def test_sensors_are_scored_where_the_node_had_them(street_bag, tmp_path):
    calibration = tmp_path / 'rig.yaml'
    write_calibration(calibration, read_static_transforms(street_bag))
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: depth)
    bare = without_places(street_bag, tmp_path / 'bare')
    streams = find_streams(bare, {'ground_truth': '/lidar/points'})
    played = bare, streams, recording, '/depth/image'
    settings = DEPTH_NODE.settings(
        {'extrinsics.source': 'file', 'extrinsics.path': str(calibration)}
    )
    found = next(replayed_frames(*played, settings))
    placed = find_streams(street_bag, {'ground_truth': '/lidar/points'})
    expected = next(replayed_frames(street_bag, placed, *played[2:], DEFAULTS))
    np.testing.assert_allclose(found.frame.prompt.uv, expected.frame.prompt.uv, atol=1e-3)
    np.testing.assert_allclose(found.ground_truth, expected.ground_truth, rtol=1e-5)
    with pytest.raises(InputError, match='/tf_static'):
        next(replayed_frames(*played, DEFAULTS))


def test_a_sensor_that_the_node_cannot_place_is_no_prompt_of_a_score(street_bag, tmp_path):
    bare = without_places(street_bag, tmp_path / 'bare')
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: depth)
    streams = find_streams(bare, {})
    frames = list(replayed_frames(bare, streams, recording, '/depth/image', DEFAULTS))
    assert [replayed.frame.prompt for replayed in frames] == [None] * 6
    assert score_recording(bare, streams, recording, '/depth/image', DEFAULTS).frames == 6
    with pytest.raises(InputError, match='/tf_static'):
        next(recorded_frames(bare, streams))


def test_the_prompt_of_a_score_is_of_the_sources_that_the_node_takes(street_bag, tmp_path):
    recording = recording_of(street_bag, tmp_path / 'recording', lambda depth: depth)
    streams = find_streams(street_bag, {'radar': '/lidar/points'})
    for sources in (['points'], ['radar'], []):
        settings = DEPTH_NODE.settings({'prompt.sources': sources})
        frames = replayed_frames(street_bag, streams, recording, '/depth/image', settings)
        prompt = next(frames).frame.prompt
        measured = {'points': {Source.LIDAR}, 'radar': {Source.RADAR}}
        found = set() if prompt is None else set(prompt.source)
        assert found == (measured[sources[0]] if sources else set())


def test_a_report_shows_frames_as_the_settings_of_the_run_make_them(street_bag, tmp_path):
    run = SimpleNamespace(
        streams=find_streams(street_bag, {}),
        recording=recording_of(street_bag, tmp_path / 'recording', lambda depth: depth),
        settings=DEPTH_NODE.settings({'prompt.sources': []}),
        answers=SimpleNamespace(latency_ms_by_stamp=dict),
    )
    frames = [replayed.frame for replayed, _ in answered_frames(street_bag, run)]
    assert len(frames) == 6
    assert all(frame.prompt is None for frame in frames)


def test_ground_truth_of_another_size_is_refused(street_bag, tmp_path):
    recording = tmp_path / 'recording'
    with BagReader(street_bag) as reader, BagWriter(recording) as writer:
        raw, message = next(reader.messages(['/ground_truth/depth']))
        small = np.ones((10, 10), np.float32)
        writer.write('/depth/image', depth_message(small, stamp_of(message), 'camera'), raw.log_ns)
    with pytest.raises(InputError, match='160x96'):
        score_recording(
            street_bag, find_streams(street_bag, {}), recording, '/depth/image', DEFAULTS
        )


WIDE = CameraModel(
    80, 60, [[30.0, 0.0, 39.5], [0.0, 30.0, 29.5], [0.0, 0.0, 1.0]],
    Distortion('plumb_bob', (-0.1, 0.01, 0.0, 0.0, 0.0)),
    P=[[40.0, 0.0, 42.0, 0.0], [0.0, 40.0, 28.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
)  # fmt: skip


def plane_seen_by(camera):
    """Return the depth of a slanted plane in each pixel of a camera, as the ray through it has."""
    column, row = np.meshgrid(
        np.arange(camera.width, dtype=float), np.arange(float(camera.height))
    )
    ray = camera.pixel_to_normalized(np.stack((column, row), axis=-1))
    return (4.0 / (1.0 + 0.2 * ray[..., 0] + 0.1 * ray[..., 1])).astype(np.float32)


def bag_of_a_plane(path, seen_by, truth_topic='/ground_truth/depth'):
    """Write one frame of a distorting camera, its sensor depth, and its truth in some view."""
    messages = {
        layout.IMAGE_TOPIC: color_message(np.zeros((60, 80, 3), np.uint8), 10**9, 'camera'),
        layout.CAMERA_INFO_TOPIC: camera_info_message(WIDE, 10**9, 'camera'),
        truth_topic: depth_message(plane_seen_by(seen_by), 10**9, 'camera'),
    }
    with BagWriter(path) as writer:
        for topic, message in messages.items():
            writer.write(topic, message, 10**9)
    return path


def pinhole_of(fov_x_deg):
    focal = 40.0 / np.tan(np.radians(0.5 * fov_x_deg))
    return CameraModel.pinhole(80, 60, focal, focal, 39.5, 29.5)


VIEWS = pytest.mark.parametrize(
    ('settings', 'image', 'answer'),
    [
        ({}, WIDE, WIDE),
        ({'camera.rectify': True}, WIDE, WIDE.rectified()),
        ({'camera.rectify': True, 'camera.rectified_fov_deg': 60.0}, WIDE, pinhole_of(60.0)),
        ({'camera.rectified': True}, WIDE.rectified(), WIDE.rectified()),
    ],
)


@VIEWS
def test_answers_are_scored_in_the_view_that_the_node_gives_them(
    settings, image, answer, tmp_path
):
    bag = bag_of_a_plane(tmp_path / 'bag', image)
    with BagWriter(tmp_path / 'recording') as writer:
        writer.write('/depth/image', depth_message(plane_seen_by(answer), 10**9, 'camera'), 10**9)
    streams = find_streams(bag, {})
    given = bag, streams, tmp_path / 'recording', '/depth/image', DEPTH_NODE.settings(settings)
    score = score_recording(*given)
    assert score.metrics['abs_rel'] < 0.005  # a truth of the nearest pixel is half a pixel off
    (replayed,) = replayed_frames(*given)
    assert replayed.frame.camera == answer


@VIEWS
def test_the_prompt_of_a_score_is_that_of_the_view(settings, image, answer, tmp_path):
    bag = bag_of_a_plane(tmp_path / 'bag', image, layout.SENSOR_DEPTH_TOPIC)
    with BagWriter(tmp_path / 'recording') as writer:
        writer.write('/depth/image', depth_message(plane_seen_by(answer), 10**9, 'camera'), 10**9)
    settings = DEPTH_NODE.settings({'prompt.sources': ['sensor_depth'], **settings})
    given = bag, find_streams(bag, {}), tmp_path / 'recording', '/depth/image'
    (replayed,) = replayed_frames(*given, settings)
    prompted = replayed.frame.prompt.to_map(80, 60)
    np.testing.assert_allclose(prompted, replayed.depth, rtol=0.02)


STAMP_NS = 10**9
LATE_NS = STAMP_NS + 300_000_000


def scored_with(parameters, folder, **measured):
    """Return the frame of one image of `WIDE`, and how many of its pixels have no measurement.

    The sensor sees two planes, of 2 m and, in the right half, of 6 m; its camera has another
    frame unless it is `measured` in that of the image.
    """
    depth = np.full((60, 80), 2.0, np.float32)
    depth[:, 40:] = 6.0
    stamp_ns, frame_id = measured.get('stamp_ns', STAMP_NS), measured.get('frame_id', 'sensor')
    truth = depth_message(depth, STAMP_NS, 'camera')
    messages = {
        layout.TF_STATIC_TOPIC: transforms_message({('camera', 'sensor'): np.eye(4)}, STAMP_NS),
        layout.IMAGE_TOPIC: color_message(np.zeros((60, 80, 3), np.uint8), STAMP_NS, 'camera'),
        layout.CAMERA_INFO_TOPIC: camera_info_message(WIDE, STAMP_NS, 'camera'),
        layout.SENSOR_DEPTH_INFO_TOPIC: camera_info_message(WIDE, STAMP_NS, frame_id),
        layout.SENSOR_DEPTH_TOPIC: depth_message(depth, stamp_ns, frame_id),
        layout.GROUND_TRUTH_TOPIC: truth,
    }
    with BagWriter(folder / 'bag') as writer:
        for topic, message in messages.items():
            writer.write(topic, message, STAMP_NS)
    with BagWriter(folder / 'recording') as writer:
        writer.write('/depth/image', truth, STAMP_NS)
    settings = DEPTH_NODE.settings({'prompt.sources': ['sensor_depth'], **parameters})
    streams = find_streams(folder / 'bag', {})
    given = folder / 'bag', streams, folder / 'recording', '/depth/image', settings
    (replayed,) = replayed_frames(*given)
    return replayed.frame, replayed.score().unprompted.pixels


@pytest.mark.parametrize(
    ('parameters', 'measured', 'unprompted'),
    [
        ({'prompt.max_depth_m': 3.0}, {'frame_id': 'camera'}, 60 * 40),
        ({'prompt.min_depth_m': 3.0}, {'frame_id': 'camera'}, 60 * 40),
        ({}, {'frame_id': 'camera', 'stamp_ns': LATE_NS}, 60 * 80),
        ({'prompt.max_age_s': 0.5}, {'frame_id': 'camera', 'stamp_ns': LATE_NS}, 0),
        ({'prompt.depth_transport': 'compressedDepth'}, {'frame_id': 'camera'}, 60 * 80),
        ({'prompt.depth_alignment': 'registered'}, {}, 0),
    ],
)
def test_unprompted_pixels_follow_the_parameters_of_the_prompt(
    parameters, measured, unprompted, tmp_path
):
    _, found = scored_with(parameters, tmp_path, **measured)
    assert found == unprompted


@pytest.mark.parametrize('rectified', [False, True])
def test_unprompted_pixels_follow_the_lens_that_the_node_takes_for_the_sensor(rectified, tmp_path):
    frame, _ = scored_with({'prompt.depth_rectified': rectified}, tmp_path)
    own = WIDE.rectified() if rectified else WIDE
    corners = own.pixel_to_normalized(np.array([[0.0, 29.5], [79.0, 29.5]]))
    ends = WIDE.normalized_to_pixel(corners)[:, 0]
    found = frame.prompt.uv[:, 0]
    np.testing.assert_allclose([found.min(), found.max()], ends, atol=1.5)


def test_a_prompt_of_a_score_has_the_noise_that_the_node_was_told(tmp_path):
    told = {'prompt.depth_alignment': 'projected', 'prompt.sigma_m': 0.5, 'prompt.sigma_rel': 0.0}
    frame, _ = scored_with(told, tmp_path, frame_id='camera')
    assert set(frame.prompt.source) == {Source.LIDAR}
    np.testing.assert_allclose(frame.prompt.sigma, 0.5)


S, MS = 10**9, 10**6
BLACK = np.zeros((60, 80, 3), np.uint8)


def replayed_in_order(folder, messages, parameters):
    """Return the frame of an image of 5 s, in a bag of (topic, recorded at, message)."""
    image = color_message(BLACK, 5 * S, 'camera')
    answer = depth_message(np.full((60, 80), 2.0, np.float32), 5 * S, 'camera')
    played = [*messages, (layout.IMAGE_TOPIC, 5 * S, image)]
    with BagWriter(folder / 'bag') as writer:
        for topic, log_ns, message in sorted(played, key=lambda m: m[1]):
            writer.write(topic, message, log_ns)
    with BagWriter(folder / 'recording') as writer:
        writer.write('/depth/image', answer, 5 * S)
    streams = find_streams(folder / 'bag', {})
    given = folder / 'bag', streams, folder / 'recording', '/depth/image'
    (replayed,) = replayed_frames(*given, DEPTH_NODE.settings(parameters))
    return replayed.frame


@pytest.mark.parametrize(('max_wait_s', 'expected'), [(0.05, 'before'), (0.5, 'after')])
def test_the_prompt_of_a_score_is_of_what_had_arrived_when_the_image_was_taken(
    max_wait_s, expected, tmp_path
):
    before, after = np.full((2, 60, 80), np.nan, np.float32)
    before[:, :40], after[:, 40:] = 2.0, 2.0
    early_ns, late_ns = 5 * S - 600 * MS, 5 * S + 400 * MS
    messages = [
        (layout.CAMERA_INFO_TOPIC, 4 * S, camera_info_message(WIDE, 4 * S, 'camera')),
        (layout.SENSOR_DEPTH_TOPIC, early_ns, depth_message(before, early_ns, 'camera')),
        (layout.SENSOR_DEPTH_TOPIC, late_ns, depth_message(after, late_ns, 'camera')),
    ]
    parameters = {
        'prompt.sources': ['sensor_depth'],
        'prompt.max_age_s': 1.0,
        'prompt.max_wait_s': max_wait_s,
    }
    prompt = replayed_in_order(tmp_path, messages, parameters).prompt
    assert {'before' if u < 40 else 'after' for u in prompt.uv[:, 0]} == {expected}


@pytest.mark.parametrize(
    ('stamps_ns', 'focal'), [((5 * S, 9 * S, 4 * S), 10.0), ((4 * S, 6 * S, 90 * S), 30.0)]
)
def test_the_camera_of_a_score_is_that_of_the_stamp_or_the_last_that_arrived(
    stamps_ns, focal, tmp_path
):
    messages = []
    for i, stamp_ns in enumerate(stamps_ns):
        camera = CameraModel.pinhole(80, 60, 10.0 * (i + 1), 10.0 * (i + 1), 39.5, 29.5)
        info = camera_info_message(camera, stamp_ns, 'camera')
        messages.append((layout.CAMERA_INFO_TOPIC, (2 + i) * S, info))
    later = CameraModel.pinhole(80, 60, 99.0, 99.0, 39.5, 29.5)
    info = camera_info_message(later, 5 * S, 'camera')
    messages.append((layout.CAMERA_INFO_TOPIC, 5 * S + 60 * MS, info))
    assert replayed_in_order(tmp_path, messages, {}).camera.K[0, 0] == focal


def test_the_first_camera_info_is_waited_for_as_the_node_does(tmp_path):
    info = camera_info_message(WIDE, 7 * S, 'camera')
    messages = [(layout.CAMERA_INFO_TOPIC, 5 * S + 200 * MS, info)]
    for max_wait_s, camera in ((0.05, WIDE), (0.0, None)):
        folder = tmp_path / str(max_wait_s)
        folder.mkdir()
        parameters = {'prompt.max_wait_s': max_wait_s}
        assert replayed_in_order(folder, messages, parameters).camera == camera


def test_all_that_a_sensor_measured_is_the_prompt_of_a_recorded_frame(tmp_path):
    smeared = np.full((60, 80), 2.0, np.float32)
    smeared[:, 40:] = 3.0, 4.5, *[6.0] * 38
    messages = {
        layout.CAMERA_INFO_TOPIC: camera_info_message(WIDE, S, 'camera'),
        layout.SENSOR_DEPTH_TOPIC: depth_message(smeared, S, 'camera'),
        layout.IMAGE_TOPIC: color_message(BLACK, S, 'camera'),
    }
    with BagWriter(tmp_path / 'bag') as writer:
        for topic, message in messages.items():
            writer.write(topic, message, S)
    ((frame, _),) = recorded_frames(tmp_path / 'bag', find_streams(tmp_path / 'bag', {}))
    assert len(frame.prompt) == smeared.size


def test_what_scoring_keeps_of_a_bag_does_not_grow_with_the_age_of_measurements(
    tmp_path, monkeypatch
):
    held = []

    def noted(message):
        held.append(weakref.ref(message))
        return stamp_of(message)

    monkeypatch.setattr(scoring, 'stamp_of', noted)
    depth = np.full((60, 80), 2.0, np.float32)
    with BagWriter(tmp_path / 'bag') as bag, BagWriter(tmp_path / 'recording') as recording:
        for stamp_ns in range(S, 11 * S, S // 10):
            measured = depth_message(depth, stamp_ns, 'camera')
            info = camera_info_message(WIDE, stamp_ns, 'camera')
            bag.write(layout.CAMERA_INFO_TOPIC, info, stamp_ns)
            image = color_message(BLACK, stamp_ns, 'camera')
            bag.write(layout.IMAGE_TOPIC, image, stamp_ns)
            bag.write(layout.SENSOR_DEPTH_TOPIC, measured, stamp_ns)
            bag.write(layout.GROUND_TRUTH_TOPIC, measured, stamp_ns)
            recording.write('/depth/image', measured, stamp_ns)
    settings = DEPTH_NODE.settings({'prompt.sources': ['sensor_depth'], 'prompt.max_age_s': 60.0})
    given = tmp_path / 'bag', find_streams(tmp_path / 'bag', {}), tmp_path / 'recording'
    frames = replayed_frames(*given, '/depth/image', settings)
    most = max(sum(message() is not None for message in held) for _ in frames)
    assert len(held) >= 400
    assert most <= 30


def test_between_two_images_no_more_is_kept_than_the_node_keeps(tmp_path):
    info = camera_info_message(WIDE, S, 'camera')
    with BagWriter(tmp_path / 'bag') as writer:
        for stamp_ns in range(S, 11 * S, S // 10):
            writer.write(layout.CAMERA_INFO_TOPIC, info, stamp_ns)
    with BagReader(tmp_path / 'bag') as reader:
        window = scoring._Window(reader, [layout.CAMERA_INFO_TOPIC], 0)
        window.advance(S, 20 * S)
        assert len(window._arrived[layout.CAMERA_INFO_TOPIC]) == MOST_KEPT


def test_a_recorded_cloud_is_moved_with_the_robot_to_the_time_of_the_image(tmp_path):
    before_ns = STAMP_NS - 100_000_000
    ahead = np.eye(4)
    ahead[2, 3] = 1.0
    wall = {'x': np.zeros(9), 'y': np.zeros(9), 'z': np.full(9, 5.0)}
    cloud = {axis: values.astype(np.float32) for axis, values in wall.items()}
    with BagWriter(tmp_path / 'bag') as writer:
        static = transforms_message({('camera', 'lidar'): np.eye(4)}, before_ns)
        writer.write(layout.TF_STATIC_TOPIC, static, before_ns)
        for stamp_ns, pose in ((before_ns, np.eye(4)), (STAMP_NS, ahead)):
            moved = transforms_message({('odom', 'camera'): pose}, stamp_ns)
            writer.write(layout.TF_TOPIC, moved, stamp_ns)
        writer.write(layout.POINTS_TOPIC, cloud_message(cloud, before_ns, 'lidar'), before_ns)
        info = camera_info_message(WIDE, STAMP_NS, 'camera')
        writer.write(layout.CAMERA_INFO_TOPIC, info, STAMP_NS)
        image = color_message(np.zeros((60, 80, 3), np.uint8), STAMP_NS, 'camera')
        writer.write(layout.IMAGE_TOPIC, image, STAMP_NS)
    ((frame, _),) = recorded_frames(tmp_path / 'bag', find_streams(tmp_path / 'bag', {}))
    np.testing.assert_allclose(frame.prompt.depth, 4.0, rtol=1e-5)


def test_the_radar_of_a_bag_is_part_of_the_prompt(street_bag):
    streams = find_streams(street_bag, {'radar': '/lidar/points'})
    frame, _ = next(recorded_frames(street_bag, streams))
    assert {Source.LIDAR, Source.RADAR} == set(frame.prompt.source)


@pytest.fixture(params=['0.2 s', '-0.2 s', '1 day', '-1 day'])
def shifted_bag(request, tabletop_bag, tmp_path):
    """Return a bag whose recorder had another clock than its sensors."""
    number, unit = request.param.split()
    shift_ns = int(float(number) * 1e9) * (86_400 if unit == 'day' else 1)
    with BagReader(tabletop_bag) as reader, BagWriter(tmp_path / 'shifted') as writer:
        for raw in reader.raw():
            writer.write_raw(raw.topic, raw.message_type, raw.data, raw.log_ns + shift_ns)
    return tmp_path / 'shifted'


def test_images_find_their_prompt_and_truth_whatever_the_clock_of_the_recorder(shifted_bag):
    found = list(recorded_frames(shifted_bag, find_streams(shifted_bag, {})))
    assert len(found) == 6
    assert all(len(frame.prompt) and truth is not None for frame, truth in found)


def test_answers_are_scored_whatever_the_clock_of_the_recorder(
    tabletop_bag, shifted_bag, tmp_path
):
    recording = recording_of(tabletop_bag, tmp_path / 'recording', lambda depth: 1.1 * depth)
    streams = find_streams(shifted_bag, {})
    score = score_recording(shifted_bag, streams, recording, '/depth/image', DEFAULTS)
    assert score.frames == 6
    assert score.metrics_unprompted['abs_rel'] == pytest.approx(0.1, rel=1e-4)


def with_base_that_moves_from(bag, path, first_image):
    """Write a copy of a bag whose /tf has the base from one image on, and the map always."""
    static = [layout.TF_TOPIC]
    with BagReader(bag) as reader, BagWriter(path) as writer:
        stamps = [raw.log_ns for raw in reader.raw([layout.IMAGE_TOPIC])]
        for raw in reader.raw([t for t in reader.topics if t not in static]):
            writer.write_raw(raw.topic, raw.message_type, raw.data, raw.log_ns)
        for i, stamp_ns in enumerate(stamps):
            moved = {('map', 'odom'): np.eye(4)}
            if i >= first_image:
                moved['odom', layout.BASE_FRAME] = np.eye(4)
            writer.write(layout.TF_TOPIC, transforms_message(moved, stamp_ns), stamp_ns)
    return path


def test_images_before_a_part_of_the_pose_is_known_are_left_out(tabletop_bag, tmp_path):
    bag = with_base_that_moves_from(tabletop_bag, tmp_path / 'bag', first_image=2)
    assert len(list(posed_frames(bag, world_frame='map'))) == 4


def test_a_world_that_nothing_connects_with_the_camera_is_refused(tabletop_bag, tmp_path):
    bag = with_base_that_moves_from(tabletop_bag, tmp_path / 'bag', first_image=2)
    with pytest.raises(InputError, match=r"to 'earth'.*--world-frame") as refusal:
        next(posed_frames(bag, world_frame='earth'))
    assert 'extrinsics.path' not in str(refusal.value)


@pytest.mark.parametrize(('module', 'is_kept'), [('platform', False), ('this', True)])
def test_the_log_of_a_refusal_stays_only_where_it_says_more(module, is_kept, tmp_path):
    log = tmp_path / 'node.log'

    def refuse():
        # One of the modules prints a line, the other more than a refusal tells.
        with NodeProcess([], log, {}, module) as process:
            process.wait(60.0)
            raise InputError('replay_node', f'refused: {process.last_words()}')

    with pytest.raises(InputError, match='refused'):
        refuse()
    assert log.exists() is is_kept


def test_the_log_stays_after_a_refusal_that_tells_nothing_of_it(tmp_path):
    def refuse():
        with NodeProcess([], tmp_path / 'node.log', {}, 'platform') as process:
            process.wait(60.0)
            raise InputError('output_path', 'the disk is full')

    with pytest.raises(InputError, match='full'):
        refuse()
    assert (tmp_path / 'node.log').exists()


RADAR = {'radar': '/front/radar'}


@pytest.mark.parametrize(
    ('topics', 'sources', 'file'),
    [
        ({}, '', 'generic'),
        (RADAR, '[radar]', 'generic'),
        (RADAR, '[points, radar]', 'rgbd'),
        ({'sensor_depth': '/depth'}, '', 'rgbd'),
        (RADAR, '', 'query_of_others'),
    ],
)
def test_a_topic_of_a_sensor_that_is_listened_to_is_taken(topics, sources, file, tmp_path):
    others = tmp_path / 'query_of_others.yaml'
    others.write_text('/front/depth: {ros__parameters: {estimator: nearest}}')
    path = others if file == others.stem else CONFIG / f'{file}.yaml'
    refuse_unheard(topics, sources, path)


@pytest.mark.parametrize(
    ('sources', 'file', 'said'),
    [
        ('', 'generic', r"\[points\] \(.*generic\.yaml\).*prompt_sources:='\[points, radar\]'"),
        ('', 'rgbd', r"\[sensor_depth\] \(.*rgbd\.yaml\).*'\[sensor_depth, radar\]'"),
        ('[points]', 'generic', r"\[points\] \(prompt_sources\).*'\[points, radar\]'"),
    ],
)
def test_a_topic_of_a_sensor_that_nothing_listens_to_is_refused(sources, file, said):
    with pytest.raises(InputError, match=f'/front/radar is given.*{said}'):
        refuse_unheard(RADAR, sources, CONFIG / f'{file}.yaml')


TWO_ROBOTS = """
/**: {ros__parameters: {estimator: classical}}
/robot1/depth: {ros__parameters: {prompt.sources: [points, radar]}}
/robot2/depth: {ros__parameters: {prompt.sources: [points]}}
"""


def test_what_is_listened_to_is_asked_of_the_section_of_the_robot(tmp_path):
    path = tmp_path / 'robots.yaml'
    path.write_text(TWO_ROBOTS)
    refuse_unheard(RADAR, '', path, '/robot1')
    for namespace in ('/robot2', '/'):
        with pytest.raises(InputError, match=r'prompt\.sources is \[points\] \(.*robots\.yaml\)'):
            refuse_unheard(RADAR, '', path, namespace)


@pytest.mark.parametrize('sources', ['points', 'points,radar', '5', '[points', '[5]'])
def test_sources_that_are_no_list_are_refused_with_an_example(sources):
    said = re.escape(f"prompt_sources is {sources!r}, expected a list, e.g. '[points, radar]'")
    with pytest.raises(InputError, match=said):
        refuse_unheard(RADAR, sources, CONFIG / 'generic.yaml')


@pytest.mark.parametrize('sources', ['5', 'radar', '[5]', 'null'])
def test_sources_of_a_file_that_are_no_list_are_left_to_the_node(sources, tmp_path):
    path = tmp_path / 'wrong.yaml'
    path.write_text(f'/**: {{ros__parameters: {{prompt.sources: {sources}}}}}')
    refuse_unheard(RADAR, '', path)
