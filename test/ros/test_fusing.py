# SPDX-License-Identifier: Apache-2.0
"""The thread of the reconstruct node, without DDS: what is fused, and what becomes of the rest."""

import errno
import importlib.util
import time
from array import array
from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.geometry.rigid import transform_from_quaternion
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.fusing import COUNTS, FusionWorker
from metric_depth_ros.ros.pose_sources import PoseHistory
from metric_depth_ros.ros.reconstruct_parameters import RECONSTRUCT_NODE
from metric_depth_ros.ros.tally import Tally

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('open3d') is None, reason='open3d is missing'
)
S = 1_000_000_000
DEADLINE_S = 30.0


class History:
    """Poses of a camera that a test gives."""

    topic = '/pose'

    def __init__(self):
        self.world = 'odom'
        self._history = PoseHistory()

    def put(self, stamp_ns, x=0.0):
        pose = transform_from_quaternion((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self._history.add(stamp_ns, pose)

    def at(self, camera_frame, stamp_ns):
        return self._history.at(stamp_ns)

    def clear(self):
        self._history.clear()

    def close(self):
        pass


class Rig:
    """A worker with all that it needs."""

    def __init__(self, folder, **values):
        from metric_depth_ros.reconstruction.live_surface import LiveSurface
        from metric_depth_ros.reconstruction.volume import VolumeSettings

        given = {'fusion.max_rate_hz': 0.0, 'pose.max_wait_s': 30.0, 'cloud.rate_hz': 50.0}
        self.settings = RECONSTRUCT_NODE.settings({**given, **values})
        volume = VolumeSettings(voxel_m=0.05, max_depth_m=3.0, window_m=5.0, device='cpu')
        self.surface = LiveSurface(volume, folder)
        self.poses = History()
        self.counts = Tally(*COUNTS)
        self.told, self.clouds, self.saved = [], [], []
        self.listeners = 1
        self.worker = FusionWorker(
            self.surface,
            self.poses,
            lambda: self.settings,
            lambda cloud, world, stamp_ns: self.clouds.append((cloud[0], world, stamp_ns)),
            lambda: self.listeners,
            self.counts,
            FaultLog(self.told.append, 0.0),
            lambda: self.saved.append(self.surface.frames),
        )
        self.worker.start()

    def wait(self, condition):
        ends_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < ends_s, (self.counts, self.told)
            time.sleep(0.005)

    def offer(self, stamp_ns):
        depth = Image(height=30, width=40, encoding='32FC1', step=160)
        depth.data = array('B', np.full(1200, 2.0, '<f4').tobytes())
        depth.header.frame_id = 'camera'
        info = CameraInfo(height=30, width=40)
        info.k = [37.5, 0.0, 19.5, 0.0, 37.5, 14.5, 0.0, 0.0, 1.0]
        self.worker.offer(stamp_ns, {'depth/image': depth, 'depth/camera_info': info})

    def see(self, stamp_ns, x=0.0):
        fused = self.counts['fused']
        self.poses.put(stamp_ns, x)
        self.offer(stamp_ns)
        self.wait(lambda: self.counts['fused'] > fused)


@pytest.fixture
def rig(tmp_path):
    rigs = []

    def make(**values):
        rigs.append(Rig(tmp_path, **{k.replace('__', '.'): v for k, v in values.items()}))
        return rigs[-1]

    yield make
    for made in rigs:
        made.worker.stop(DEADLINE_S)


def test_a_cloud_tells_where_and_when(rig):
    made = rig()
    made.see(10 * S, x=1.0)
    made.wait(lambda: made.clouds)
    points, world, stamp_ns = made.clouds[0]
    assert (world, stamp_ns) == ('odom', 10 * S)
    np.testing.assert_allclose(points[:, 2], 2.0, atol=0.02)


def test_no_more_is_fused_than_the_rate_allows(rig):
    made = rig(fusion__max_rate_hz=2.0)
    for tenth in range(10):
        made.poses.put(10 * S + tenth * S // 10)
        made.offer(10 * S + tenth * S // 10)
    made.wait(lambda: made.counts['fused'] == 2)
    assert made.counts['skipped'] == 8


def test_one_without_a_pose_does_not_keep_those_behind_it_waiting(rig):
    made = rig()
    made.offer(5 * S)
    made.see(10 * S)
    assert made.counts['no_pose'] == 0


def test_what_waits_is_bounded(rig):
    made = rig()
    for second in range(25):
        made.offer(second * S + 1)
    assert made.counts['replaced'] == 15


def test_another_world_is_another_surface(rig):
    made = rig(save__on_shutdown=True)
    made.see(10 * S)
    made.see(11 * S)
    made.poses.world = 'map'
    made.see(12 * S, x=50.0)
    assert made.surface.frames == 1
    assert made.saved == [2]
    assert any('world_changed' in line for line in made.told)


@pytest.mark.parametrize(('color', 'count'), [('none', 0), ('raw', 2)])
def test_depth_without_the_color_that_is_wanted_is_fused_and_counted(rig, color, count):
    made = rig(color=color)
    made.see(10 * S)
    made.see(11 * S)
    assert made.counts['no_color'] == count


@pytest.mark.parametrize(('choice', 'frames'), [('restart', 1), ('keep', 2)])
def test_a_clock_that_goes_back_does_what_was_chosen(rig, choice, frames):
    made = rig(time_jump=choice)
    made.see(100 * S)
    made.worker.jumped_back()
    made.see(10 * S)
    assert made.surface.frames == frames


def test_the_first_image_after_a_clock_goes_back_is_of_the_new_surface_however_close(rig):
    made = rig(time_jump='restart')
    for _ in range(5):
        made.see(100 * S)
        made.worker.jumped_back()
        made.see(10 * S)
        assert made.surface.frames == 1
        made.worker.jumped_back()


def test_what_was_chosen_takes_effect_at_once(rig):
    made = rig(pose__max_wait_s=30.0)
    made.offer(5 * S)
    pose = replace(made.settings.pose, max_wait_s=0.0)
    made.settings = replace(made.settings, pose=pose)
    made.wait(lambda: made.counts['no_pose'] == 1)


def test_a_reader_gets_the_surface_between_two_frames(rig):
    made = rig()
    made.see(10 * S)
    with made.worker.surface() as surface:
        assert surface is made.surface
        assert surface.blocks > 0


def test_a_late_listener_gets_the_window_and_then_the_changes(rig):
    made = rig(cloud__mode='changed')
    made.see(10 * S, x=0.0)
    made.wait(lambda: made.clouds)
    made.see(11 * S, x=2.0)
    made.wait(lambda: made.clouds[-1][2] == 11 * S)
    changed = made.clouds[-1][0]
    made.listeners = 2
    count = len(made.clouds)
    made.wait(lambda: len(made.clouds) > count)
    window = made.clouds[count][0]
    assert changed[:, 0].min() > 0.5
    assert window[:, 0].min() < 0.0
    assert len(window) > len(changed)


def begin_again(made):
    """Deactivate the node and activate it."""
    assert made.worker.stop(DEADLINE_S)
    made.clouds.clear()
    made.worker.start()


@pytest.mark.parametrize('mode', ['changed', 'window'])
def test_a_surface_that_goes_on_is_told_with_its_world_and_its_stamp(rig, mode):
    made = rig(cloud__mode=mode)
    made.see(10 * S)
    begin_again(made)
    made.wait(lambda: made.clouds)
    assert made.clouds[0][1:] == ('odom', 10 * S)
    made.see(11 * S)
    assert made.surface.frames == 2


def test_a_world_that_changed_while_nothing_was_fused_is_another_surface(rig):
    made = rig(save__on_shutdown=True)
    made.see(10 * S)
    begin_again(made)
    made.poses.world = 'map'
    made.see(11 * S)
    assert made.surface.frames == 1
    assert made.saved == [1]
    assert any('world_changed' in line for line in made.told)


@pytest.mark.parametrize(('choice', 'frames'), [('restart', 1), ('keep', 2)])
def test_a_clock_that_went_back_while_nothing_was_fused_does_what_was_chosen(rig, choice, frames):
    made = rig(time_jump=choice)
    made.see(100 * S)
    begin_again(made)
    made.offer(10 * S)  # poses of before are forgotten with it
    made.poses.put(10 * S)
    made.wait(lambda: made.counts['fused'] == 2)
    assert made.surface.frames == frames
    assert sum('stamp_backward' in line for line in made.told) == 1


def test_a_clock_that_went_back_just_before_the_end_is_not_forgotten(rig):
    made = rig(time_jump='restart')
    made.see(100 * S)
    made.worker.jumped_back()
    begin_again(made)
    made.see(200 * S)
    assert made.surface.frames == 1


def test_images_that_waited_at_the_end_are_not_fused_later(rig):
    made = rig()
    made.offer(10 * S)
    begin_again(made)
    made.poses.put(10 * S)
    made.see(11 * S)
    made.wait(lambda: made.clouds and made.clouds[-1][2] == 11 * S)
    assert made.counts['fused'] == 1


def test_a_full_disk_costs_what_is_left_behind_and_is_told(rig, monkeypatch):
    made = rig()

    def lose(*frame):
        fuse(*frame)
        raise OSError(errno.ENOSPC, 'No space left on device')

    fuse = made.surface.integrate
    monkeypatch.setattr(made.surface, 'integrate', lose)
    made.see(10 * S)
    assert made.counts['failed'] == 0
    assert any('[save]' in line and 'save.folder' in line for line in made.told)
