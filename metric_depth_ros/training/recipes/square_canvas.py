# SPDX-License-Identifier: Apache-2.0
"""For recipes whose network sees a square of every image: examples keep their own sizes.

The image is stretched to the network's canvas, and its answer back to the size of the truth, which
is never resampled (MetricAnything, section 7.3). Torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.networks.images import resized
from metric_depth_ros.networks.pyramid_network import PyramidNetwork
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.recipes.base import Prepared
from metric_depth_ros.training.views import mirrored, random_view, recolored
from metric_depth_ros.types import Frame, SparsePrompt

NEAREST_M = 0.1  # nearer truth counts as this: its inverse would rule the loss


def open_rectifier(head: nn.Module) -> None:
    """Let a head whose last layer is a rectifier answer about 1 before it has learned.

    With a bias of 0 the rectifier is closed everywhere for many seeds (2 of 6 of the teacher, 5 of
    6 of the student, at the sizes of the tests), and nothing is ever learned.
    """
    last: Any = cast(nn.Sequential, head)[-2]
    nn.init.ones_(last.bias)


def drawn_view(
    example: Example, size: tuple[int, int] | None, rng: np.random.Generator, *, augment: bool
) -> Example:
    """Return an example in a window, mirrored, in other colors.

    Parameters
    ----------
    size
        (width, height) of a random window; None for all of it.
    augment
        Mirror and recolor.
    """
    if size is not None:
        example = random_view(example, size, rng, mirror=augment)
    elif augment and rng.random() < 0.5:
        example = mirrored(example)
    return replace(example, image=recolored(example.image, rng)) if augment else example


def prepared_frame(example: Example, prompt: SparsePrompt, *, real: bool, **more: Any) -> Prepared:
    """Return what all of these recipes need: frame and truth."""
    depth = np.ascontiguousarray(example.depth, np.float32)
    truth = np.maximum(depth, np.float32(NEAREST_M))  # NaN stays
    frame = Frame(0, '', np.ascontiguousarray(example.image), example.camera, prompt)
    return Prepared(example, prompt, {'frame': frame, 'truth': truth, 'real': real, **more})


def listed(prepared: Sequence[Prepared]) -> dict[str, Any]:
    """Return a batch of lists."""
    return {name: [one.arrays[name] for one in prepared] for name in prepared[0].arrays}


def canvases(network: nn.Module, frames: Sequence[Frame]) -> Tensor:
    """Return (B, 3, S, S) normalized images on the network's device."""
    bare = cast(PyramidNetwork, getattr(network, 'module', network))
    images = [torch.from_numpy(frame.image).permute(2, 0, 1)[None] for frame in frames]
    return torch.cat([bare.prepare(image) for image in images])


def at_truth(answers: Tensor, batch: Mapping[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's answer (1, H, W), float32, with its truth (1, H, W) in meters."""
    for answer, truth in zip(answers, batch['truth'], strict=True):
        compared = torch.from_numpy(truth).to(answers.device, non_blocking=True)
        yield resized(answer[None].float(), compared.shape)[:, 0], compared[None]


def focal_share(frame: Frame) -> float:
    """Return the horizontal focal length in image widths."""
    assert frame.camera is not None  # examples have one
    return float(frame.camera.K[0, 0]) / frame.image.shape[1]
