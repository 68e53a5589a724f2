# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of tiny random networks, with the keys that the released ones have."""

from dataclasses import asdict

import torch
from official_weights import official_state

from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config
from metric_depth_ros.networks.compact_blocks import OwnNames
from metric_depth_ros.networks.compact_student import CompactStudent, CompactStudentConfig
from metric_depth_ros.networks.compact_teacher import CompactTeacher, CompactTeacherConfig
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig
from metric_depth_ros.networks.lingbot_depth import LingBotDepth, LingBotDepthConfig
from metric_depth_ros.networks.student_depthmap import StudentDepthMap, StudentDepthMapConfig
from metric_depth_ros.networks.student_pointmap import StudentPointMap, StudentPointMapConfig
from metric_depth_ros.networks.teacher import Teacher, TeacherConfig

# Crops of 24x24 patches, which Depth Pro's field-of-view head needs, and of 8x8.
_DINOV2 = DinoV2Config(16, 2, 2, patch_size=2, native_grid=24, mask_token=False)
_DINOV3 = DinoV3Config(24, 4, 2, hidden_dim=32, patch_size=4)
FOV_DEG = 60.0  # that tiny Depth Pros see
_WIDTHS = (16, 16, 16, 16)
_PYRAMID = {'widths': _WIDTHS, 'decoder_width': 16, 'head_width': 8}
_FIXED = {
    'student_depthmap': (
        StudentDepthMap,
        StudentDepthMapConfig(backbone=_DINOV3, taps=(0, 1, 2, 3), canvas=128, **_PYRAMID),
    ),
    'depth_pro': (
        DepthPro,
        DepthProConfig(backbone=_DINOV2, taps=(0, 1), canvas=192, **_PYRAMID),
    ),
    'teacher': (
        Teacher,
        TeacherConfig(backbone=_DINOV3, taps=(1, 2), canvas=128, **_PYRAMID),
    ),
}

# The package's own, whose input is of a size of its own.
_COMPACT = {
    'compact_teacher': (CompactTeacher, CompactTeacherConfig((4, 6, 8), (1, 1, 1))),
    'compact_student': (
        CompactStudent,
        CompactStudentConfig(16, 4, 2, (0, 1, 2, 3), 8, canvas_px=96 * 64),
    ),
}

_DIMS = (24, 16, 16, 8, 8)


def _stack(dim_in, dim_out=None):
    return {
        'dim_in': list(dim_in),
        'dim_res_blocks': list(_DIMS),
        'dim_out': [None, None, None, None, dim_out],
        'num_res_blocks': [0, 1, 1, 1, 0],
        'res_block_in_norm': 'none',
        'res_block_hidden_norm': 'none',
        'resamplers': ['conv_transpose', 'conv_transpose', 'conv_transpose', 'bilinear'],
    }


_BACKBONE = {'embed_dim': 24, 'depth': 3, 'num_heads': 2, 'native_grid': 5}
_POINTMAP = {
    'encoder': {'backbone': _BACKBONE, 'intermediate_layers': 2, 'dim_out': 24},
    'neck': _stack((26, 2, 2, 2, 2)),
    'points_head': _stack(_DIMS, 3),
    'mask_head': _stack(_DIMS, 1),
    'scale_head': {'dims': [24, 8, 1]},
    'remap_output': 'exp',
    'num_tokens_range': [12, 30],
}
_LINGBOT = {
    'encoder': {'backbone': _BACKBONE, 'intermediate_layers': 1, 'dim_out': 24},
    'neck': _stack((26, 2, 2, 2, 2)),
    'depth_head': _stack(_DIMS, 1),
    'mask_head': _stack(_DIMS, 1),
    'num_tokens_range': [12, 30],
}
_DESCRIBED = {
    'student_pointmap': (StudentPointMap, StudentPointMapConfig, _POINTMAP),
    'lingbot_depth': (LingBotDepth, LingBotDepthConfig, _LINGBOT),
}
NETWORKS = (*_FIXED, *_DESCRIBED)


def tiny_network(name):
    """Return a tiny network with random weights and its ``model_config``."""
    torch.manual_seed(3)
    if name in {**_FIXED, **_COMPACT}:
        kind, config = {**_FIXED, **_COMPACT}[name]
        model_config = asdict(config)
    else:
        kind, config_kind, model_config = _DESCRIBED[name]
        config = config_kind.from_model_config(model_config)
    network = kind(config).eval()
    _make_plausible(network)
    return network, model_config


def write_checkpoint(name, folder):
    """Write a tiny checkpoint; return its path."""
    network, model_config = tiny_network(name)
    path = folder / f'{name}.pt'
    torch.save({'model_config': model_config, 'model': official_state(network)}, path)
    return path


def _make_plausible(network):
    """Give random networks answers that a camera could see, from known last layers."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        if isinstance(network, OwnNames):
            for parameter in parameters.values():
                torch.nn.init.normal_(parameter, std=0.05)
            return
        for name, parameter in parameters.items():
            if name.startswith('mask_head.output') and name.endswith('bias'):
                parameter.fill_(5.0)  # nothing is sky
            if name.startswith('head.') and parameter.shape == (1,):
                parameter.fill_(0.5)  # canonical inverse depth
        if 'fov.head.4.bias' in parameters:
            parameters['fov.head.4.weight'].zero_()
            parameters['fov.head.4.bias'].fill_(FOV_DEG)
        if 'points_head.input_blocks.0.weight' in parameters:
            _show_a_plane(parameters)


def _show_a_plane(parameters):
    """Pass the view plane's coordinates through: a plane before a pinhole of known focal length.

    It is half the diagonal of the image.
    """
    for name, parameter in parameters.items():
        if name.startswith(('neck.resamplers.3', 'points_head.resamplers.3')):
            parameter.zero_()
    for name in (
        'neck.input_blocks.4',
        'points_head.input_blocks.4',
        'points_head.output_blocks.4',
    ):
        torch.nn.init.eye_(parameters[f'{name}.weight'].flatten(1))
        parameters[f'{name}.bias'].zero_()
    parameters['points_head.output_blocks.4.weight'][2].zero_()
