# SPDX-License-Identifier: Apache-2.0
"""The papers' networks as torch modules, and the names of their released weights.

Tensors in, tensors out: no image files, no ROS, no `Frame`. Imports torch, transformers and
`errors`; only `estimators` imports it. Everything that is not a transformer carries its authors'
names, so that a released checkpoint needs translation only where transformers names differ.
"""
