"""The record of requests: for each route a fair choice of what it was asked, with legacy's redacted answers.

Law: of each kind of request (cell and shape) at most ``MAX_PER_KIND`` are kept, each with the same chance, of a route
at most ``MAX_PER_ROUTE``, and all together within their share of the store; what makes room is of the kind that has
most. Nobody waits for the disk: requests that cannot be written are dropped and counted.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from proxy.store.difflog import pack, unpack
from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    route TEXT NOT NULL,
    cell TEXT NOT NULL,
    shape TEXT NOT NULL,
    at REAL NOT NULL,
    partial INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_kind ON requests (route, cell, shape, at);
"""

MAX_PER_KIND = 5
MAX_PER_ROUTE = 500
SHARE_OF_STORE = 4
"""A quarter of ``retention.size`` may hold requests; the rest is for differences and their samples."""
MAX_WAITING = 500
MAX_WAITING_BYTES = 8 * 1024 * 1024

Kind = tuple[str, str]
"""A cell and the shape of the answer."""


class _Entry(NamedTuple):
    id: str
    route: str
    cell: str
    shape: str
    at: float  # seconds since the epoch
    partial: bool
    record: bytes


class _Group:
    """One kind: how many there were, and the ids of those kept."""

    __slots__ = ("count", "ids", "partial")

    def __init__(self) -> None:
        self.count = 0
        self.ids: list[str] = []
        self.partial = ""  # the one that is kept although its body is not all there, for want of a whole one


class Corpus:
    """The record on one connection. Not thread-safe: one thread uses the connection. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    def requests(self, route: str, limit: int = MAX_PER_ROUTE) -> list[dict[str, Any]]:
        """Recorded requests of a route, the newest of each kind first, so that few are as different as can be.

        Each has ``id``, ``cell`` (a key, see core.coverage), ``shape``, ``at`` (ISO 8601), ``request`` and ``legacy``
        (as compare.record makes them), and what stands in the way of sending it again: ``masked``, if the target or the
        body holds a secret that was masked; ``partial``, if the body is not all there.
        """
        rows = self._db.execute(
            "SELECT id, cell, shape, at, record FROM (SELECT *, row_number() OVER"
            " (PARTITION BY cell, shape ORDER BY at DESC, id) AS turn FROM requests WHERE route = ?)"
            " ORDER BY turn, cell, shape LIMIT ?",
            (route, limit),
        )
        found = []
        for key, cell, shape, at, blob in rows:
            record = unpack(blob)
            if record is not None:
                stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                found.append({**record, "id": key, "cell": cell, "shape": shape, "at": stamp})
        return found

    def counted(self, route: str) -> tuple[int, int]:
        """How many requests of a route are recorded, and of how many kinds."""
        found: tuple[int, int] = self._db.execute(
            "SELECT coalesce(sum(n), 0), count(*) FROM"
            " (SELECT count(*) AS n FROM requests WHERE route = ? GROUP BY cell, shape)",
            (route,),
        ).fetchone()
        return found

    def kinds(self) -> dict[str, dict[Kind, list[tuple[str, bool]]]]:
        """route -> kind -> (id, partial) of the requests kept, oldest first."""
        found: dict[str, dict[Kind, list[tuple[str, bool]]]] = {}
        rows = self._db.execute("SELECT id, route, cell, shape, partial FROM requests ORDER BY at, id")
        for key, route, cell, shape, partial in rows:
            found.setdefault(route, {}).setdefault((cell, shape), []).append((key, bool(partial)))
        return found

    def write(self, entries: list[_Entry], replaced: list[str]) -> None:
        """Add requests and delete those that make room, whole or not at all."""
        with transaction(self._db):
            self._db.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)", entries)
            self._db.executemany("DELETE FROM requests WHERE id = ?", [(key,) for key in replaced])

    def prune(self, before: float, size: int) -> int:
        """Delete what is older than ``before`` (seconds since the epoch), and the oldest while records take more than
        ``size`` bytes; how many went."""
        with transaction(self._db):
            gone = self._db.execute("DELETE FROM requests WHERE at < ?", (before,)).rowcount
            gone += self._db.execute(
                "DELETE FROM requests WHERE id IN (SELECT id FROM (SELECT id, sum(length(record)) OVER"
                " (ORDER BY at DESC, id) AS taken FROM requests) WHERE taken > ?)",
                (size,),
            ).rowcount
        return gone


class Recorder:
    """Chooses which requests are recorded and keeps them until the diff writer's thread writes them.

    ``below(n)`` chooses a number from 0 to n - 1.
    """

    def __init__(self, below: Callable[[int], int]) -> None:
        self._below = below
        self._lock = threading.Lock()
        self._routes: dict[str, dict[Kind, _Group]] = {}
        self._waiting: dict[str, _Entry] = {}
        self._bytes = 0
        self._replaced: list[str] = []
        self._corpus: Corpus | None = None

    def wanted(self, route: str, cell: str, shape: str, *, partial: bool) -> bool:
        """Count a request of a kind; True if it was chosen (then call :meth:`keep`). One whose body is not all there
        (``partial``) is only kept until a whole one comes."""
        with self._lock:
            kinds = self._routes.setdefault(route, {})
            group = kinds.get((cell, shape))
            if group is None:
                return sum(len(other.ids) for other in kinds.values()) < MAX_PER_ROUTE or _largest(kinds) > 1
            if partial:
                return not group.ids
            group.count += 1
            return len(group.ids) < MAX_PER_KIND or self._below(group.count) < MAX_PER_KIND

    def keep(self, route: str, kind: Kind, at: float, record: dict[str, Any]) -> bool:
        """Store a redacted record, in the place of another one if there are enough; False if there is no room to wait
        for the disk."""
        blob = pack(record)
        entry = _Entry(secrets.token_hex(8), route, *kind, at, bool(record["partial"]), blob)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING or self._bytes + len(blob) > MAX_WAITING_BYTES:
                return False
            kinds = self._routes.setdefault(route, {})
            group = kinds.setdefault(kind, _Group())
            if entry.partial and group.ids:
                return True
            group.count = max(group.count, 1)
            if group.partial in group.ids:
                group.ids.remove(group.partial)
                self._forget(group.partial)
            group.partial = entry.id if entry.partial else ""
            while len(group.ids) >= MAX_PER_KIND:
                self._forget(group.ids.pop(self._below(len(group.ids))))
            if sum(len(other.ids) for other in kinds.values()) >= MAX_PER_ROUTE:
                fullest = max(kinds, key=lambda each: len(kinds[each].ids))
                self._forget(kinds[fullest].ids.pop(self._below(len(kinds[fullest].ids))))
            group.ids.append(entry.id)
            self._waiting[entry.id] = entry
            self._bytes += len(blob)
        return True

    def _forget(self, key: str) -> None:
        entry = self._waiting.pop(key, None)
        if entry is None:
            self._replaced.append(key)
        else:
            self._bytes -= len(entry.record)

    # the writer's thread

    def opened(self, connection: sqlite3.Connection) -> None:
        """The store was opened (anew): what it holds is what is kept. Raises sqlite3.Error."""
        corpus = Corpus(connection)
        kept = corpus.kinds()
        with self._lock:
            self._corpus = corpus
            self._known(kept)

    def write(self) -> int:
        """Write what waits; how many requests were lost because the store does not take them."""
        with self._lock:
            entries, replaced = list(self._waiting.values()), self._replaced
            self._waiting, self._replaced, self._bytes = {}, [], 0
        if not entries and not replaced:
            return 0
        try:
            if self._corpus is None:
                raise sqlite3.OperationalError("not open")
            self._corpus.write(entries, replaced)
        except sqlite3.Error:
            gone = {entry.id for entry in entries}
            with self._lock:
                self._replaced += replaced[:MAX_WAITING]
                for kinds in self._routes.values():
                    for group in kinds.values():
                        group.ids = [key for key in group.ids if key not in gone]
            return len(entries)
        return 0

    def prune(self, before: float, store_size: int) -> None:
        """Keep the record within its age and its share of the store. Raises sqlite3.Error."""
        if self._corpus is not None and self._corpus.prune(before, store_size // SHARE_OF_STORE):
            kept = self._corpus.kinds()
            with self._lock:
                self._known(kept)

    def _known(self, kept: dict[str, dict[Kind, list[tuple[str, bool]]]]) -> None:
        """Take what the store holds, and what waits, for what is kept; counts go on."""
        old, self._routes = self._routes, {}
        for route, kinds in kept.items():
            for kind, ids in kinds.items():
                group = self._routes.setdefault(route, {}).setdefault(kind, _Group())
                known = old.get(route, {}).get(kind)
                group.ids = [key for key, _ in ids[-MAX_PER_KIND:]]
                group.partial = next((key for key, partial in ids if partial), "")
                group.count = max(len(ids), known.count if known else 0)
        for entry in self._waiting.values():
            group = self._routes.setdefault(entry.route, {}).setdefault((entry.cell, entry.shape), _Group())
            known = old.get(entry.route, {}).get((entry.cell, entry.shape))
            group.ids.append(entry.id)
            group.partial = entry.id if entry.partial else group.partial
            group.count = max(group.count, len(group.ids), known.count if known else 0)


def _largest(kinds: dict[Kind, _Group]) -> int:
    return max((len(group.ids) for group in kinds.values()), default=0)
