# SPDX-License-Identifier: Apache-2.0
"""Sensor data to `SparsePrompt`. Imports geometry and types; knows no estimator and no ROS.

One module a kind of sensor. No estimator changes for a new one; what it needs besides its module:

- a `types.Source`, and where its message is new a module in `codecs`
- its topic and parameters: `ros.parameters`, `ros.inputs`, `ros.prompts`
- where it is to be recorded: `framesets.frames`, `bags.layout`, `bags.from_frameset`
- where a bag of it is to be played: `replay.streams`, `cli.topic_arguments`
"""
