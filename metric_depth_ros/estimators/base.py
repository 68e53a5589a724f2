# SPDX-License-Identifier: Apache-2.0
"""The one interface that every depth method has, and what some can do besides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from metric_depth_ros.types import DepthEstimate, Frame


class Estimator(ABC):
    """A depth method. Called by one thread at a time, unless `frames_at_once` says more.

    A method declares its abilities by overriding the attributes below; one that wraps another
    method decides for each whether to forward the inner one's.

    Attributes
    ----------
    name
        The specification it was made from, e.g. ``'classical:quality'``.
    needs_prompt
        Whether the method knows no depth at all of a frame without a prompt.
    recovers_camera
        Whether the method finds the intrinsics of a frame that comes without a camera.
    frames_at_once
        How many threads may call the method at the same time, each with its own frame.
    """

    name: str
    needs_prompt: bool = False
    recovers_camera: bool = False
    frames_at_once: int = 1

    @abstractmethod
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

    def estimate_batch(self, frames: Sequence[Frame]) -> list[DepthEstimate]:
        """Estimate several frames, e.g. of several cameras: at once where the method can do it."""
        return [self.estimate(frame) for frame in frames]

    def estimate_at(self, frame: Frame, pixels: Sequence[tuple[int, int]]) -> DepthEstimate:
        """Estimate depth of which only pixels (u, v) count: the others need not be known."""
        return self.estimate(frame)

    def warm_up(self, width: int, height: int) -> None:
        """Compile, allocate and fill caches for images of a size, if the method has to."""
        return

    def ready_since_s(self) -> float:
        """Return when preparation (compilation, warm-up) last ended, in monotonic seconds.

        That is 0 where there is none, and inf while it runs.
        """
        return 0.0

    def unmasked(self) -> Estimator:
        """Return the method that gives depth where this one sees no surface, sky too."""
        return self


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


@dataclass(frozen=True)
class PixelAnswer:
    """What a method says of one pixel.

    Parameters
    ----------
    pixel
        (u, v) of the frame's image.
    distance
        m from the camera's center, NaN where the answer states none.
    point
        (x, y, z) m in the optical frame, NaN likewise.
    text
        The answer; empty where the pixel could not be asked about.
    failure
        Why there is no distance; empty where there is one.
    """

    pixel: tuple[int, int]
    distance: float
    point: tuple[float, float, float]
    text: str
    failure: str


@runtime_checkable
class PixelSpeaker(Protocol):
    """A method that is asked about single pixels in words."""

    def query(self, frame: Frame, pixels: Sequence[tuple[int, int]]) -> list[PixelAnswer]:
        """Ask about pixels; answers are in their order.

        Parameters
        ----------
        frame
            Image with camera.
        pixels
            (u, v) of the image.

        Raises
        ------
        InputError
            `camera_missing`, or `pixel_outside` of the image.
        """
        ...
