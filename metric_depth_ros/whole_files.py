# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

_OPEN_FILES = (Path('/dev'), Path('/dev/fd'), Path('/proc/self/fd'))  # of this process, by links


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file to write, which gets its name when it has been written to its end.

    What fails leaves the file of before alone, and nothing else. Of several who write one file at
    a time, the last one's stays. A link stays, and the file that it names is written.
    """
    # A device, a pipe or what the process has open must not be replaced by a file.
    if path.parent in _OPEN_FILES or (path.exists() and not path.is_file()):
        yield path
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    part = path.with_name(f'.{path.name}.{token_hex(4)}.part')
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding='utf-8')
