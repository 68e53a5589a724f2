# SPDX-License-Identifier: Apache-2.0
"""Training-free, image-guided depth completion; may import NumPy and OpenCV only."""

from metric_depth_ros.estimators.classical.completion import PRESETS, Preset, complete

__all__ = ['PRESETS', 'Preset', 'complete']
