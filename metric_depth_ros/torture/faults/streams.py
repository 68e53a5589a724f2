# SPDX-License-Identifier: Apache-2.0
"""Streams that fall silent, swell, or come from a sensor that is not where it is said to be."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from metric_depth_ros.codecs.image import decode_depth
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.good_stream import (
    CALIBRATION,
    WALL_M,
    cloud,
    frame,
    set_stamp,
    wall,
)
from metric_depth_ros.torture.rig import PERIOD_S, NotObservedError, Rig

_BURST_S = 1.0
_SIZES = ((64, 48), (640, 480), (1920, 1080), (3840, 2160), (7680, 4320), (640, 480), (64, 48))
_MANY_POINTS = 5_000_000
_ATTEMPTS = 20  # inputs are best effort: one may be lost


def _without_points(rig: Rig, seconds: float, every: int) -> str:
    """Send images for a while; only each `every`-th has a cloud, none where that is 0."""
    since, began_s, sent, unknown = rig.log_position(), time.monotonic(), 0, 0
    rig.pause_stream()
    try:
        while time.monotonic() - began_s < seconds:
            stamp = rig.now_ns()
            messages = frame(stamp)
            has_points = bool(every) and sent % every == 0
            topics = ('camera_info', 'points', 'image') if has_points else ('camera_info', 'image')
            rig.send(messages, topics)
            sent += 1
            answer = rig.until(partial(rig.answer_of, stamp), 'an answer without points', 3.0)
            unknown += bool(np.isnan(decode_depth(answer)).all())
            time.sleep(PERIOD_S)
    finally:
        rig.resume_stream()
    rig.sees_log('/points [', since)
    if not unknown:
        raise NotObservedError('no frame without a prompt')
    return f'{sent} images answered, {unknown} of them with unknown depth; /points reported'


def _out_of_order(rig: Rig) -> str:
    """Send the cloud of an image after a later one; they are of walls at different distances."""
    near, far = wall(300), wall(300)
    far[:, 0] *= 1.6
    rig.pause_stream()
    try:
        for _ in range(_ATTEMPTS):
            stamp = rig.now_ns()
            for xyz, after_s in ((far, 0.05), (near, 0.0)):
                message = cloud(xyz)
                message.header.frame_id = 'lidar'
                set_stamp(message, stamp + round(after_s * NS_PER_S))
                rig.send({'points': message})
            rig.send(frame(stamp), ('camera_info', 'image'))
            time.sleep(2 * PERIOD_S)
            answer = rig.answer_of(stamp)
            if answer is not None:
                depth_m = float(np.nanmedian(decode_depth(answer)))
                if abs(depth_m - WALL_M) > 0.1:
                    raise NotObservedError(f'depth {depth_m:.2f} m, that of another cloud')
                return f'depth {depth_m:.2f} m, that of the cloud of its stamp'
    finally:
        rig.resume_stream()
    raise NotObservedError('no answer')


def _camera_silent(rig: Rig) -> str:
    rig.pause_stream()
    try:
        time.sleep(0.2)
        before = rig.answered_count()
        sentence = rig.until(lambda: rig.health_says('/image silent'), 'report of /image')
        if rig.answered_count() != before:
            raise NotObservedError('frames were answered that were not sent')
    finally:
        rig.resume_stream()
    return str(sentence)


def _burst(rig: Rig) -> str:
    before, began_s, sent = rig.answered_count(), time.monotonic(), 0
    while time.monotonic() - began_s < _BURST_S:
        rig.send_good()
        sent += 1
        time.sleep(PERIOD_S / 10)
    answered = rig.until(lambda: rig.answered_count() - before, 'answer to the burst')
    return f'{sent} frames in {_BURST_S:g} s, {answered} answered meanwhile'


def _growing(rig: Rig) -> str:
    seen = []
    for width, height in _SIZES:

        def answered(width: int = width, height: int = height) -> bool:
            stamp = rig.now_ns()
            rig.send(frame(stamp, width, height))
            limit_s = time.monotonic() + 0.5 + width * height / 2e6
            while time.monotonic() < limit_s and rig.answer_of(stamp) is None:
                time.sleep(0.02)
            message = rig.answer_of(stamp)
            return message is not None and (message.width, message.height) == (width, height)

        rig.pause_stream()
        try:
            found = any(answered() for _ in range(3))
        finally:
            rig.resume_stream()
        seen.append(f'{width}x{height} {"answered" if found else "lost on the way"}')
        if not found and width < 3840:
            raise NotObservedError(f'no depth of {width}x{height}')
    return ', '.join(seen)


def _large_cloud(rig: Rig) -> str:
    since = rig.log_position()
    xyz = np.zeros((_MANY_POINTS, 3), np.float32)
    xyz[:, 0] = 5.0
    message = cloud(xyz)
    message.header.frame_id = 'lidar'
    messages = frame(rig.now_ns())
    messages['points'] = message
    for _ in range(4):
        stamp = rig.now_ns()
        set_stamp(message, stamp)
        rig.send({'points': message, **frame(stamp)}, ('points', 'camera_info', 'image'))
        try:
            return rig.sees_log('/points [cloud_too_large]', since, 3.0).partition(']: ')[2]
        except NotObservedError:
            continue
    return 'lost on the way (60 MB do not fit into the shared-memory segment); frames go on'


def _wrong_calibration(rig: Rig) -> str:
    path = rig.folder / 'calibration.yaml'
    since = rig.log_position()
    turned = CALIBRATION.replace(
        '[0, -1, 0, 0], [0, 0, -1, 0], [1,', '[0, 1, 0, 0], [0, 0, -1, 0], [-1,'
    )
    path.write_text(turned, encoding='utf-8')
    try:
        return rig.sees_log('/points [cloud_not_in_view]', since).partition(']: ')[2]
    finally:
        path.write_text(CALIBRATION, encoding='utf-8')


def _broken_calibration(rig: Rig) -> str:
    path = rig.folder / 'calibration.yaml'
    path.write_text('transforms: [', encoding='utf-8')
    try:
        began_s = time.monotonic()
        rig.wait_recovered(began_s + 1.0)
    finally:
        path.write_text(CALIBRATION, encoding='utf-8')
    return 'frames go on with the calibration that was read before'


FAULTS: tuple[Fault, ...] = (
    Fault('streams', 'LiDAR silent for 1 s', 'images answered with unknown depth, reported',
          lambda rig: _without_points(rig, 1.0, 0)),
    Fault('streams', 'LiDAR silent for good', 'the same, for as long as it lasts',
          lambda rig: _without_points(rig, 10.0, 0), is_quick=False),
    Fault('streams', 'LiDAR flapping', 'every image answered',
          lambda rig: _without_points(rig, 2.0, 5), is_quick=False),
    Fault('streams', 'clouds out of order', 'each image with the cloud of its stamp',
          _out_of_order),
    Fault('streams', 'camera silent', 'diagnostics name the topic', _camera_silent),
    Fault('streams', 'ten times the rate', 'newer replaces older, frames go on', _burst),
    Fault('streams', 'images growing to 8K and shrinking', 'depth of the size of each image',
          _growing, is_quick=False),
    Fault('streams', 'cloud of 5 million points', 'refused by name (prompt.max_points)',
          _large_cloud, is_quick=False),
    Fault('streams', 'calibration that turns the LiDAR round', 'reported as not in view',
          _wrong_calibration, is_quick=False),
    Fault('streams', 'calibration file damaged while running', 'the old one stays',
          _broken_calibration, is_quick=False),
)  # fmt: skip
