# SPDX-License-Identifier: Apache-2.0
"""The one exception for bad input from outside. Imports nothing of the package.

Raised for messages, files and parameters that a user or a sensor got wrong. A node drops the
frame and reports it once; a command prints it without a traceback and exits with code 2. Every
other exception is a defect of the package itself and keeps its traceback.
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used, in words its owner can act on.

    Parameters
    ----------
    fault
        Short stable slug of the kind of fault (``'image_encoding'``); reports are throttled and
        counted per slug.
    message
        What is wrong, its value, what was expected, and what fixes it.
    """

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        """Say how another process makes it again: from `args` alone the fault would be missing."""
        return type(self), (self.fault, str(self))
