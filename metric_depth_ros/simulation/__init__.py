# SPDX-License-Identifier: Apache-2.0
"""Procedural worlds, one ray caster for every sensor, sensor models, and bags of them.

Everything is torch tensors with a leading batch of worlds, on any device. May import bags and
everything below; nothing at run time of a robot imports this.
"""
