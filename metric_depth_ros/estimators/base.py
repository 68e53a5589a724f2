# SPDX-License-Identifier: Apache-2.0
"""The one interface that every depth method has."""

from __future__ import annotations

from typing import Protocol

from metric_depth_ros.types import DepthEstimate, Frame


class Estimator(Protocol):
    """A depth method. Called by one thread at a time."""

    @property
    def name(self) -> str:
        """The specification it was made from, e.g. ``'classical:quality'``."""
        ...

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate the dense depth of one frame.

        Parameters
        ----------
        frame
            Image with camera and prompt, as far as known.

        Returns
        -------
        DepthEstimate
            Depth of the image's size. All NaN when the method cannot know the scale.
        """
        ...
