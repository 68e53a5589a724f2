# SPDX-License-Identifier: Apache-2.0
"""Camera models, rigid transforms, projection and unprojection. NumPy and OpenCV only.

Nothing here knows of sensors, estimators or ROS. Pixel centers lie at integer coordinates; the
camera optical frame is x right, y down, z forward (REP-103).
"""
