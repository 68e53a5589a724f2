# SPDX-License-Identifier: Apache-2.0
"""`hf:<id>`: any metric depth model that transformers knows. Imports transformers.

Prompt Depth Anything is used as the prompted model that it is; it expects a coarse depth map, so
the prompt is spread over one by nearest filling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModelForDepthEstimation
from transformers.modeling_outputs import DepthEstimatorOutput

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    centered_pinhole,
    has_prompt,
)
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.provenance import note_weights
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.checkpoint_files import first_line, refuse_not_finite
from metric_depth_ros.networks.config_limits import refuse_large_images
from metric_depth_ros.networks.depth_pro import DepthPro
from metric_depth_ros.networks.model_folder import (
    pickled_weights,
    read_config,
    refuse_claims,
    resolve_folder,
    weight_files,
)
from metric_depth_ros.types import Frame, SparsePrompt
from metric_depth_ros.untrusted_files import read_json

_PROMPTED = 'prompt_depth_anything'
_PROMPT_SIZE = (256, 192)  # that of the depth maps it was trained with
_DEPTH_PRO = 'depth_pro'
_ALWAYS_METRIC = (_DEPTH_PRO, 'glpn', _PROMPTED, 'zoedepth')
# Files that may describe the preprocessor, and the key of the file that does.
_PREPROCESSORS = (('preprocessor_config.json', None), ('processor_config.json', 'image_processor'))
_LEAST_SPREAD = 1e-3  # a prompt of one depth cannot be normalized; this much is added to a pixel


def create(model_id: str, options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator of a Hugging Face id or a local folder.

    Raises
    ------
    InputError
        A model that is not here and cannot be fetched, that lacks weights, or whose depth is not
        metric.
    """
    if options.resolution_scale != 1.0:
        raise InputError(
            'estimator_option',
            f'resolution_scale is {options.resolution_scale:g}, but the resolution of hf: models '
            'is that of their own preprocessor: set it to 1.',
        )
    if options.backend != 'torch':
        raise InputError(
            'estimator_option',
            f'backend is {options.backend!r}, but hf: models run on torch only: set it to torch.',
        )
    if options.preset != 'full':
        raise InputError(
            'estimator_option',
            f'preset is {options.preset!r}, which hf: models do not have: set it to full.',
        )
    if options.weights_of('hf'):
        raise InputError(
            'estimator_option',
            f'weights are {options.weights_of("hf")!r}, but hf: models are named by the '
            'estimator: leave weights empty and name the folder or the id, as in hf:FOLDER.',
        )
    model, processor = _load(model_id, options.revision or None)
    _require_metric(model_id, model.config)
    adapter = HuggingFaceAdapter(
        processor,
        prompted=model.config.model_type == _PROMPTED,
        sees_field_of_view=bool(getattr(model.config, 'use_fov_model', False)),
    )
    return LearnedEstimator(f'hf:{model_id}', model, adapter, options, one_resolution=True)


class HuggingFaceAdapter(Adapter):
    """Preprocessing and postprocessing are the model's own.

    Parameters
    ----------
    processor
        Its image processor.
    prompted
        Whether the network takes a prompt, without which its depth has no scale.
    sees_field_of_view
        Whether the network tells the field of view, which scales its depth. A known focal length
        takes its place.
    """

    def __init__(self, processor: Any, *, prompted: bool, sees_field_of_view: bool) -> None:
        self._processor = processor
        self._prompted = prompted
        self.recovers_camera = sees_field_of_view
        self.needs_prompt = prompted

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Preprocess images, and fill the prompts to coarse maps."""
        images = [np.ascontiguousarray(frame.image) for frame in frames]
        pixels = self._processor(images=images, return_tensors='pt')['pixel_values']
        return Batch(pixels, prompts=normalized_prompts(frames) if self._prompted else {})

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run at the resolution that the preprocessor chose."""
        dtype = next(network.parameters()).dtype
        prompt = {'prompt_depth': batch.prompts['coarse'].to(dtype)} if self._prompted else {}
        output = network(pixel_values=batch.images.to(dtype), **prompt)
        outputs = {'depth': output.predicted_depth}
        if self._prompted:
            outputs |= {name: batch.prompts[name] for name in ('nearest', 'spread')}
        fov = getattr(output, 'field_of_view', None)
        return outputs if fov is None else {**outputs, 'field_of_view': fov}

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Postprocess; NaN without the prompt that gives the scale."""
        height, width = frame.image.shape[:2]
        if self._prompted and not has_prompt(frame):
            nothing = np.full((height, width), np.nan, np.float32)
            return Answer(nothing, note='no prompt')
        if self._prompted:
            metric = outputs['depth'] * outputs['spread'] + outputs['nearest']
            outputs = {**outputs, 'depth': metric}
        result = self._postprocess(_with_known_focal(outputs, frame), (height, width))
        depth = result['predicted_depth'].float().numpy()
        camera = None
        if result.get('focal_length') is not None:
            camera = centered_pinhole(width, height, float(result['focal_length']))
        return Answer(np.where(depth > 0.0, depth, np.float32(np.nan)), camera)

    def _postprocess(self, outputs: Arrays, size: tuple[int, int]) -> Mapping[str, Any]:
        output = DepthEstimatorOutput(predicted_depth=torch.from_numpy(outputs['depth'])[None])
        if 'field_of_view' in outputs:
            output['field_of_view'] = torch.as_tensor(outputs['field_of_view']).reshape(1)
        sizes: dict[str, Any] = {'target_sizes': [size]}
        if 'source_sizes' in signature(self._processor.post_process_depth_estimation).parameters:
            sizes['source_sizes'] = [size]
        return self._processor.post_process_depth_estimation(output, **sizes)[0]


def _with_known_focal(outputs: Arrays, frame: Frame) -> Arrays:
    """Return the outputs with the field of view in degrees of the frame's camera, if it has one.

    The models that tell a field of view, Depth Pro, scale their depth with it: taking that of
    the calibration is taking its focal length.
    """
    if frame.camera is None or 'field_of_view' not in outputs:
        return outputs
    half = np.arctan(0.5 * frame.image.shape[1] / frame.camera.K[0, 0])
    return {**outputs, 'field_of_view': np.float32(np.degrees(2.0 * half))}


def normalized_prompts(frames: Sequence[Frame]) -> dict[str, Tensor]:
    """Return coarse maps (B, 1, 192, 256) from 0 to 1; what was 0 and its distance to 1, both m.

    The network does this with the maps that it is given, and the reverse with its answer: to one
    from 0 to 1 it does nothing. Here both are done in float32, whatever the network computes in.
    """
    maps = torch.from_numpy(np.stack([coarse_depth(frame) for frame in frames]))
    nearest = maps.amin((1, 2))
    spread = maps.amax((1, 2)) - nearest
    coarse = (maps - nearest[:, None, None]) / spread[:, None, None]
    return {'coarse': coarse[:, None], 'nearest': nearest, 'spread': spread}


def coarse_depth(frame: Frame) -> NDArray[np.float32]:
    """Return the prompt as a coarse map (192, 256) m without holes; ones without a prompt."""
    width, height = _PROMPT_SIZE
    prompt = frame.prompt
    if prompt is None or not len(prompt):
        coarse = np.ones((height, width), np.float32)
    else:
        rows, columns = frame.image.shape[:2]
        uv = (prompt.uv + 0.5) * np.array((width / columns, height / rows)) - 0.5
        small = SparsePrompt(uv.astype(np.float32), prompt.depth, prompt.sigma, prompt.source)
        image = cv2.resize(frame.image, _PROMPT_SIZE)
        coarse = NearestFill().estimate(Frame(0, '', image, prompt=small)).depth
    if np.ptp(coarse) < _LEAST_SPREAD * coarse.max():
        coarse[0, 0] *= 1.0 + _LEAST_SPREAD
    return coarse


def _load(model_id: str, revision: str | None) -> tuple[Any, Any]:
    """Return model and processor, from this machine if they are here."""
    folder = resolve_folder(model_id, revision)
    note_weights('hf', lambda: folder.name)
    _refuse_pickles(model_id, folder)
    weight_files(folder)
    read_config(folder)
    _refuse_large_images(folder)
    try:
        return _loaded(model_id, folder)
    except InputError:
        raise
    except Exception as error:  # of files that are damaged in any way
        raise _unusable(model_id, error) from error


def _refuse_large_images(folder: Path) -> None:
    """Hold the preprocessor to its limits, wherever transformers looks for it."""
    for name, key in _PREPROCESSORS:
        path = folder / name
        content = read_json(path, 'checkpoint_config') if path.is_file() else {}
        content = content if key is None or not isinstance(content, dict) else content.get(key)
        if isinstance(content, dict):
            refuse_large_images(content, str(path))


def _refuse_pickles(model_id: str, folder: Path) -> None:
    pickled = pickled_weights(folder)
    if pickled:
        raise InputError(
            'checkpoint_unsafe',
            f'the weights of {model_id} are a pickle ({pickled[0].name}), which is not opened: '
            'give safetensors. Of a model that you trust, they are made by `python -c "from '
            'transformers import AutoModelForDepthEstimation as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\"`.",
        )


def _loaded(model_id: str, folder: Path) -> tuple[Any, Any]:
    try:
        processor = AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except ImportError as error:
        raise InputError(
            'estimator_library',
            f'the preprocessor of {model_id} needs a library that is not installed '
            f'({str(error).strip().splitlines()[0]}): most often `pip install torchvision`.',
        ) from error
    refuse_claims(folder, AutoModelForDepthEstimation)
    model, report = AutoModelForDepthEstimation.from_pretrained(
        str(folder),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(report['missing_keys'])
    if missing:
        raise InputError(
            'checkpoint_keys',
            f'the checkpoint of {model_id} lacks {len(missing)} weights ({", ".join(missing[:8])}'
            '): they would be random.',
        )
    refuse_not_finite(model_id, model.state_dict())
    if model.config.model_type == _DEPTH_PRO:
        model.low_precision = DepthPro.low_precision
    return model.eval(), processor


def _unusable(model_id: str, error: Exception) -> InputError:
    return InputError(
        'checkpoint_missing',
        f'the model {model_id} cannot be loaded ({first_line(error)}): expected a '
        'depth-estimation model of transformers with its weights as safetensors and its '
        'preprocessor.',
    )


def _require_metric(model_id: str, config: Any) -> None:
    kind = getattr(config, 'depth_estimation_type', '')
    if config.model_type in _ALWAYS_METRIC or kind == 'metric':
        return
    raise InputError(
        'estimator',
        f'the depth of {model_id} ({config.model_type}) is relative, without a unit: choose one '
        'of its metric versions (e.g. depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf).',
    )
