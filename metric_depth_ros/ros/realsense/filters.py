# SPDX-License-Identifier: Apache-2.0
"""librealsense's filters of depth, as the parameters want them. Knows no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_depth_ros.ros.realsense.parameters import FilterSettings


class DepthFilters:
    """The filters of one camera.

    Parameters
    ----------
    rs
        The module pyrealsense2.
    stereo
        Depth comes from two eyes. The spatial and the temporal filter then work on disparity,
        whose noise is the same near and far.
    """

    def __init__(self, rs: Any, *, stereo: bool) -> None:
        self._rs = rs
        self._stereo = stereo
        self._settings: FilterSettings | None = None
        self._chain: list[Any] = []

    def apply(self, frames: Any, settings: FilterSettings) -> Any:
        """Return a frameset with filtered depth and everything else as it is.

        Settings that differ from the last ones begin a new chain, in which the temporal filter
        has seen nothing yet.
        """
        if settings != self._settings:
            self._chain = _chain(self._rs, settings, self._stereo)
            self._settings = settings
        for block in self._chain:
            frames = block.process(frames).as_frameset()
        return frames


def _chain(rs: Any, settings: FilterSettings, stereo: bool) -> list[Any]:
    """Return the filters that are enabled, in librealsense's recommended order."""
    option = rs.option
    smoothing = []
    if settings.spatial.enable:
        spatial = settings.spatial
        smoothing.append(
            _with(
                rs.spatial_filter(),
                {
                    option.filter_magnitude: spatial.magnitude,
                    option.filter_smooth_alpha: spatial.alpha,
                    option.filter_smooth_delta: spatial.delta,
                    option.holes_fill: spatial.fill,
                },
            )
        )
    if settings.temporal.enable:
        temporal = settings.temporal
        smoothing.append(
            _with(
                rs.temporal_filter(),
                {
                    option.filter_smooth_alpha: temporal.alpha,
                    option.filter_smooth_delta: temporal.delta,
                    option.holes_fill: temporal.persistence,
                },
            )
        )
    if smoothing and stereo:
        smoothing = [rs.disparity_transform(True), *smoothing, rs.disparity_transform(False)]
    chain = []
    if settings.decimation.enable:
        magnitude = {option.filter_magnitude: settings.decimation.magnitude}
        chain.append(_with(rs.decimation_filter(), magnitude))
    if settings.threshold.enable:
        limits = settings.threshold
        chain.append(rs.threshold_filter(limits.min_m, limits.max_m))
    chain += smoothing
    if settings.hole_filling.enable:
        mode = {option.holes_fill: settings.hole_filling.mode}
        chain.append(_with(rs.hole_filling_filter(), mode))
    return chain


def _with(block: Any, options: Mapping[Any, float]) -> Any:
    for option, value in options.items():
        block.set_option(option, float(value))
    return block
