# SPDX-License-Identifier: Apache-2.0
"""A network as an `Estimator`: frames that fit together are one batch."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch, Lanes, Runner
from metric_depth_ros.estimators.runtime.onnx_session import is_exported
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, SparsePrompt

Arrays = Mapping[str, NDArray]

_BLANK_STEP = 8  # pixels between the points of the frame that estimators are warmed up with


class Answer(NamedTuple):
    """What an adapter makes of a network's output for one frame.

    Parameters
    ----------
    depth
        (H, W) float32 m, NaN unknown, +Inf beyond range.
    camera
        Recovered from the image, or None; the frame's own camera wins.
    note
        What a reader of `DepthEstimate.method` should know, e.g. ``'no prompt'``.
    confidence
        (H, W) float32 in [0, 1], or None from networks that know nothing of their errors.
    """

    depth: NDArray[np.float32]
    camera: CameraModel | None = None
    note: str = ''
    confidence: NDArray[np.float32] | None = None


class Adapter(ABC):
    """Between frames and one network.

    Attributes
    ----------
    needs_prompt, recovers_camera
        As of an `Estimator`.
    """

    needs_prompt: bool = False
    recovers_camera: bool = False

    @abstractmethod
    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Return the input of frames of one size, all with or all without a camera."""

    @abstractmethod
    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run the network at a multiple of its usual number of tokens; tensors begin with B."""

    @abstractmethod
    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth of one frame from its rows of the outputs."""

    def ready_since_s(self) -> float:
        """Return the same as an `Estimator` does, of one that makes the input."""
        return 0.0


class LearnedEstimator(Estimator):
    """A network that answers frames.

    Parameters
    ----------
    name
        The specification it was made from.
    network
        Loaded network.
    adapter
        Turns frames into its input, and its output into depth.
    options
        How it runs.
    frames_at_once
        How many threads may ask at the same time; each has a copy of the network.
    one_resolution
        Whether the adapter works at one number of tokens only.
    grouped_by
        What the frames of one batch have in common, besides the size of their images and whether
        their cameras are known.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        adapter: Adapter,
        options: EstimatorOptions,
        frames_at_once: int = 1,
        *,
        one_resolution: bool = False,
        grouped_by: Callable[[Frame], Hashable] = lambda _: None,
    ) -> None:
        self.name = name
        self.needs_prompt = adapter.needs_prompt
        self.recovers_camera = adapter.recovers_camera
        self.frames_at_once = frames_at_once
        self._grouped_by = grouped_by
        self._adapter = adapter
        self._exported = is_exported(network)
        # Copied first, for a runner changes its network.
        networks = [network, *(copy.deepcopy(network) for _ in range(frames_at_once - 1))]
        self._lanes = Lanes(
            [
                Runner(each, adapter.infer, options, one_resolution=one_resolution)
                for each in networks
            ]
        )

    def warm_up(self, width: int, height: int) -> None:
        """Run on a blank image of a size, as often as the runner needs it to be at its fastest."""
        self._lanes.warm_up(self._adapter.batch([_blank_frame(width, height)]))

    def ready_since_s(self) -> float:
        """Return since when neither a runner nor what makes its input compiles."""
        return max(self._adapter.ready_since_s(), self._lanes.ready_since_s())

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate one frame."""
        return self.estimate_batch([frame])[0]

    def estimate_batch(self, frames: Sequence[Frame]) -> list[DepthEstimate]:
        """Estimate frames; those of one size are one batch, whatever their focal lengths."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index, frame in enumerate(frames):
            key = (frame.image.shape, frame.camera is None, self._grouped_by(frame))
            groups[key].append(index)
        estimates: dict[int, DepthEstimate] = {}
        with self._lanes.taken() as runner:
            for indices in groups.values():
                together = self._estimate_group(runner, [frames[index] for index in indices])
                estimates.update(zip(indices, together, strict=True))
        return [estimates[index] for index in range(len(frames))]

    def features(self, frame: Frame) -> NDArray[np.float32]:
        """Return what the encoder knows of every patch of a frame's image, (N, C), row-major.

        Raises
        ------
        InputError
            The network has no encoder of patches, or is an exported file, which has no parts.
        """
        from metric_depth_ros.networks.patch_features import patch_features

        if self._exported:
            raise InputError(
                'features',
                f'{self.name} runs an exported file, which gives depth and no features: set '
                'backend to torch (parameter model.backend, option --backend), with a checkpoint '
                'as weights.',
            )
        with self._lanes.taken() as runner, torch.inference_mode():
            device = next(runner.network.parameters()).device
            found = patch_features(runner.network, image_tensor([frame]).to(device))
        return np.asarray(found[0].float().cpu().numpy())

    def _estimate_group(self, runner: Runner, frames: Sequence[Frame]) -> list[DepthEstimate]:
        start = time.perf_counter()
        batch = self._adapter.batch(frames)
        prepared = time.perf_counter()
        outcome = runner.run(batch)
        arrays = {name: tensor.numpy() for name, tensor in outcome.outputs.items()}
        inferred = time.perf_counter()
        answers = [
            self._adapter.answer(frame, {name: array[i] for name, array in arrays.items()})
            for i, frame in enumerate(frames)
        ]
        timings_ms = {
            'prepare': 1e3 * (prepared - start),
            'network': 1e3 * (inferred - prepared),
            'estimator': 1e3 * (time.perf_counter() - start),
        }
        return [
            DepthEstimate(
                answer.depth,
                answer.confidence,
                frame.camera or answer.camera,
                self._method(answer.note, outcome.note),
                timings_ms,
            )
            for frame, answer in zip(frames, answers, strict=True)
        ]

    def _method(self, *notes: str) -> str:
        said = ', '.join(note for note in notes if note)
        return f'{self.name} ({said})' if said else self.name


def _blank_frame(width: int, height: int) -> Frame:
    """Return a gray frame with a camera and a prompt as dense as that of a LiDAR."""
    row, column = np.mgrid[:height:_BLANK_STEP, :width:_BLANK_STEP]
    uv = np.stack((column.ravel(), row.ravel()), axis=1).astype(np.float32)
    depth = np.ones(len(uv), np.float32)
    prompt = SparsePrompt(uv, depth, depth, np.zeros(len(uv), np.uint8))
    image = np.full((height, width, 3), 127, np.uint8)
    return Frame(0, '', image, centered_pinhole(width, height, float(width)), prompt)


def image_tensor(frames: Sequence[Frame]) -> Tensor:
    """Return (B, 3, H, W) uint8 RGB."""
    return torch.from_numpy(np.stack([frame.image for frame in frames])).permute(0, 3, 1, 2)


def focal_tensor(frames: Sequence[Frame]) -> Tensor | None:
    """Return (B,) horizontal focal lengths in pixels, None for frames without cameras."""
    focal_px = [frame.camera.K[0, 0] for frame in frames if frame.camera is not None]
    return torch.tensor(focal_px, dtype=torch.float32) if focal_px else None


def prompt_maps(frames: Sequence[Frame]) -> Tensor:
    """Return (B, H, W) float32 m, NaN where the prompt has no point."""
    height, width = frames[0].image.shape[:2]
    nothing = np.full((height, width), np.nan, np.float32)
    return torch.from_numpy(
        np.stack([nothing if f.prompt is None else f.prompt.to_map(width, height) for f in frames])
    )


def has_prompt(frame: Frame) -> bool:
    """Whether a frame has any prompt point."""
    return frame.prompt is not None and len(frame.prompt) > 0


def centered_pinhole(width: int, height: int, focal_px: float) -> CameraModel | None:
    """Return the camera of a recovered focal length, None when it is not one."""
    if not (np.isfinite(focal_px) and focal_px > 0.0):
        return None
    center = 0.5 * (width - 1), 0.5 * (height - 1)
    return CameraModel.pinhole(width, height, float(focal_px), float(focal_px), *center)


def masked_depth(depth: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return depth with +Inf where a network sees no surface, NaN where its answer is no number.

    Parameters
    ----------
    depth
        (H, W) m, NaN where it is not positive: what is that near must not be taken for far.
    mask
        (H, W) probability that there is a surface.
    """
    nothing = np.where(np.isnan(mask), np.float32(np.nan), np.float32(np.inf))
    return np.where(mask > 0.5, depth, nothing)


def mask_confidence(depth: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how sure a network is of what it says of each pixel: a surface, or none (+Inf).

    It says nothing about the error of the depth.

    Parameters
    ----------
    depth
        (H, W) m, +Inf where the network sees no surface.
    mask
        (H, W) probability that there is one.
    """
    sure = np.where(np.isposinf(depth), 1.0 - mask, mask)
    return np.where(np.isnan(depth + mask), np.float32(0.0), sure).astype(np.float32)


def beyond_limit(depth: NDArray[np.float32], limit_m: float) -> NDArray[np.float32]:
    """Return the depth with +Inf where the network's range ends, which only means "far"."""
    return np.where(depth >= 0.999 * limit_m, np.float32(np.inf), depth)
