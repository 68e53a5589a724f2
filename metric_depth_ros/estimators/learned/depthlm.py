# SPDX-License-Identifier: Apache-2.0
"""DepthLM: the distance of single pixels, asked of a language model that sees.

Every pixel is an image with an arrow in it and an answer in words. What states no distance is a
failure and stays NaN. Models and their texts are those of transformers, unchanged. Imports torch
and transformers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForImageTextToText

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, PixelAnswer
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.learned.known_camera import camera_of
from metric_depth_ros.estimators.learned.language import (
    MOST_TOKENS,
    load_tokenizer,
    plain_words,
    refuse_options,
)
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.provenance import note_device, note_weights
from metric_depth_ros.estimators.runtime.precision import DTYPES, chosen_precision
from metric_depth_ros.estimators.runtime.settings import is_out_of_memory
from metric_depth_ros.networks.checkpoint_files import first_line, refuse_not_finite
from metric_depth_ros.networks.depthlm_images import MARKER_PX, UnifiedImage, unify
from metric_depth_ros.networks.depthlm_text import (
    QUESTION,
    pixtral_prompt,
    qwen_prompt,
    read_distance,
)
from metric_depth_ros.networks.model_folder import (
    CONFIG,
    read_config,
    refuse_claims,
    resolve_folder,
    weight_files,
)
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame

NAME = 'depthlm'
USUAL_QUERIES = 48
FOCAL_KEY = 'depthlm_focal_px'  # of the checkpoint's configuration

_FULL = 'out_of_memory'
_MOST_TOKENS_OF_A_DISTANCE = 96
_QUERIES_AT_ONCE = 8
_MOST_QUERIES = 100_000
_FOCAL_LIMITS_PX = 50.0, 10_000.0


@dataclass(frozen=True)
class _Family:
    """What differs between the language models that DepthLM was made of.

    Parameters
    ----------
    focal_px
        Focal length that images were given in training, where the weights do not say another.
    prompt
        Returns a question as the model is asked it, with one image token.
    image_token
        What stands for the image in it.
    """

    focal_px: float
    prompt: Callable[[str], str]
    image_token: str


# Told by the configuration, never by the name of a folder.
_FAMILIES: Mapping[str, _Family] = {
    'llava': _Family(750.0, pixtral_prompt, '[IMG]'),
    'qwen2_5_vl': _Family(1000.0, qwen_prompt, '<|image_pad|>'),
}


def create(options: EstimatorOptions, variant: str = '') -> DepthLmEstimator:
    """Make the estimator.

    Parameters
    ----------
    options
        Where the weights are, and on which device and in which precision it runs.
    variant
        How many pixels of a frame it is asked about; empty for 48.

    Raises
    ------
    InputError
        Options that the model does not have, or a checkpoint that is not to be had.
    """
    refuse_options(NAME, options)
    folder = resolve_folder(
        options.weights_of(NAME) or MODELS[NAME].repository, options.revision or None
    )
    note_weights(NAME, lambda: folder.name)
    note_device(torch_device(options.device).type)
    return DepthLmEstimator(folder, options, _queries(variant))


class DepthLmEstimator(Estimator):
    """The language model as an `Estimator`: depth at a grid of pixels, NaN between them.

    Parameters
    ----------
    folder
        Checkpoint, tokenizer and image processor.
    options
        Device and precision.
    queries
        About how many pixels of a frame it is asked.
    """

    def __init__(
        self, folder: Path, options: EstimatorOptions, queries: int = USUAL_QUERIES
    ) -> None:
        self.name = NAME if queries == USUAL_QUERIES else f'{NAME}:{queries}'
        self._queries = queries
        self._at_once = _QUERIES_AT_ONCE
        config = read_config(folder)  # which transformers reads for the tokenizer, too
        stated_focal_px = _stated_focal_px(folder, config)
        self._tokenizer = load_tokenizer(folder)
        self._processor, self._model = load_model(folder)
        self._family = _FAMILIES[self._model.config.model_type]
        self.focal_px = stated_focal_px or self._family.focal_px
        device = torch_device(options.device)
        _settle(self._model, device, chosen_precision(options.precision, device))

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Ask about a grid of pixels; the others, and those without an answer, are NaN."""
        return self.estimate_at(frame, grid(frame.image.shape[1::-1], self._queries))

    def estimate_at(self, frame: Frame, pixels: Sequence[tuple[int, int]]) -> DepthEstimate:
        """Ask about pixels (u, v), several at once; the others are NaN."""
        start = time.perf_counter()
        answers = self.query(frame, pixels)
        depth = np.full(frame.image.shape[:2], np.nan, np.float32)
        for answer in answers:
            depth[answer.pixel[1], answer.pixel[0]] = answer.point[2]
        failed = sum(bool(answer.failure) for answer in answers)
        said = f'{len(answers)} pixels asked about'
        said += f', {failed} without a distance' if failed else ''
        timings_ms = {'estimator': 1e3 * (time.perf_counter() - start)}
        return DepthEstimate(depth, None, frame.camera, f'{self.name} ({said})', timings_ms)

    def query(self, frame: Frame, pixels: Sequence[tuple[int, int]]) -> list[PixelAnswer]:
        """Ask about pixels (u, v), several at once, as `PixelSpeaker` has it."""
        camera = camera_of(NAME, frame)
        _refuse_outside(frame, pixels)
        unified = self._unified(frame.image, camera)
        askable = [p for p in pixels if unified.can_be_marked(unified.pixel(p))]
        texts = dict(zip(askable, self._texts(unified, askable), strict=True))
        return [_answer(camera, pixel, texts.get(pixel)) for pixel in pixels]

    def cloud(self, frame: Frame, pixels: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return (N, 3) m in the optical frame of the pixels that have a distance."""
        points = [a.point for a in self.query(frame, pixels) if not a.failure]
        return np.asarray(points, np.float32).reshape(-1, 3)

    def answer(self, frame: Frame, question: str, most_tokens: int = MOST_TOKENS) -> str:
        """Return what the model says to any question about a frame; no pixel is marked.

        It was trained to state distances: of other questions it knows what it was made from.

        Raises
        ------
        InputError
            `camera_missing`, or `out_of_memory`.
        """
        image = self._unified(frame.image, camera_of(NAME, frame)).resized
        question = plain_words(question, self._tokenizer)
        return self._ask([image], question, most_tokens)[0].strip()

    def _unified(self, image: NDArray[np.uint8], camera: CameraModel) -> UnifiedImage:
        K = camera.K
        intrinsics = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
        return unify(image, intrinsics, self.focal_px)

    def _texts(self, unified: UnifiedImage, pixels: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Yield the answers; fewer are asked for at once where memory does not hold as many."""
        asked = 0
        while asked < len(pixels):
            together = pixels[asked : asked + self._at_once]
            try:
                images = [unified.marked(unified.pixel(p)) for p in together]
                texts = self._ask(images, QUESTION, _MOST_TOKENS_OF_A_DISTANCE)
            except InputError as error:
                if error.fault != _FULL or len(together) == 1:
                    raise
                self._at_once = len(together) // 2
                continue
            yield from texts
            asked += len(together)

    def _ask(
        self, images: Sequence[NDArray[np.uint8]], question: str, most_tokens: int
    ) -> list[str]:
        """Return the answers to one question about several images.

        Raises
        ------
        InputError
            `out_of_memory`.
        """
        try:
            inputs = self._inputs(images, question)
            with torch.inference_mode():
                output = self._model.generate(
                    **inputs, do_sample=False, max_new_tokens=most_tokens, use_cache=True
                )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            count = 'one question' if len(images) == 1 else f'{len(images)} questions'
            raise InputError(
                _FULL,
                f'{count} to {NAME} did not fit into the memory of {self._model.device} '
                f'({first_line(error)}): {_makes_room(self._model.device, self._model.dtype)}.',
            ) from error
        spoken = output[:, inputs['input_ids'].shape[1] :]
        return self._tokenizer.batch_decode(spoken, skip_special_tokens=True)

    def _inputs(self, images: Sequence[NDArray[np.uint8]], question: str) -> dict[str, Any]:
        """Return the model's input of images of one size, for which the text is the same."""
        seen = self._processor(images=list(images), return_tensors='pt')
        asked = self._family.prompt(question)
        text = asked.replace(self._family.image_token, self._image_text(seen))
        ids = self._tokenizer(text, return_tensors='pt', add_special_tokens=False)['input_ids']
        ids = ids.expand(len(images), -1)
        inputs: dict[str, Any] = {'input_ids': ids, 'attention_mask': torch.ones_like(ids), **seen}
        if 'image_grid_thw' in seen:
            image_id = self._model.config.image_token_id
            inputs['mm_token_type_ids'] = (ids == image_id).int()
        return {name: self._moved(value) for name, value in inputs.items()}

    def _image_text(self, seen: Mapping[str, Any]) -> str:
        """Return the tokens of one image."""
        token = self._family.image_token
        if 'image_grid_thw' in seen:
            merge = self._model.config.vision_config.spatial_merge_size
            return token * (int(seen['image_grid_thw'][0].prod()) // merge**2)
        patch = self._model.config.vision_config.patch_size
        rows, columns = (int(side) // patch for side in seen['image_sizes'][0])
        return f'{f"{token * columns}[IMG_BREAK]" * (rows - 1)}{token * columns}[IMG_END]'

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.to(self._model.device)
        return value.to(self._model.dtype) if value.is_floating_point() else value


def grid(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return about so many pixels, evenly over an image and off its border.

    Parameters
    ----------
    size
        (width, height).
    count
        How many are wanted.
    """
    width, height = size
    columns = max(1, round(float(np.sqrt(count * width / height))))
    rows = max(1, round(count / columns))
    u = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    v = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    return [(int(column), int(row)) for row in v for column in u]


def _answer(camera: CameraModel, pixel: tuple[int, int], text: str | None) -> PixelAnswer:
    nothing = (np.nan, np.nan, np.nan)
    if text is None:
        reason = f'less than {MARKER_PX} pixels from the border of the image that the model sees'
        return PixelAnswer(pixel, np.nan, nothing, '', reason)
    try:
        distance = read_distance(text)
    except InputError as error:
        return PixelAnswer(pixel, np.nan, nothing, text, str(error))
    ray = camera.unproject(np.array([pixel], np.float64), np.ones(1))[0]
    x, y, z = (float(value) for value in distance * ray / np.linalg.norm(ray))
    return PixelAnswer(pixel, distance, (x, y, z), text, '')


def _stated_focal_px(folder: Path, config: Mapping[str, Any]) -> float | None:
    """Return what a checkpoint says of the focal length of its training; None for nothing."""
    if FOCAL_KEY not in config:
        return None
    focal_px = config[FOCAL_KEY]
    low, high = _FOCAL_LIMITS_PX
    number = isinstance(focal_px, int | float) and not isinstance(focal_px, bool)
    if not (number and low <= focal_px <= high):
        raise InputError(
            'checkpoint_config',
            f'{FOCAL_KEY} in {folder / CONFIG} is {shown(focal_px)}, expected a focal length of '
            f'{low:g} to {high:g} pixels, that of the images of the training, or no such key.',
        )
    return float(focal_px)


def _refuse_outside(frame: Frame, pixels: Sequence[tuple[int, int]]) -> None:
    height, width = frame.image.shape[:2]
    outside = [p for p in pixels if not (0 <= p[0] < width and 0 <= p[1] < height)]
    if outside:
        raise InputError(
            'pixel_outside', f'the pixel {outside[0]} is outside of the image of {width}x{height}.'
        )


def load_model(folder: Path) -> tuple[Any, Any]:
    """Return image processor and model of a folder, with every weight of theirs.

    Raises
    ------
    InputError
        Files that are not there, weights that do not fit, or another kind of model.
    """
    kind_of_model: Any = AutoModelForImageTextToText
    weight_files(folder)
    read_config(folder)
    try:
        processor = AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        refuse_claims(folder, kind_of_model)
        model, report = kind_of_model.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype='auto',
            output_loading_info=True,
        )
    except InputError:
        raise
    except Exception as error:  # of files that are damaged in any way
        raise InputError(
            'checkpoint_missing',
            f'the model in {folder} cannot be loaded ({first_line(error)}): '
            'expected a Pixtral (llava) or Qwen2.5-VL of transformers with its weights as '
            'safetensors and its preprocessor_config.json.',
        ) from error
    for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys'):
        keys = sorted(str(key) for key in report[kind])
        if keys:
            raise InputError(
                'checkpoint_keys',
                f'the checkpoint in {folder} does not fit: {len(keys)} {kind.replace("_", " ")} '
                f'({", ".join(keys[:8])}).',
            )
    if model.config.model_type not in _FAMILIES:
        raise InputError(
            'checkpoint_config',
            f'the model in {folder} is a {model.config.model_type!r}, expected one of '
            f'{", ".join(_FAMILIES)}.',
        )
    refuse_not_finite(folder, model.state_dict())
    return processor, model.eval()


def _settle(model: Any, device: torch.device, precision: str) -> None:
    """Move and cast a model, but keep its frequencies of positions, buffers of it, in float32.

    Raises
    ------
    InputError
        `out_of_memory`.
    """
    try:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(device, DTYPES[precision])
        model.to(device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            _FULL,
            f'the weights of depthlm in {precision} do not fit into the memory of {device} '
            f'({first_line(error)}): {_makes_room(device, DTYPES[precision])}.',
        ) from error


def _makes_room(device: torch.device, dtype: torch.dtype) -> str:
    """Tell what is left to try."""
    wide = ['set precision to bf16'] if dtype == torch.float32 else []
    elsewhere = ['set device to cpu'] if device.type != 'cpu' else []
    return ', or '.join(['free the memory that others hold', *wide, *elsewhere])


def _queries(variant: str) -> int:
    if not variant:
        return USUAL_QUERIES
    if not (variant.isdecimal() and 0 < int(variant) <= _MOST_QUERIES):
        raise InputError(
            'estimator',
            f"estimator 'depthlm' takes how many pixels it is asked about, 1 to {_MOST_QUERIES}, "
            f"got {variant!r}: use e.g. 'depthlm:192'.",
        )
    return int(variant)
