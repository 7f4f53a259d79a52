"""The diff log: which differences there are, how often, since when, with a few recorded pairs of each.

Law: counts are exact as far as they were written; samples are a bounded, fair choice. Ids are opaque: they are looked
up and never made into anything else. What is stored is JSON, and what cannot be read as that is left out.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from proxy.store.batch import HOUR_SECONDS, Batch, Way
from proxy.store.reservoir import Reservoir
from proxy.store.side_by_side import side_by_side
from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS fingerprints (
    fingerprint TEXT PRIMARY KEY,
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    count INTEGER NOT NULL,
    legacy TEXT NOT NULL,
    candidate TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fingerprints_by_route ON fingerprints (route, count);
CREATE TABLE IF NOT EXISTS samples (
    id TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    at REAL NOT NULL,
    request_id TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS samples_by_fingerprint ON samples (fingerprint, at);
CREATE TABLE IF NOT EXISTS ways (
    fingerprint TEXT NOT NULL,
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, dimension, value)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
    route TEXT NOT NULL,
    hour INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (route, hour, verdict)
) STRICT, WITHOUT ROWID;
"""

SAMPLES_LISTED = 20
MAX_VALUES = 50
"""Values of one dimension that are kept apart for one fingerprint; the others count together as ``OTHER``."""
OTHER = "other"
DIMENSIONS = ("arms", "statuses", "methods", "cohorts")
"""What is told of the pairs that showed a difference."""
CELLS = "cells"
"""One more dimension, for Banyan alone: the cells of the coverage that they were in."""
COMPARED = ("matched", "ignored", "mismatched")
"""The verdicts of pairs that were compared to the end: what a share is of."""

_MAX_RECORD_BYTES = 16 * 1024 * 1024


class Kept(NamedTuple):
    """One fingerprint in short. Times are seconds since the epoch."""

    fingerprint: str
    route: str
    kind: str
    path: str
    times: int
    first: float
    last: float


def pack(record: dict[str, Any]) -> bytes:
    """A record as it is stored: compressed JSON. Level 1 is enough for bodies."""
    return zlib.compress(orjson.dumps(record), 1)


def unpack(blob: bytes) -> dict[str, Any] | None:
    """A stored record; None if it is damaged or of another kind."""
    try:
        stream = zlib.decompressobj()
        record = orjson.loads(stream.decompress(blob, _MAX_RECORD_BYTES))
    except (zlib.error, orjson.JSONDecodeError, TypeError):
        return None
    return record if isinstance(record, dict) else None


class DiffLog:
    """The diff log on one connection. Not thread-safe: one thread uses the connection. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    # reading

    def kept(self, route: str | None = None) -> list[Kept]:
        """All fingerprints in short, of one route or of all."""
        rows = self._db.execute(
            "SELECT fingerprint, route, kind, path, count, first_seen, last_seen FROM fingerprints"
            " WHERE ? IS NULL OR route = ?",
            (route, route),
        )
        return [Kept._make(row) for row in rows]

    def fingerprints(self, route: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """The differences, most frequent first."""
        rows = self._db.execute(
            "SELECT fingerprint FROM fingerprints WHERE ? IS NULL OR route = ?"
            " ORDER BY count DESC, fingerprint LIMIT ?",
            (route, route, limit),
        )
        return self.described([row[0] for row in rows])

    def described(self, fingerprints: Iterable[str]) -> list[dict[str, Any]]:
        """These differences in full, in this order; unknown ones are left out. ``share`` is of the pairs of the route
        that were compared; of each of DIMENSIONS there is value -> pairs."""
        totals = self.verdict_totals()
        compared = {name: sum(counts.get(verdict, 0) for verdict in COMPARED) for name, counts in totals.items()}
        found = []
        for key in fingerprints:
            row = self._db.execute(
                "SELECT route, kind, path, count, first_seen, last_seen, legacy, candidate FROM fingerprints"
                " WHERE fingerprint = ?",
                (key,),
            ).fetchone()
            if row is None:
                continue
            route, kind, path, count, first, last, legacy, candidate = row
            samples = self._db.execute(
                "SELECT id FROM samples WHERE fingerprint = ? ORDER BY at DESC, rowid DESC LIMIT ?",
                (key, SAMPLES_LISTED),
            )
            of = compared.get(route, 0)
            found.append(
                {
                    "fingerprint": key,
                    "route": route,
                    "kind": kind,
                    "path": path,
                    "count": count,
                    "share": min(1.0, count / of) if of else 0.0,
                    "first_seen": stamp(first),
                    "last_seen": stamp(last),
                    "samples": [sample[0] for sample in samples],
                    "legacy": legacy,
                    "candidate": candidate,
                    **self._ways(key),
                }
            )
        return found

    def _ways(self, fingerprint: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {dimension: {} for dimension in DIMENSIONS}
        rows = self._db.execute(
            "SELECT dimension, value, count FROM ways WHERE fingerprint = ? ORDER BY count DESC, value", (fingerprint,)
        )
        for dimension, value, count in rows:
            if dimension in found:
                found[dimension][value] = count
        return found

    def cells(self, fingerprint: str) -> dict[str, int]:
        """Cell of the coverage -> sightings of a fingerprint in it; ``OTHER`` is those beyond MAX_VALUES. Sightings
        without a cell are left out."""
        rows = self._db.execute(
            "SELECT value, count FROM ways WHERE fingerprint = ? AND dimension = ?", (fingerprint, CELLS)
        )
        return dict(rows.fetchall())

    def newest_sample(self, fingerprint: str) -> str | None:
        """The id of the newest recorded pair of a fingerprint; None if there is none."""
        row = self._db.execute(
            "SELECT id FROM samples WHERE fingerprint = ? ORDER BY at DESC, rowid DESC LIMIT 1", (fingerprint,)
        ).fetchone()
        return str(row[0]) if row else None

    def samples_of(self, route: str, limit: int) -> list[str]:
        """The ids of the newest recorded pairs of a route."""
        rows = self._db.execute(
            "SELECT s.id FROM samples s JOIN fingerprints f ON f.fingerprint = s.fingerprint WHERE f.route = ?"
            " ORDER BY s.at DESC, s.rowid DESC LIMIT ?",
            (route, limit),
        )
        return [row[0] for row in rows]

    def sample(self, sample_id: str) -> dict[str, Any] | None:
        """One recorded pair with ``side_by_side`` lines of both bodies; None if there is none of that id."""
        row = self._db.execute(
            "SELECT s.id, s.fingerprint, s.at, s.record, f.kind, f.path FROM samples s"
            " LEFT JOIN fingerprints f ON f.fingerprint = s.fingerprint WHERE s.id = ?",
            (sample_id,),
        ).fetchone()
        record = unpack(row[3]) if row else None
        if record is None:
            return None
        record.update(id=row[0], fingerprint=row[1], at=stamp(row[2]), kind=row[4], path=row[5])
        record["side_by_side"] = side_by_side(_text(record, "legacy"), _text(record, "candidate"))
        return record

    def verdict_totals(self, route: str | None = None, since: float | None = None) -> dict[str, dict[str, int]]:
        """route -> verdict -> pairs, over the hours that were not over at ``since`` (seconds since the epoch)."""
        hour = int(since) // HOUR_SECONDS if since is not None else -1
        rows = self._db.execute(
            "SELECT route, verdict, sum(count) FROM verdicts WHERE hour >= ? AND (? IS NULL OR route = ?)"
            " GROUP BY route, verdict",
            (hour, route, route),
        )
        totals: dict[str, dict[str, int]] = {}
        for name, verdict, count in rows:
            totals.setdefault(name, {})[verdict] = count
        return totals

    def reservoirs(self) -> dict[str, Reservoir]:
        """fingerprint -> what its samples were chosen from."""
        found = {
            key: Reservoir.resumed(count, first, last)
            for key, count, first, last in self._db.execute(
                "SELECT fingerprint, count, first_seen, last_seen FROM fingerprints"
            )
        }
        for key, sample_id in self._db.execute("SELECT fingerprint, id FROM samples ORDER BY rowid"):
            if key in found:
                found[key].ids.append(sample_id)
        return found

    # writing

    def add_verdicts(self, counts: dict[tuple[str, int, str], int]) -> None:
        """Add pairs: (route, hour since the epoch, verdict) -> how many."""
        with transaction(self._db):
            self._add_verdicts(counts)

    def write(self, batch: Batch) -> None:
        """Add a batch's counts and samples, whole or not at all; without its evidence and rates."""
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO fingerprints"
                " (fingerprint, route, kind, path, first_seen, last_seen, count, legacy, candidate)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) DO UPDATE SET"
                " count = count + excluded.count, last_seen = max(last_seen, excluded.last_seen),"
                " first_seen = min(first_seen, excluded.first_seen),"
                " legacy = excluded.legacy, candidate = excluded.candidate",
                batch.seen.values(),
            )
            self._add_ways(batch.ways)
            self._add_verdicts(batch.verdicts)
            self._db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", batch.samples)
            self._db.executemany("DELETE FROM samples WHERE id = ?", [(sample_id,) for sample_id in batch.replaced])

    def _add_ways(self, ways: dict[tuple[str, Way], int]) -> None:
        counts: dict[tuple[str, str, str], int] = {}
        for (fingerprint, way), times in ways.items():
            pairs = [("arms", way.arm), ("statuses", way.statuses), ("methods", way.method)]
            if way.cell:
                pairs.append((CELLS, way.cell))
            for dimension, value in [*pairs, *(("cohorts", cohort) for cohort in way.cohorts)]:
                counts[fingerprint, dimension, value] = counts.get((fingerprint, dimension, value), 0) + times
        for (fingerprint, dimension, value), times in counts.items():
            known = self._db.execute(
                "UPDATE ways SET count = count + ? WHERE fingerprint = ? AND dimension = ? AND value = ?",
                (times, fingerprint, dimension, value),
            )
            if known.rowcount:
                continue
            (values,) = self._db.execute(
                "SELECT count(*) FROM ways WHERE fingerprint = ? AND dimension = ?", (fingerprint, dimension)
            ).fetchone()
            self._db.execute(
                "INSERT INTO ways VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (fingerprint, dimension, value if values < MAX_VALUES else OTHER, times),
            )

    def _add_verdicts(self, counts: dict[tuple[str, int, str], int]) -> None:
        self._db.executemany(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(*key, count) for key, count in counts.items()],
        )

    # keeping it small

    def prune_age(self, before: float) -> int:
        """Delete what was last seen before ``before`` (seconds since the epoch); how many samples and fingerprints."""
        with transaction(self._db):
            gone = self._db.execute("DELETE FROM samples WHERE at < ?", (before,)).rowcount
            gone += self._db.execute("DELETE FROM fingerprints WHERE last_seen < ?", (before,)).rowcount
            self._db.execute("DELETE FROM verdicts WHERE hour < ?", (int(before) // HOUR_SECONDS,))
            for table in ("samples", "ways"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE fingerprint NOT IN"  # noqa: S608 - made of fixed texts
                    " (SELECT fingerprint FROM fingerprints)"
                )
        return gone

    def prune_size(self, size: int) -> int:
        """If the file is larger than ``size`` bytes, delete the oldest samples until it is a tenth smaller, and give
        the space back; how many samples went. Counts stay."""
        if self.used() <= size:
            return 0
        gone = 0
        while self.used() > size * 9 // 10:
            with transaction(self._db):
                deleted = self._db.execute(
                    "DELETE FROM samples WHERE rowid IN (SELECT rowid FROM samples ORDER BY at, rowid LIMIT"
                    " (SELECT 1 + count(*) / 10 FROM samples))"
                ).rowcount
            if not deleted:
                break
            gone += deleted
        self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would take one step: one page
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def used(self) -> int:
        """Bytes of the file that hold something."""
        page, pages, free = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        return int(page * (pages - free))


def stamp(seconds: float) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(record: dict[str, Any], side: str) -> str:
    body = record.get(side, {}).get("body", {})
    if body.get("text") is None:
        return f"{body.get('bytes', 0)} bytes, digest {body.get('digest') or body.get('sha256', '')}"
    return str(body["text"])
