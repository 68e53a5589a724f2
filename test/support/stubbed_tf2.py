# SPDX-License-Identifier: Apache-2.0
"""A tf2_ros that need not be installed: whoever imports it gets a buffer of the test's own."""

import sys
from types import SimpleNamespace


def stub_tf2(monkeypatch, buffer):
    """Let tf2_ros have this buffer, to which nobody listens, and LookupError for its refusals."""
    stub = SimpleNamespace(
        Buffer=lambda: buffer,
        TransformListener=lambda *listening, spin_thread: None,
        TransformException=LookupError,
    )
    monkeypatch.setitem(sys.modules, 'tf2_ros', stub)
