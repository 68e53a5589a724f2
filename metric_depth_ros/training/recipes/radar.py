# SPDX-License-Identifier: Apache-2.0
"""The teacher learns radar: its returns are the prompt, accumulated LiDAR is the truth.

A training of the teacher with other prompts, from a pretrained teacher (``start_from``) or from
nothing. Source: MetricAnything, section 5; truth up to 100 m is a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_depth_ros.errors import InputError
from metric_depth_ros.training.recipes.teacher import TeacherRecipe
from metric_depth_ros.training.recipes.teacher import create as create_teacher

FARTHEST_M = 100.0


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> TeacherRecipe:
    """Make the recipe of plain values: options of the teacher but its prompts."""
    if 'prompts' in options:
        raise InputError(
            'training_config',
            f'{where}: options: prompts is {options["prompts"]!r}, expected no such key: the '
            'recipe radar has the returns of a radar for prompts; recipe teacher has a choice.',
        )
    chosen = {'farthest_m': FARTHEST_M, **options, 'prompts': 'radar'}
    return create_teacher(network, chosen, where)
