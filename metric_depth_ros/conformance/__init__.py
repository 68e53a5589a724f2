# SPDX-License-Identifier: Apache-2.0
"""Conformance: the package against what the authors' own code computed.

A golden is a folder with a ``config.json`` (architecture, cases, tolerances), inputs and outputs
of the authors' code, and the weights it ran with. `run_golden` recomputes every stored quantity,
intermediates included. Each module of `kinds` knows one kind of golden; beside them stands what
of the authors' code nothing else of the package uses. May import `training`, `evaluation`,
`simulation` and what is below them.
"""
