# SPDX-License-Identifier: Apache-2.0
"""A bag through the live node: play over DDS, record what it answers, score it.

May import ros, evaluation, bags and everything below. Only `player`, `recorder` and `session`
load rclpy; scoring and reading back work without it.
"""
