# SPDX-License-Identifier: Apache-2.0
"""DepthVLM: metric depth of one image by a language model that sees, which can be asked as well.

A frame becomes a text with an image in it; every frame is a pass of its own. Imports torch and
transformers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.learned.known_camera import camera_of
from metric_depth_ros.estimators.learned.language import (
    MOST_TOKENS,
    load_tokenizer,
    plain_words,
    refuse_options,
)
from metric_depth_ros.estimators.learned.loading import network_from, read_weights
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch, Runner
from metric_depth_ros.networks.depthvlm import DepthVlm, Prompted
from metric_depth_ros.networks.depthvlm_images import MERGE, PATCH_PX, patches, see
from metric_depth_ros.networks.depthvlm_text import END_TOKEN, IMAGE_TOKEN, PROMPT, rendered
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame

NAME, NAME_8B = 'depthvlm', 'depthvlm_8b'


@dataclass(frozen=True, eq=False)
class Reply:
    """What the model says of a frame, and its depth, of one pass.

    Parameters
    ----------
    text
        The answer.
    depth
        (H, W) m along the optical axis.
    """

    text: str
    depth: NDArray[np.float32]


def create(options: EstimatorOptions, name: str = NAME) -> DepthVlmEstimator:
    """Make the estimator.

    Raises
    ------
    InputError
        Options that the model does not have, or a checkpoint that is not to be had.
    """
    refuse_options(name, options)
    checkpoint = read_weights(name, options)
    tokenizer = load_tokenizer(checkpoint.path)
    network = cast(DepthVlm, network_from(name, checkpoint))
    return DepthVlmEstimator(name, network, tokenizer, options)


class DepthVlmEstimator(Estimator):
    """The language model as an `Estimator`.

    Parameters
    ----------
    name
        The specification it was made from.
    network
        Loaded network, on the CPU.
    tokenizer
        Its tokenizer.
    options
        How it runs.
    """

    def __init__(
        self, name: str, network: DepthVlm, tokenizer: Any, options: EstimatorOptions
    ) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._image_token = network.image_token
        self._end = frozenset({_only_token(tokenizer, END_TOKEN)})
        if _only_token(tokenizer, IMAGE_TOKEN) != network.image_token:
            raise InputError(
                'checkpoint_config',
                f'the tokenizer has {IMAGE_TOKEN} at {_only_token(tokenizer, IMAGE_TOKEN)}, the '
                f'network at {network.image_token}: they are of different models.',
            )
        self._runner = Runner(network, self._infer, options, one_resolution=True)

    def warm_up(self, width: int, height: int) -> None:
        """Run on a blank image of a size, seen at an ordinary focal length."""
        focal_px = float(max(width, height))
        camera = CameraModel.pinhole(width, height, focal_px, focal_px, width / 2, height / 2)
        image = np.full((height, width, 3), 127, np.uint8)
        self._runner.warm_up(self._batch(Frame(0, '', image, camera), PROMPT, 0))

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate one frame.

        Raises
        ------
        InputError
            `camera_missing`, without which no focal length could be made 1000 pixels.
        """
        start = time.perf_counter()
        batch = self._batch(frame, PROMPT, 0)
        prepared = time.perf_counter()
        outcome = self._runner.run(batch)
        depth = _at_image_size(outcome.outputs['depth'][0], frame)
        timings_ms = {
            'prepare': 1e3 * (prepared - start),
            'estimator': 1e3 * (time.perf_counter() - start),
        }
        method = f'{self.name} ({outcome.note})' if outcome.note else self.name
        return DepthEstimate(depth, None, frame.camera, method, timings_ms)

    def ask(self, frame: Frame, question: str, most_tokens: int = MOST_TOKENS) -> Reply:
        """Ask something about a frame; the depth is of the pass that reads the question.

        Parameters
        ----------
        frame
            Image with camera.
        question
            In plain words.
        most_tokens
            After how many tokens the answer is cut off.
        """
        batch = self._batch(frame, plain_words(question, self._tokenizer), most_tokens)
        outputs = self._runner.run(batch).outputs
        tokens = [token for token in outputs['answer'][0].tolist() if token >= 0]
        text = self._tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return Reply(text, _at_image_size(outputs['depth'][0], frame))

    def answer(self, frame: Frame, question: str, most_tokens: int = MOST_TOKENS) -> str:
        """Return the words alone of what `ask` returns."""
        return self.ask(frame, question, most_tokens).text

    def _batch(self, frame: Frame, question: str, most_tokens: int) -> Batch:
        pixels = see(frame.image, float(camera_of(self.name, frame).K[0, 0])).pixels
        rows, columns = _grid(pixels)
        text = rendered(question, image_tokens=rows * columns)
        ids = self._tokenizer(text, return_tensors='pt', add_special_tokens=False)['input_ids']
        if int((ids == self._image_token).sum()) != rows * columns:
            raise InputError(
                'checkpoint_config', 'the tokenizer does not keep image tokens as they are.'
            )
        most = torch.tensor([most_tokens])
        return Batch(pixels[None], prompts={'input_ids': ids, 'most_tokens': most})

    def _infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run one frame; the answer is padded with -1 to the tokens that were asked for."""
        model = cast(DepthVlm, network)
        dtype = next(network.parameters()).dtype
        ids = batch.prompts['input_ids']
        rows, columns = _grid(batch.images[0])
        prompted = Prompted(
            patches(batch.images[0]).to(dtype),
            ids.new_tensor([[1, MERGE * rows, MERGE * columns]]),
            ids,
            torch.ones_like(ids),
        )
        most_tokens = int(batch.prompts['most_tokens'])
        if not most_tokens:
            return {'depth': model(prompted)[0].depth[None]}
        (output,), (answer,) = model.respond(prompted, most_tokens, self._end)
        padded = answer + [-1] * (most_tokens - len(answer))
        return {'depth': output.depth[None], 'answer': ids.new_tensor([padded])}


def _at_image_size(depth: Tensor, frame: Frame) -> NDArray[np.float32]:
    """Resize a depth to its frame; a focal length was changed with the size, so depth is kept."""
    height, width = frame.image.shape[:2]
    found = cv2.resize(depth.float().numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(found > 0.0, found, np.float32(np.nan)).astype(np.float32)


def _grid(pixels: Tensor) -> tuple[int, int]:
    """Return rows and columns of the tokens of (3, H, W) pixels."""
    height, width = pixels.shape[-2:]
    return height // (MERGE * PATCH_PX), width // (MERGE * PATCH_PX)


def _only_token(tokenizer: Any, text: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(text))
