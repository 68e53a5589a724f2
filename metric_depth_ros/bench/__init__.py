# SPDX-License-Identifier: Apache-2.0
"""Speed of the parts, as ratios to a floor measured in the same run.

May import everything below the commands. Each module has `run(rounds) -> list[Row]`.
"""
