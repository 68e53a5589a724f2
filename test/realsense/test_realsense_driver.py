# SPDX-License-Identifier: Apache-2.0
"""The driver part: calibration, clocks, filters and devices, against librealsense itself."""

import sys
import threading
import time
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import software_camera as soft
from full_disk import no_room
from software_camera import rs

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import inverse
from metric_depth_ros.ros.calibration_files import read_transforms_yaml
from metric_depth_ros.ros.realsense.calibration import (
    camera_model,
    optical_frame,
    static_transforms,
    transform,
    write_calibration,
)
from metric_depth_ros.ros.realsense.capture import Capture
from metric_depth_ros.ros.realsense.clock import RosStamps
from metric_depth_ros.ros.realsense.counts import FrameCounts
from metric_depth_ros.ros.realsense.device import open_camera
from metric_depth_ros.ros.realsense.frames import in_millimeters
from metric_depth_ros.ros.realsense.library import realsense_library
from metric_depth_ros.ros.realsense.parameters import REALSENSE_NODE
from metric_depth_ros.ros.realsense.shots import ShotReader
from metric_depth_ros.ros.static_tree import StaticTree

pytestmark = pytest.mark.skipif(
    find_spec('pyrealsense2') is None, reason='pyrealsense2 is not installed'
)
DEADLINE_S = 20.0
SMALL = {
    'color.width': soft.WIDTH,
    'color.height': soft.HEIGHT,
    'depth.width': soft.WIDTH,
    'depth.height': soft.HEIGHT,
}
POINTS = [(0.3, -0.2, 1.0), (-0.5, 0.4, 2.0), (0.0, 0.0, 0.7)]


def settings(**values):
    return REALSENSE_NODE.settings(
        {**SMALL, **{k.replace('__', '.'): v for k, v in values.items()}}
    )


def wait_until(condition, what):
    end_s = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < end_s, f'waited in vain for {what}'
        time.sleep(0.01)
    return value


def lens(model, coefficients):
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = 640, 480
    intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy = 600.0, 590.0, 318.0, 243.0
    intrinsics.model, intrinsics.coeffs = rs.distortion.__members__[model], list(coefficients)
    return intrinsics


@pytest.mark.parametrize(
    ('model', 'coefficients', 'tolerance_px'),
    [
        ('none', (0.0,) * 5, 1e-3),
        ('brown_conrady', soft.COLOR_LENS, 1e-3),
        ('kannala_brandt4', (-0.02, 0.01, -0.004, 0.001, 0.0), 1e-3),
        ('inverse_brown_conrady', soft.COLOR_LENS, 0.02),
        ('modified_brown_conrady', soft.COLOR_LENS, 0.02),
    ],
)
def test_a_camera_projects_as_librealsense_does(model, coefficients, tolerance_px):
    intrinsics = lens(model, coefficients)
    ours = camera_model(intrinsics).project(np.array(POINTS))
    theirs = [rs.rs2_project_point_to_pixel(intrinsics, list(point)) for point in POINTS]
    np.testing.assert_allclose(ours, theirs, atol=tolerance_px)


def test_a_lens_model_that_has_no_name_in_ros_is_refused():
    with pytest.raises(InputError, match='ftheta'):
        camera_model(lens('ftheta', (0.9, 0.0, 0.0, 0.0, 0.0)))


def extrinsics():
    given = rs.extrinsics()
    given.rotation = soft.ROTATION.T.ravel().tolist()
    given.translation = list(soft.TRANSLATION)
    return given


def test_extrinsics_move_points_as_librealsense_does():
    T = transform(extrinsics())
    for point in POINTS:
        theirs = rs.rs2_transform_point_to_point(extrinsics(), list(point))
        np.testing.assert_allclose(T[:3, :3] @ point + T[:3, 3], theirs, atol=1e-6)


def test_static_frames_hold_the_extrinsics_and_body_axes():
    T = transform(extrinsics())
    tree = StaticTree(static_transforms('cam', T), 'test')
    color, depth = optical_frame('cam', 'color'), optical_frame('cam', 'depth')
    np.testing.assert_allclose(tree.lookup(color, 0, depth, 0), T, atol=1e-12)
    ahead = tree.lookup('cam_link', 0, depth, 0) @ [0.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(ahead, [1.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_the_calibration_file_is_one_of_the_depth_node(tmp_path):
    given = static_transforms('cam', transform(extrinsics()))
    write_calibration(tmp_path / 'cam.yaml', given)
    read = read_transforms_yaml(tmp_path / 'cam.yaml')
    assert read.keys() == given.keys()
    for pair, T in given.items():
        np.testing.assert_allclose(read[pair], T, atol=1e-9)


def test_a_calibration_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match='parameter calibration_file'):
        write_calibration(tmp_path / 'missing' / 'cam.yaml', {})


def test_a_calibration_that_a_full_disk_cut_short_leaves_no_file(tmp_path):
    with no_room(), pytest.raises(InputError, match='parameter calibration_file'):
        write_calibration(tmp_path / 'cam.yaml', {('a', f'b{i}'): np.eye(4) for i in range(99)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('domain', ['system_time', 'global_time'])
def test_stamps_of_our_clock_are_taken_as_they_are(domain):
    stamps = RosStamps(lambda: 0).stamps_ns((1_700_000_000_123.25, domain))
    assert stamps == [1_700_000_000_123_250_000]


def test_stamps_of_the_camera_keep_their_distances_whatever_the_delay():
    now_ns = 0
    stamps = RosStamps(lambda: now_ns)
    stamped = []
    for i, delay_ms in enumerate([9, 5, 30, 6, 80, 5, 12]):
        now_ns = round(1e18) + (33 * i + delay_ms) * 1_000_000
        stamped += stamps.stamps_ns((1000.0 + 33 * i, 'hardware_clock'))
    assert np.diff(stamped[1:]).tolist() == [33_000_000] * 5
    assert stamped[1] == round(1e18) + (33 + 5) * 1_000_000  # late by the least delay, no more


def test_a_camera_clock_that_begins_anew_is_followed():
    now_ns = round(1e18)
    stamps = RosStamps(lambda: now_ns)
    stamps.stamps_ns((4_000_000.0, 'hardware_clock'))
    now_ns += 33_000_000
    assert stamps.stamps_ns((10.0, 'hardware_clock')) == [now_ns]


def test_a_recording_is_stamped_when_it_is_played_and_loops():
    now_ns = round(1e18)
    stamps = RosStamps(lambda: now_ns, recorded=True)
    assert stamps.stamps_ns((1_600_000_000_000.0, 'global_time')) == [now_ns]
    now_ns += 5_000_000_000  # played slower than it was recorded
    assert stamps.stamps_ns((1_600_000_000_033.0, 'global_time')) == [now_ns]
    now_ns += 33_000_000
    assert stamps.stamps_ns((1_599_999_990_000.0, 'global_time')) == [now_ns]


def test_frames_that_arrive_together_keep_their_distance_when_a_recording_lags():
    now_ns = iter(range(round(1e18), round(2e18), 199_000_000))  # each look at the clock later
    stamps = RosStamps(lambda: next(now_ns), recorded=True)
    for i in range(6):
        depth, color = stamps.stamps_ns((33.0 * i, 'system_time'), (33.0 * i + 5, 'system_time'))
        assert color - depth == 5_000_000


def test_streams_of_a_recording_may_be_of_different_clocks():
    now_ns = round(1e18)
    stamps = RosStamps(lambda: now_ns, recorded=True)
    for i in range(3):
        now_ns = round(1e18) + 33_000_000 * i
        both = stamps.stamps_ns((33.0 * i, 'hardware_clock'), (1.6e12 + 33 * i, 'system_time'))
        assert both == [now_ns, now_ns]


def test_stamps_of_a_recording_may_be_kept():
    stamps = RosStamps(lambda: 0, as_they_are=True, recorded=True)
    assert stamps.stamps_ns((1_600_000_000_000.0, 'hardware_clock')) == [1_600_000_000_000_000_000]


def test_depth_of_other_units_is_in_millimeters():
    raw = np.array([[0, 12_345, 65_535]], np.uint16)
    assert in_millimeters(raw, 0.0010000000474974513) is raw
    assert in_millimeters(raw, 0.0001).tolist() == [[0, 1234, 6554]]
    assert in_millimeters(raw, 0.01).tolist() == [[0, 0, 0]]  # 123 m and 655 m do not fit


def test_lost_and_repeated_frames_are_counted():
    counts = FrameCounts()
    new = [counts.count('depth', n, 33.0 * n) for n in (5, 6, 6, 9)]
    assert new == [True, True, False, True]
    assert counts.values()['frames_depth'] == 3
    assert counts.values()['lost_depth'] == 2


def test_the_rate_of_a_stream_that_has_stopped_falls(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr('time.monotonic', lambda: now_s)
    counts = FrameCounts()
    for number in range(31):
        now_s = 100.0 + number / 30.0
        counts.count('color', number, 33.0 * number)
    assert counts.values()['rate_color_hz'] == pytest.approx(30.0)
    now_s += 9.0
    assert counts.values()['rate_color_hz'] == pytest.approx(3.0)


@pytest.fixture
def shoot(request):
    """Return a function that sends one frame and returns the pictures read of it, by name.

    A parameter is what the camera is made with.
    """
    camera = soft.SoftwareCamera(**getattr(request, 'param', {}))
    opened = open_camera(rs, settings(), lambda: [camera.device])
    reader = ShotReader(rs, opened, settings(), time.time_ns, FrameCounts())

    def shoot_with(**values):
        camera.send()
        frames = wait_until(lambda: opened.wait(0.1), 'a frameset')
        read = reader.read(frames, settings(**values), lambda name: True)
        return {shot.name: shot.picture for shot in read}

    yield shoot_with
    opened.close()


def depth_of(picture):
    return picture.data.view(np.uint16)


def test_pictures_are_the_frames_with_their_cameras(shoot):
    pictures = shoot()
    assert pictures.keys() == {'color', 'depth'}
    color, depth = pictures['color'], pictures['depth']
    assert color.encoding == 'rgb8'
    assert color.data.reshape(soft.HEIGHT, soft.WIDTH, 3)[20, 20].tolist() == list(soft.RED)
    assert color.camera.K[0, 0] == 60.0
    assert depth.encoding == '16UC1'
    assert depth_of(depth)[0, 0] == soft.DEPTH_MM
    assert (depth_of(depth)[soft.HOLE] == 0).all()
    assert depth.camera.K[0, 0] == 50.0


def test_decimation_makes_image_and_camera_smaller_and_leaves_color(shoot):
    pictures = shoot(filters__decimation__enable=True, filters__decimation__magnitude=2)
    depth = pictures['depth']
    assert depth_of(depth).shape == (soft.HEIGHT // 2, soft.WIDTH // 2)
    assert depth.camera.size == (soft.WIDTH // 2, soft.HEIGHT // 2)
    assert depth.camera.K[0, 0] == 25.0
    assert pictures['color'].camera.size == (soft.WIDTH, soft.HEIGHT)


def test_filters_change_from_one_frame_to_the_next(shoot):
    assert (depth_of(shoot()['depth'])[soft.HOLE] == 0).all()
    filled = shoot(filters__hole_filling__enable=True)
    assert (depth_of(filled['depth']) == soft.DEPTH_MM).all()
    nothing = shoot(filters__threshold__enable=True, filters__threshold__max_m=1.0)
    assert not depth_of(nothing['depth']).any()
    far = shoot(filters__threshold__enable=True, filters__threshold__max_m=2.0)
    assert depth_of(far['depth'])[0, 0] == soft.DEPTH_MM


@pytest.mark.parametrize(
    'shoot', [{'is_stereo': True}, {'is_stereo': False}], indirect=True, ids=str
)
def test_smoothing_filters_leave_a_flat_wall_flat(shoot):
    smooth = shoot(filters__spatial__enable=True, filters__temporal__enable=True)
    depth = depth_of(smooth['depth'])
    assert set(np.unique(depth).tolist()) == {0, soft.DEPTH_MM}


def test_aligned_depth_lies_where_our_own_projection_puts_it(shoot):
    pictures = shoot(depth__align_to_color=True)
    aligned = depth_of(pictures['aligned_depth'])
    color, depth = pictures['color'].camera, pictures['depth'].camera
    assert pictures['aligned_depth'].camera.size == color.size
    # The middle of the wall, seen by the depth camera, is this far from the color camera.
    ray = np.array([(31 - depth.K[0, 2]) / 50.0, (30 - depth.K[1, 2]) / 50.0, 1.0]) * 1.5
    point = soft.ROTATION @ ray + soft.TRANSLATION
    u, v = np.rint(color.project(point)).astype(int)
    assert aligned[v, u] == pytest.approx(1e3 * point[2], abs=2.0)


@pytest.mark.parametrize('shoot', [{'depth_unit_m': 0.0001}], indirect=True)
def test_depth_of_another_unit_comes_in_millimeters(shoot):
    assert depth_of(shoot()['depth'])[0, 0] == soft.DEPTH_MM


@pytest.mark.parametrize(
    ('serial_number', 'connected', 'words'),
    [
        ('', [], 'connected: none'),
        ('9', ['1', '2'], "with serial_number '9' is connected \\(connected: 1, 2\\)"),
        ('', ['1', '2'], 'several cameras are connected \\(1, 2\\)'),
    ],
)
def test_a_camera_that_is_not_there_is_told_with_those_that_are(serial_number, connected, words):
    cameras = [soft.SoftwareCamera(serial) for serial in connected]
    with pytest.raises(InputError, match=words) as refusal:
        open_camera(rs, settings(serial_number=serial_number), lambda: [c.device for c in cameras])
    assert refusal.value.fault == 'camera_missing'


def test_the_camera_with_the_serial_number_is_opened():
    cameras = [soft.SoftwareCamera('1'), soft.SoftwareCamera('2')]
    opened = open_camera(rs, settings(serial_number='2'), lambda: [c.device for c in cameras])
    assert opened.info.serial_number == '2'
    np.testing.assert_allclose(
        inverse(opened.T_color_depth), inverse(transform(extrinsics())), atol=1e-6
    )
    opened.close()


def test_streams_that_are_not_offered_are_told_with_those_that_are():
    camera = soft.SoftwareCamera()
    with pytest.raises(InputError, match='640x480 at 30 Hz of 64x48 at 30') as refusal:
        open_camera(rs, REALSENSE_NODE.settings({}), lambda: [camera.device])
    assert refusal.value.fault == 'camera_streams'


@pytest.mark.parametrize('content', [b'', b'#ROSBAG V2.0\n', b'SQLite format 3\x00' + bytes(100)])
def test_a_recording_that_cannot_be_played_is_named(tmp_path, content):
    path = tmp_path / 'broken.bag'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'broken\.bag cannot be played'):
        open_camera(rs, settings(playback__file=str(path)), list)


class Received:
    """What a capture thread tells."""

    def __init__(self, find_devices, **values):
        chosen = settings(timeout_s=0.3, retry_max_s=0.2, **values)
        self.opened, self.frames, self.reports = [], [], []
        self.capture = Capture(
            lambda: open_camera(rs, chosen, find_devices),
            self.opened.append,
            lambda frames: self.frames.append(frames.get_frame_number()),
            lambda fault, sentence: self.reports.append(fault),
            chosen.timeout_s,
            chosen.retry_max_s,
        )


def test_a_camera_may_come_late_leave_and_come_back():
    connected = []
    received = Received(lambda: connected)
    wait_until(lambda: received.reports.count('camera_missing') > 1, 'two attempts')
    assert 'connected: none' in received.capture.problem

    first = soft.SoftwareCamera().start()
    connected.append(first.device)
    wait_until(lambda: len(received.frames) > 3, 'frames')
    assert received.capture.problem is None

    first.stop()
    connected.clear()
    wait_until(lambda: 'camera_silent' in received.reports, 'the loss')
    wait_until(lambda: received.capture.problem and 'none' in received.capture.problem, 'a search')
    seen = len(received.frames)

    second = soft.SoftwareCamera().start()
    connected.append(second.device)
    wait_until(lambda: len(received.frames) > seen + 3, 'frames of the camera that came back')
    assert received.capture.opened >= 2
    assert received.capture.stop(5.0)
    second.stop()


def test_a_stream_that_stalls_does_not_carry_the_other_into_the_future():
    camera = soft.SoftwareCamera(domain='hardware_clock')
    opened = open_camera(rs, settings(), lambda: [camera.device])
    reader = ShotReader(rs, opened, settings(), time.time_ns, FrameCounts())
    began_s, early_ns, depth_only = time.monotonic(), [], 0
    camera.start()
    while depth_only < 30:
        camera.sends_color = time.monotonic() - began_s < 0.5
        frames = opened.wait(0.1)
        if frames is None:
            continue
        shots = {s.name: s for s in reader.read(frames, settings(), lambda name: True)}
        if 'depth' in shots:
            early_ns.append(shots['depth'].stamp_ns - time.time_ns())
            depth_only += 'color' not in shots
    camera.stop()
    opened.close()
    assert max(early_ns) <= 0


def test_a_camera_of_which_one_stream_stops_is_opened_again(monkeypatch):
    monkeypatch.setattr('metric_depth_ros.ros.realsense.capture._FIRST_FRAME_S', 0.3)
    camera = soft.SoftwareCamera().start()
    received = Received(lambda: [camera.device])
    sentences = []
    received.capture._report = lambda fault, sentence: sentences.append(sentence)
    wait_until(lambda: len(received.frames) > 3, 'frames')
    camera.sends_color = False
    wait_until(lambda: any('the color stream' in s for s in sentences), 'the loss of color')
    wait_until(lambda: received.capture.opened > 1, 'another opening')
    received.capture.stop(5.0)
    camera.stop()


def test_a_library_that_hangs_is_left_behind():
    for_ever = threading.Event()
    capture = Capture(for_ever.wait, lambda c: None, lambda f: None, lambda *f: None, 1.0, 1.0)
    assert not capture.stop(0.01)
    for_ever.set()


class Opened:
    """A camera that is handed out, and notes what becomes of it."""

    has_ended, is_connected, is_recording = False, True, False
    silent_s, quietest = 0.0, ('color', 0.0)

    def __init__(self, frames):
        self.closed = threading.Event()
        self._frames = frames

    def wait(self, timeout_s):
        return self._frames()

    def close(self):
        self.closed.set()


def test_a_camera_that_opens_after_it_was_given_up_is_closed_and_nobody_is_told():
    gate, opened, told = threading.Event(), Opened(lambda: 'frames'), []

    def open_late():
        gate.wait()
        return opened

    capture = Capture(open_late, told.append, told.append, lambda *f: told.append(f), 1.0, 1.0)
    assert not capture.stop(0.0)
    gate.set()
    assert opened.closed.wait(DEADLINE_S)
    assert capture.stop(DEADLINE_S)
    assert told == []


def test_frames_that_come_after_the_end_are_dropped():
    asked, gate, told = threading.Event(), threading.Event(), []

    def come_late():
        asked.set()
        gate.wait()
        return 'frames'

    opened = Opened(come_late)
    capture = Capture(lambda: opened, lambda c: None, told.append, lambda *f: None, 1.0, 1.0)
    assert asked.wait(DEADLINE_S)
    assert not capture.stop(0.0)
    gate.set()
    assert capture.stop(DEADLINE_S)
    assert told == []
    assert opened.closed.is_set()


def test_a_frame_that_cannot_be_used_costs_only_itself():
    camera = soft.SoftwareCamera().start()
    received = Received(lambda: [camera.device])

    def fail(frames):
        raise ValueError('a defect')

    received.capture._on_frames = fail
    wait_until(lambda: received.reports.count('internal') > 1, 'two reports')
    received.capture._on_frames = lambda frames: received.frames.append(0)
    wait_until(lambda: received.frames, 'a frame after them')
    assert received.capture.opened == 1
    received.capture.stop(5.0)
    camera.stop()


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Return a recording of 8 frames that the installed librealsense has made."""
    camera = soft.SoftwareCamera(domain='hardware_clock')
    return soft.record(tmp_path_factory.mktemp('recording') / 'soft', 8, camera)


def test_a_recording_is_played_to_its_end(recording):
    received = Received(list, playback__file=str(recording), playback__loop=False)
    wait_until(lambda: received.capture.has_ended, 'the end')
    assert received.frames
    assert received.capture.problem is None
    assert not received.reports


def test_a_recording_keeps_the_pixel_format_that_was_recorded(tmp_path):
    camera = soft.SoftwareCamera(color_format='bgr8')
    chosen = settings(playback__file=str(soft.record(tmp_path / 'bgr', 4, camera)))
    opened = open_camera(rs, chosen, list)
    frames = wait_until(lambda: opened.wait(0.1), 'a frameset')
    reader = ShotReader(rs, opened, chosen, time.time_ns, FrameCounts())
    color = next(
        s.picture for s in reader.read(frames, chosen, lambda name: True) if s.name == 'color'
    )
    opened.close()
    assert color.encoding == 'bgr8'
    assert color.data[20, :3].tolist() == list(soft.RED[::-1])


def test_a_recording_loops(recording):
    received = Received(list, playback__file=str(recording))
    wait_until(lambda: len(received.frames) > 20, 'more frames than it has')
    assert received.capture.stop(5.0)
    assert not received.reports


def test_a_bag_of_an_older_librealsense_is_played_without_a_loss(request):
    path = request.path.parent / 'librealsense_2_55.bag'
    received = Received(
        list, playback__file=str(path), playback__loop=False, playback__real_time=False
    )
    wait_until(lambda: received.capture.has_ended, 'the end')
    # librealsense needs the first pair to find out what belongs together.
    assert received.frames[-11:] == list(range(1, 12))


def test_a_librealsense_that_is_too_old_is_refused_though_it_tells_no_version(monkeypatch):
    old = SimpleNamespace(pipeline=object())  # 2.55.1 has neither set_device nor __version__
    monkeypatch.setitem(sys.modules, 'pyrealsense2', old)
    with pytest.raises(InputError, match=r'too old, expected 2\.56 or newer'):
        realsense_library()
