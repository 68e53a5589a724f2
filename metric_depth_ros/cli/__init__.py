# SPDX-License-Identifier: Apache-2.0
"""The `metric-depth` command. `main` dispatches; one module a command, imported when chosen.

A command module has `add_arguments(parser)` and `run(args) -> int`, the exit code. The heavy
imports stand inside `run`, so that help is instant.
"""
