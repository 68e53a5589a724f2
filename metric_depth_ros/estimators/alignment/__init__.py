# SPDX-License-Identifier: Apache-2.0
"""Alignment of a prior's inverse depth to a metric prompt; may import NumPy, SciPy and torch.

`pixel_alignment` (PDSA) fits scale and shift per pixel, `global_alignment` (GMDR) per image,
`prompt_tensor` stacks both with the prompt mask as the input of the teacher's head. All take a
batch of images with different numbers of prompts, on the CPU or on a GPU.
"""

from metric_depth_ros.estimators.alignment.gmdr import global_alignment
from metric_depth_ros.estimators.alignment.neighbors import nearest_prompts
from metric_depth_ros.estimators.alignment.pdsa import PixelAlignment, pixel_alignment
from metric_depth_ros.estimators.alignment.prompt_list import PromptList, inverse_depth
from metric_depth_ros.estimators.alignment.prompt_tensor import PromptTensor, prompt_tensor
from metric_depth_ros.estimators.alignment.scale_shift import ScaleShift, fit_global, fit_local

__all__ = [
    'PixelAlignment',
    'PromptList',
    'PromptTensor',
    'ScaleShift',
    'fit_global',
    'fit_local',
    'global_alignment',
    'inverse_depth',
    'nearest_prompts',
    'pixel_alignment',
    'prompt_tensor',
]
