# SPDX-License-Identifier: Apache-2.0
"""The mathematics of cameras, clouds and depth images. NumPy, SciPy and OpenCV only.

Lenses and cameras, rigid transforms and motion, projection, unprojection and rectification;
edges, voxels, cells of a grid, relative depth, focal lengths and uncertainty. Nothing here knows
of sensors, estimators or ROS. Pixel centers lie at integer coordinates; the camera optical frame
is x right, y down, z forward (REP-103).
"""
