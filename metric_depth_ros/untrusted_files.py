# SPDX-License-Identifier: Apache-2.0
"""Files from strangers: what they claim is held against what they are before memory is taken.

A header of a hundred bytes may claim 2^31 pixels, and the libraries that read pictures and arrays
allocate what a header claims. Everything here looks at headers alone. Pictures are PNG
or JPEG: OpenCV would decode two dozen more formats, whatever the name of the file says. YAML
takes no aliases, with which a kilobyte becomes a gigabyte. NumPy, OpenCV, `codecs` and `errors`.
"""

from __future__ import annotations

import json
import lzma
import math
import stat
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from metric_depth_ros.codecs.compressed import picture_size
from metric_depth_ros.errors import InputError

MAX_TEXT_BYTES = 64 * 1024 * 1024  # of an index of a long recording
MAX_PICTURE_BYTES = 1024 * 1024 * 1024
MAX_ARRAY_BYTES = 1024 * 1024 * 1024  # of one file, unpacked
_LONGEST_SIDE = 2**62  # of an array; NumPy counts in 64 bits
# What readers of NPY and NPZ raise on damage. NumPy evaluates the header as a Python expression.
DAMAGED_ARRAY = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_text(path: Path, fault: str) -> str:
    """Return the text of a file of bounded size.

    Raises
    ------
    InputError
        `fault`: not readable, not UTF-8, or too large.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be read for ever
            raise InputError(fault, f'{path} is not a file.')
        size = about.st_size
        if size > MAX_TEXT_BYTES:
            raise InputError(
                fault,
                f'{path} has {size} bytes, expected at most {MAX_TEXT_BYTES}.',
            )
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(fault, f'{path} cannot be read: {_reason(error)}.') from error


def read_yaml(path: Path, fault: str) -> Any:
    """Return the content of a YAML file: plain data, no tags, no aliases.

    Raises
    ------
    InputError
        `fault`, as `read_text`; or what is no such YAML.
    """
    text = read_text(path, fault)
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # Values of another kind than their tag says raise whatever reading them runs into.
        raise InputError(fault, f'{path} cannot be read as YAML: {_reason(error)}.') from error


def read_json(path: Path, fault: str) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    InputError
        `fault`, as `read_text`; or what is no JSON.
    """
    text = read_text(path, fault)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(fault, f'{path} cannot be read as JSON: {_reason(error)}.') from error


def read_picture(path: Path, flags: int, fault: str = 'image_file') -> NDArray[Any]:
    """Decode a PNG or JPEG, after its header has been held against the size of the file.

    Parameters
    ----------
    path
        The picture.
    flags
        Of ``cv2.imread``.
    fault
        Of the refusal.

    Raises
    ------
    InputError
        Neither PNG nor JPEG, a size that cannot be, or damage.
    """
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise InputError(fault, f'{path} is larger than any picture.')
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(fault, f'{path} cannot be read: {_reason(error)}.') from error
    try:
        picture_size(data)
    except InputError as error:
        raise InputError(
            fault, f'{path} cannot be read as an image (PNG or JPEG expected): {error}'
        ) from error
    picture = cv2.imdecode(data, flags)
    if picture is None:
        raise InputError(
            fault, f'{path} cannot be read as an image: it is damaged or was cut short.'
        )
    return picture


def check_array_claims(path: Path, fault: str = 'array_file') -> None:
    """Hold the shapes that an .npy or .npz claims against its bytes.

    What is neither is left to ``np.load``, which says so.

    Raises
    ------
    InputError
        An array that claims more than there is, or that would have to be unpickled.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_unpacked(sum(m.file_size for m in archive.infolist()), path, fault)
                for member in archive.infolist():
                    with archive.open(member) as stream:
                        _check_array(
                            stream, member.file_size, f'{path} ({member.filename})', fault
                        )
        else:
            with path.open('rb') as stream:
                _check_unpacked(path.stat().st_size, path, fault)
                _check_array(stream, path.stat().st_size, str(path), fault)
    except InputError:
        raise
    except DAMAGED_ARRAY as error:
        raise InputError(fault, f'{path} cannot be read: {_reason(error)}.') from error


def inside(folder: Path, relative: str, fault: str) -> Path:
    """Return a path inside a folder; one that leads out of it is refused.

    Raises
    ------
    InputError
        `fault`: an absolute path, one with ``..``, or a link that leads out.
    """
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(fault, f'{relative!r} leads out of the folder {folder}.')
    return path


def _check_unpacked(size: int, path: Path, fault: str) -> None:
    if size > MAX_ARRAY_BYTES:
        raise InputError(
            fault, f'{path} unpacks to {size} bytes, expected at most {MAX_ARRAY_BYTES}.'
        )


def _check_array(stream: IO[bytes], size: int, name: str, fault: str) -> None:
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
        if version not in read_header:  # of names that no file of numbers has
            raise ValueError(f'version {version} is not supported')
        shape, _, dtype = read_header[version](stream)
    except DAMAGED_ARRAY as error:
        reason = _reason(error)
        raise InputError(fault, f'{name} cannot be read as an array: {reason}.') from error
    if dtype.hasobject:
        raise InputError(
            fault, f'{name} cannot be read: it holds Python objects, which are not unpickled.'
        )
    if max(shape, default=0) > _LONGEST_SIDE:
        raise InputError(
            fault, f'{name} cannot be read: it claims a side of more than 2^62 numbers.'
        )
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed > size:
        raise InputError(
            fault,
            f'{name} cannot be read: it claims shape {shape} of {dtype}, {needed} bytes, but has '
            f'{size}: it is damaged or was cut short.',
        )


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(f'the alias *{event.anchor} is not taken: write the value out')
        return super().compose_node(parent, index)


def _reason(error: Exception) -> str:
    """Return what is wrong in one line; an error of the system names the path once more."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0]
