# SPDX-License-Identifier: Apache-2.0
"""Random worlds and a random camera in each: endless views, every one from a seed.

A module for each kind of world; may import the simulation's vocabulary of things, the ray caster,
and below.
"""

from metric_depth_ros.simulation.worlds.views import KINDS, ViewSpec, random_view

__all__ = ['KINDS', 'ViewSpec', 'random_view']
