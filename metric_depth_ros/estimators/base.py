# SPDX-License-Identifier: Apache-2.0
"""The one interface that every depth method has, and what some can do besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from metric_depth_ros.types import DepthEstimate, Frame


class Estimator(Protocol):
    """A depth method. Called by one thread at a time, unless `frames_at_once` says more."""

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


@runtime_checkable
class Speaker(Protocol):
    """A method that answers questions about a frame in words."""

    def answer(self, frame: Frame, question: str, most_tokens: int) -> str:
        """Return what it says.

        Parameters
        ----------
        frame
            Image with camera.
        question
            In plain words; what would be read as markup is not.
        most_tokens
            After how many tokens the answer is cut off.

        Raises
        ------
        InputError
            `camera_missing`.
        """
        ...


def estimate_batch(estimator: Estimator, frames: Sequence[Frame]) -> list[DepthEstimate]:
    """Estimate several frames, e.g. of several cameras: at once where the method can do that."""
    together = getattr(estimator, 'estimate_batch', None)
    if together is not None:
        return list(together(frames))
    return [estimator.estimate(frame) for frame in frames]


def warm_up(estimator: Estimator, width: int, height: int) -> None:
    """Let a method compile, allocate and fill caches for images of a size, if it has to."""
    prepare = getattr(estimator, 'warm_up', None)
    if prepare is not None:
        prepare(width, height)


def frames_at_once(estimator: Estimator) -> int:
    """Return how many threads may call a method at the same time, each with its own frame."""
    return int(getattr(estimator, 'frames_at_once', 1))


def recovers_camera(estimator: Estimator) -> bool:
    """Whether the method finds the intrinsics of a frame that comes without a camera."""
    return bool(getattr(estimator, 'recovers_camera', False))


def needs_prompt(estimator: Estimator) -> bool:
    """Whether the method knows no depth at all of a frame without a prompt."""
    return bool(getattr(estimator, 'needs_prompt', False))
