# SPDX-License-Identifier: Apache-2.0
"""rosbags' reader for bags of strangers: what they hold is data, and no more than they have.

Imports rosbags.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

from metric_depth_ros.bags.bounds import MAX_YAML_BYTES, bound_rosbags
from metric_depth_ros.errors import InputError


def refuse_computed_content(path: Path) -> None:
    """Refuse a database whose content is computed when it is read.

    A view or a generated column of a hundred bytes yields gigabytes, or rows without end.

    Raises
    ------
    ValueError
        It has such a thing.
    """
    address = f'{path.resolve().as_uri()}?mode=ro&immutable=1'
    with closing(sqlite3.connect(address, uri=True)) as database:
        entries = database.execute('SELECT type, name, sql FROM sqlite_master').fetchall()
        for kind, name, statement in entries:
            if kind == 'table':
                columns = database.execute('SELECT hidden FROM pragma_table_xinfo(?)', (name,))
                is_virtual = str(statement).lstrip().upper().startswith('CREATE VIRTUAL')
                if is_virtual or any(hidden for (hidden,) in columns):
                    raise ValueError(f'its table {name!r} computes what it holds')
            elif kind != 'index':
                raise ValueError(f'it has the {kind} {name!r}, which recordings do not have')


def refuse_unmerged_messages(path: Path) -> None:
    """Refuse a database whose recorder ended before all messages were in it.

    Raises
    ------
    InputError
        ``bag_corrupt``: some still lie in the log beside it, which reading would leave out.
    """
    log = path.with_name(f'{path.name}-wal')
    if log.is_file() and log.stat().st_size:
        raise InputError(
            'bag_corrupt',
            f'{path} is not complete: its recorder runs, or was killed, and {log.stat().st_size} '
            f'bytes of messages still lie in {log.name}. Copy both files, put them together with '
            "`sqlite3 COPY.db3 'PRAGMA wal_checkpoint(TRUNCATE)'` and read the copy.",
        )


class _CheckedDatabase(Sqlite3Reader):
    def open(self) -> None:
        refuse_unmerged_messages(Path(str(self.path)))
        refuse_computed_content(Path(str(self.path)))
        super().open()


class _CheckedFolder(DirectoryReader):
    STORAGE_PLUGINS: Mapping[str, Any] = {
        **DirectoryReader.STORAGE_PLUGINS,
        'sqlite3': _CheckedDatabase,
    }

    def open(self) -> None:
        size = (self.path / 'metadata.yaml').stat().st_size
        if size > MAX_YAML_BYTES:
            raise ValueError(
                f'metadata.yaml has {size} bytes, at most {MAX_YAML_BYTES} taken; name the files '
                'beside it one by one'
            )
        super().open()
        self._match_connections()

    def _match_connections(self) -> None:
        """Let topic and type alone say which messages are meant.

        Quality of service and type hash of metadata.yaml may have been edited, and rosbags leaves
        out, silently, what the storage has with others.
        """
        known = {(c.topic, c.msgtype): c for c in self.connections}
        for storage in self.storages:
            storage.connections[:] = [
                c._replace(ext=listed.ext, digest=listed.digest)
                if (listed := known.get((c.topic, c.msgtype)))
                else c
                for c in storage.connections
            ]


class BoundedReader(Reader):
    """The reader of rosbags with bounds."""

    STORAGE_PLUGINS: Mapping[str, Any] = {
        **Reader.STORAGE_PLUGINS,
        'dir': _CheckedFolder,
        '.db3': _CheckedDatabase,
    }

    def __init__(self, path: Path) -> None:
        bound_rosbags()
        super().__init__(path)
