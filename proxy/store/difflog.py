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
    state TEXT NOT NULL DEFAULT 'new',
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
CREATE TABLE IF NOT EXISTS verdicts (
    route TEXT NOT NULL,
    hour INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (route, hour, verdict)
) STRICT, WITHOUT ROWID;
"""

HOUR_SECONDS = 3600
SAMPLES_LISTED = 20
COMPARED = ("matched", "ignored", "mismatched")
"""The verdicts of pairs that were compared to the end: what a share is of."""

_MAX_RECORD_BYTES = 16 * 1024 * 1024


class Seen(NamedTuple):
    """Sightings of one fingerprint to be added: ``legacy`` and ``candidate`` are the last shown values, redacted."""

    fingerprint: str
    route: str
    kind: str
    path: str
    first: float  # seconds since the epoch
    last: float
    times: int
    legacy: str
    candidate: str


class Sample(NamedTuple):
    """One recorded pair to be added; ``record`` is packed."""

    id: str
    fingerprint: str
    at: float
    request_id: str
    record: bytes


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

    def fingerprints(self, route: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """The differences, most frequent first. ``share`` is of the pairs of that route that were compared."""
        rows = self._db.execute(
            "SELECT fingerprint, route, kind, path, count, state, first_seen, last_seen, legacy, candidate"
            " FROM fingerprints WHERE ? IS NULL OR route = ? ORDER BY count DESC, fingerprint LIMIT ?",
            (route, route, limit),
        ).fetchall()
        totals = self.verdict_totals(route)
        found = []
        for key, name, kind, path, count, state, first, last, legacy, candidate in rows:
            compared = sum(totals.get(name, {}).get(verdict, 0) for verdict in COMPARED)
            samples = self._db.execute(
                "SELECT id FROM samples WHERE fingerprint = ? ORDER BY at DESC, rowid DESC LIMIT ?",
                (key, SAMPLES_LISTED),
            )
            found.append(
                {
                    "fingerprint": key,
                    "route": name,
                    "kind": kind,
                    "path": path,
                    "count": count,
                    "share": min(1.0, count / compared) if compared else 0.0,
                    "state": state,
                    "first_seen": _stamp(first),
                    "last_seen": _stamp(last),
                    "samples": [row[0] for row in samples],
                    "legacy": legacy,
                    "candidate": candidate,
                }
            )
        return found

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
        record.update(id=row[0], fingerprint=row[1], at=_stamp(row[2]), kind=row[4], path=row[5])
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

    def reservoirs(self) -> dict[str, tuple[int, list[str]]]:
        """fingerprint -> (count, ids of its samples)."""
        found: dict[str, tuple[int, list[str]]] = {
            key: (count, []) for key, count in self._db.execute("SELECT fingerprint, count FROM fingerprints")
        }
        for key, sample_id in self._db.execute("SELECT fingerprint, id FROM samples ORDER BY rowid"):
            if key in found:
                found[key][1].append(sample_id)
        return found

    # writing

    def add_verdicts(self, counts: dict[tuple[str, int, str], int]) -> None:
        """Add pairs: (route, hour since the epoch, verdict) -> how many."""
        with transaction(self._db):
            self._add_verdicts(counts)

    def write(
        self,
        seen: Iterable[Seen],
        verdicts: dict[tuple[str, int, str], int],
        samples: Iterable[Sample],
        replaced: Iterable[str],
    ) -> None:
        """Add one batch, whole or not at all; ``replaced`` are ids of samples that make room."""
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO fingerprints"
                " (fingerprint, route, kind, path, first_seen, last_seen, count, legacy, candidate)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) DO UPDATE SET"
                " count = count + excluded.count, last_seen = max(last_seen, excluded.last_seen),"
                " first_seen = min(first_seen, excluded.first_seen),"
                " legacy = excluded.legacy, candidate = excluded.candidate",
                seen,
            )
            self._add_verdicts(verdicts)
            self._db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", samples)
            self._db.executemany("DELETE FROM samples WHERE id = ?", [(sample_id,) for sample_id in replaced])

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
            self._db.execute("DELETE FROM samples WHERE fingerprint NOT IN (SELECT fingerprint FROM fingerprints)")
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


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(record: dict[str, Any], side: str) -> str:
    body = record.get(side, {}).get("body", {})
    if body.get("text") is None:
        return f"{body.get('bytes', 0)} bytes, sha256 {body.get('sha256', '')}"
    return str(body["text"])
