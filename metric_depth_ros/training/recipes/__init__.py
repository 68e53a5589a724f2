# SPDX-License-Identifier: Apache-2.0
"""Recipes: what is trained, on what of an example, against which loss. One module each."""

from metric_depth_ros.training.recipes.base import Prepared, Recipe, create_recipe

__all__ = ['Prepared', 'Recipe', 'create_recipe']
