"""The store's file: opened alike by every process that uses it.

Law: a connection is in autocommit mode, reads while another process writes (WAL), and waits a bounded time for a lock.
A file that is no database any more is moved aside, never deleted, and a new one is begun.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from proxy.errors import BanyanError

FORMAT = 1
"""``PRAGMA user_version`` of the files that this release writes."""

BUSY_SECONDS = 2.0


class StoreError(BanyanError):
    """The store's file cannot be used."""


def store_path(url: str) -> Path:
    """The file of a store setting: ``sqlite:///var/banyan.db`` is relative, ``sqlite:////srv/banyan.db`` absolute."""
    return Path(url.removeprefix("sqlite:///"))


def open_database(path: Path, moved: Callable[[Path], None] | None = None) -> sqlite3.Connection:
    """Open the file, making it and its folder if need be. The connection may change threads, one at a time.

    ``moved`` is told where a file went that was no database. Raises StoreError, in a sentence for people.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: the file itself may be sound
                raise
        aside = move_aside(path)
        if moved is not None:
            moved(aside)
        return _open(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"the store {path} cannot be used: {error}; check `store:` in the configuration, the folder's "
            "permissions and the free space"
        ) from None


def is_damaged(connection: sqlite3.Connection) -> bool:
    """Whether the file has lost its inner order. Reads all of it."""
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True


def _open(path: Path) -> sqlite3.Connection:
    # Bodies are customers' data, even redacted; SQLite gives its other files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # Pages can only be given back if this is said before the first table.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a crash loses the tail, never the file
        connection.execute(f"PRAGMA journal_size_limit = {4 * 1024 * 1024}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version < FORMAT:
            connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.close()
        raise
    if version > FORMAT:
        connection.close()
        raise StoreError(
            f"the store {path} was written by a newer Banyan (format {version}, this one reads {FORMAT}); "
            "use that release, or another file"
        )
    return connection


def move_aside(path: Path) -> Path:
    """Rename a damaged file, with what belongs to it; where it went. Raises OSError."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):  # they belong to the damaged file and would spoil the new one
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
