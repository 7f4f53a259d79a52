"""Figures by the hour, so that a report and a restart do not depend on anybody's memory.

Law: what is stored is what came in during that hour, summed; adding the hours gives the total. An hour is written in
one transaction, so figures are there whole or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from proxy.store.tally import Tally, add
from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (
    hour INTEGER NOT NULL,
    route TEXT NOT NULL,
    figures BLOB NOT NULL,
    PRIMARY KEY (hour, route)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter_marks (
    hour INTEGER NOT NULL,
    route TEXT NOT NULL,
    at REAL NOT NULL,
    figures BLOB NOT NULL,
    PRIMARY KEY (hour, route)
) STRICT, WITHOUT ROWID;
"""

HOUR_SECONDS = 3600

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tally).decode


class CounterLog:
    """Hourly figures per route. Not thread-safe: one thread uses the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    def add(self, at: float, deltas: dict[str, Tally]) -> None:
        """Add what came in to the hour of ``at`` (seconds since the epoch).

        Raises sqlite3.Error; then nothing was added.
        """
        hour = int(at) // HOUR_SECONDS
        with transaction(self._db):
            for route, delta in deltas.items():
                row = self._db.execute(
                    "SELECT figures FROM counters WHERE hour = ? AND route = ?", (hour, route)
                ).fetchone()
                tally = _read(row[0]) if row else Tally()
                add(tally, delta)
                self._db.execute("REPLACE INTO counters VALUES (?, ?, ?)", (hour, route, _encode(tally)))

    def totals(self, since: float) -> dict[str, Tally]:
        """Per route, the sum over all hours that were not over at ``since`` (seconds since the epoch)."""
        total: dict[str, Tally] = {}
        for _, route, tally in self.hours(since):
            add(total.setdefault(route, Tally()), tally)
        return total

    def hours(self, since: float, route: str | None = None) -> Iterator[tuple[int, str, Tally]]:
        """(its start in seconds since the epoch, route, figures) of all hours that were not over at ``since``, of one
        route or of all."""
        rows = self._db.execute(
            "SELECT hour, route, figures FROM counters WHERE hour >= ? AND (? IS NULL OR route = ?)",
            (int(since) // HOUR_SECONDS, route, route),
        )
        for hour, name, blob in rows:
            yield hour * HOUR_SECONDS, name, _read(blob)

    def mark(self, at: float, route: str) -> None:
        """Remember what the hour of ``at`` has up to now, so that what comes after can be told from it; of an hour the
        last mark is kept."""
        self._db.execute(
            "REPLACE INTO counter_marks SELECT hour, route, ?, figures FROM counters WHERE hour = ? AND route = ?",
            (at, int(at) // HOUR_SECONDS, route),
        )

    def before(self, since: float, route: str) -> Tally:
        """What the hour of ``since`` already had at its mark; nothing if there is no mark at or before ``since``."""
        row = self._db.execute(
            "SELECT figures FROM counter_marks WHERE hour = ? AND route = ? AND at <= ?",
            (int(since) // HOUR_SECONDS, route, since),
        ).fetchone()
        return _read(row[0]) if row else Tally()

    def prune(self, before: float) -> int:
        """Delete the hours that were over at ``before``; how many rows went."""
        self._db.execute("DELETE FROM counter_marks WHERE hour < ?", (int(before) // HOUR_SECONDS,))
        return self._db.execute("DELETE FROM counters WHERE hour < ?", (int(before) // HOUR_SECONDS,)).rowcount


def _read(blob: bytes) -> Tally:
    try:
        return _decode(blob)
    except msgspec.DecodeError:  # written by another release, or damaged: an hour without figures, not a crash
        return Tally()
