# SPDX-License-Identifier: Apache-2.0
"""Networks to measure, with random weights: as released, or small enough for a CPU.

Speed does not depend on the weights, so that nothing needs to be downloaded. Differences between
precisions are told for what random weights make of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from metric_depth_ros.estimators.learned.example import INFER, network_batch
from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.estimators.runtime.runner import Infer
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config, named_config
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config
from metric_depth_ros.networks.compact_blocks import OwnNames
from metric_depth_ros.networks.convstack import ConvStackConfig, moge_head, moge_neck
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig
from metric_depth_ros.networks.lingbot_depth import LingBotDepth, LingBotDepthConfig
from metric_depth_ros.networks.student_depthmap import StudentDepthMap, StudentDepthMapConfig
from metric_depth_ros.networks.student_pointmap import StudentPointMap, StudentPointMapConfig
from metric_depth_ros.networks.teacher import Teacher, TeacherConfig

SIZES = ('small', 'released')

# Width and height of small and released networks' images.
_PYRAMID_SIZES_PX = ((512, 512), (1536, 1536))
_SIZES_PX = {
    'student_pointmap': ((320, 240), (640, 480)),
    'lingbot_depth': ((320, 240), (640, 480)),
    'compact_teacher': ((640, 480), (1216, 352)),
    'compact_student': ((640, 480), (1216, 352)),
}
_BLANK_STD = 0.02  # of the weights in place of those that start at zero, where nothing would show

_SMALL_VIT = DinoV3Config(384, 12, 6, hidden_dim=1536)
_SMALL_WIDTHS = (64, 64, 96, 128)
_DIMS = 384
_TOKENS = (100, 300)


@dataclass(frozen=True)
class Subject:
    """A network and what it is measured with.

    Parameters
    ----------
    name
        Key of `estimators.learned.example.INFER`.
    make
        Builds it on the CPU, every time with the same weights.
    width, height
        Size of its images in pixels.
    """

    name: str
    make: Callable[[], nn.Module]
    width: int
    height: int

    @property
    def infer(self) -> Infer:
        """What runs it on a batch."""
        return INFER[self.name]

    def batch(self, images: int = 1) -> Batch:
        """Return its input."""
        # The compact networks, whose input depends on their shape, have the released one here.
        shape = build_network(self.name)
        return network_batch(self.name, shape, (self.width, self.height), images=images)


def find_subject(name: str, size: str) -> Subject:
    """Return a network of the catalog by its name.

    Parameters
    ----------
    name
        Key of `estimators.learned.example.INFER`.
    size
        ``'released'``, or ``'small'``: ViT-S and a quarter of the pixels or less. The compact
        networks are small enough as they are.
    """
    released = size == 'released'
    build = _SMALL.get(name)
    if released or build is None:
        build = lambda: build_network(name, 'cpu')  # noqa: E731
    width, height = _SIZES_PX.get(name, _PYRAMID_SIZES_PX)[SIZES.index(size)]
    return Subject(name, lambda: _seeded(build), width, height)


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = build().eval()
    with torch.no_grad():
        if isinstance(network, OwnNames):
            for module in network.modules():
                weight = getattr(module, 'weight', None)
                if weight is not None and not weight.any():
                    nn.init.normal_(weight, std=_BLANK_STD)
        for name, parameter in network.named_parameters():
            if name.startswith('head.') and parameter.shape == (1,):
                parameter.fill_(0.5)  # random weights alone see nothing but the horizon
            if name.startswith('mask_head.output_blocks') and parameter.shape == (1,):
                parameter.fill_(3.0)  # nothing is sky
    return network


def _small_stack(stack: ConvStackConfig) -> ConvStackConfig:
    first = stack.dim_in[0] or 0
    return replace(
        stack,
        dim_in=(first - stack.dim_res_blocks[0] + _DIMS, *stack.dim_in[1:]),
        dim_res_blocks=(_DIMS, *stack.dim_res_blocks[1:]),
    )


def _small_depthmap() -> nn.Module:
    return StudentDepthMap(
        StudentDepthMapConfig(
            _SMALL_VIT, (2, 5, 8, 11), _SMALL_WIDTHS, decoder_width=64, canvas=512
        )
    )


def _small_teacher() -> nn.Module:
    return Teacher(TeacherConfig(_SMALL_VIT, (2, 5), _SMALL_WIDTHS, decoder_width=64, canvas=512))


def _small_depth_pro() -> nn.Module:
    # Its field-of-view head fits crops of 24 patches only.
    vit = DinoV2Config(384, 12, 6, patch_size=8, native_grid=24, mask_token=False)
    return DepthPro(DepthProConfig(vit, (2, 5), _SMALL_WIDTHS, decoder_width=64, canvas=768))


def _small_pointmap() -> nn.Module:
    return StudentPointMap(
        StudentPointMapConfig(
            named_config('dinov2_vits14'),
            (2, 5, 8, 11),
            _DIMS,
            _small_stack(moge_neck()),
            _small_stack(moge_head(3)),
            _small_stack(moge_head(1)),
            None,
            (_DIMS, _DIMS, 1),
            num_tokens_range=_TOKENS,
        )
    )


def _small_lingbot() -> nn.Module:
    return LingBotDepth(
        LingBotDepthConfig(
            named_config('dinov2_vits14'),
            (11,),
            _small_stack(moge_neck()),
            _small_stack(moge_head(1)),
            _small_stack(moge_head(1)),
            num_tokens_range=_TOKENS,
        )
    )


_SMALL: Mapping[str, Callable[[], nn.Module]] = {
    'student_depthmap': _small_depthmap,
    'teacher': _small_teacher,
    'depth_pro': _small_depth_pro,
    'student_pointmap': _small_pointmap,
    'lingbot_depth': _small_lingbot,
}
