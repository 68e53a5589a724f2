# SPDX-License-Identifier: Apache-2.0
"""Training of the networks: data, losses, recipes and the loop that runs them.

Nothing that runs on a robot imports this. May import `simulation`, `evaluation`, `framesets`,
`estimators` and `networks`; torch and accelerate are loaded when a training starts.
"""
