# SPDX-License-Identifier: Apache-2.0
"""Framesets of one opened camera as pictures: filtered, aligned, stamped. Knows no ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from metric_depth_ros.ros.realsense.clock import RosStamps
from metric_depth_ros.ros.realsense.counts import FrameCounts
from metric_depth_ros.ros.realsense.device import OpenCamera
from metric_depth_ros.ros.realsense.filters import DepthFilters
from metric_depth_ros.ros.realsense.frames import Picture, PictureReader
from metric_depth_ros.ros.realsense.parameters import RealsenseSettings


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture of a frameset.

    Parameters
    ----------
    name
        ``'color'``, ``'depth'`` or ``'aligned_depth'``.
    picture
        The picture.
    stamp_ns
        ROS time.
    """

    name: str
    picture: Picture
    stamp_ns: int

    @property
    def optical(self) -> str:
        """Whose optical frame it lies in, ``'color'`` or ``'depth'``."""
        return 'depth' if self.name == 'depth' else 'color'


class ShotReader:
    """Reads framesets of a camera.

    Parameters
    ----------
    rs
        The module pyrealsense2.
    camera
        The camera.
    settings
        What was asked for when it was opened.
    now_ns
        Clock of the node (ROS time).
    counts
        Where frames are counted.
    """

    def __init__(
        self,
        rs: Any,
        camera: OpenCamera,
        settings: RealsenseSettings,
        now_ns: Callable[[], int],
        counts: FrameCounts,
    ) -> None:
        playback = settings.playback
        self._filters = DepthFilters(rs, stereo=camera.is_stereo)
        self._align = rs.align(rs.stream.color)
        self._reader = PictureReader()
        self._counts = counts
        self._stamps = RosStamps(
            now_ns,
            as_they_are=camera.is_recording
            and (playback.recorded_stamps or not playback.real_time),
            recorded=camera.is_recording,
        )

    def read(
        self, frames: Any, settings: RealsenseSettings, wanted: Callable[[str], bool]
    ) -> Iterator[Shot]:
        """Yield the new pictures of a frameset, color last: with it the others are complete.

        Parameters
        ----------
        frames
            The frameset.
        settings
            In force now: filters may change.
        wanted
            Tells of a picture whether anybody takes it; what nobody takes is not computed.

        Raises
        ------
        InputError
            A picture that cannot be read.
        """
        color, depth = frames.get_color_frame(), frames.get_depth_frame()
        # A stream that is slower, or stalls, repeats its last frame: its stamp is not of now.
        new = {
            name: frame
            for name, frame in (('depth', depth), ('color', color))
            if frame and self._is_new(name, frame)
        }
        stamps = self._stamps.stamps_ns(
            *((f.get_timestamp(), f.get_frame_timestamp_domain().name) for f in new.values())
        )
        stamps_ns = dict(zip(new, stamps, strict=True))
        if 'depth' in new:
            stamp_ns = stamps_ns['depth']
            aligned = color and settings.depth.align_to_color and wanted('aligned_depth')
            if wanted('depth') or aligned:
                filtered = self._filters.apply(frames, settings.filters)
                picture = self._reader.depth(filtered.get_depth_frame())
                yield Shot('depth', picture, stamp_ns)
                if aligned:
                    laid = self._align.process(filtered).get_depth_frame()
                    yield Shot('aligned_depth', self._reader.depth(laid), stamp_ns)
        if 'color' in new and wanted('color'):
            yield Shot('color', self._reader.color(color), stamps_ns['color'])

    def _is_new(self, stream: str, frame: Any) -> bool:
        return self._counts.count(stream, frame.get_frame_number(), frame.get_timestamp())
