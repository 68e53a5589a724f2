# SPDX-License-Identifier: Apache-2.0
"""Models of depth sensors with their real faults, and the sampling patterns of training.

Spinning and solid-state LiDAR, radar, depth cameras, time of flight, structure from motion. May
import geometry, types and the worlds of `simulation`.
"""
