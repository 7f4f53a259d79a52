"""One transaction, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin at once (a busy database fails here, not at the end), commit at the end, roll back on any exception.

    Inside another one it is a part of that. The connection is in autocommit mode (``isolation_level=None``). Raises
    sqlite3.Error.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
