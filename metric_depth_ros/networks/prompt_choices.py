# SPDX-License-Identifier: Apache-2.0
"""How the prompt of a teacher was made in its training, which its weights carry. No imports."""

from __future__ import annotations

PROMPT_NORMS = ('median', 'none')
GMDR_MODES = ('global', 'lwlr')
