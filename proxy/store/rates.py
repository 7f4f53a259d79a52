"""How often each difference is seen, between the sides and within legacy, as weights that fade.

Law: one row per fingerprint and one per route, whatever the traffic. Adding fades what is there to the present first,
so a row needs no history; what comes late counts as if it were as old as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from proxy.compare.noise import Rates, decayed
from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS route_rates (
    route TEXT PRIMARY KEY,
    at REAL NOT NULL,
    compared REAL NOT NULL,
    selfs REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rates (
    fingerprint TEXT PRIMARY KEY,
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    at REAL NOT NULL,
    seen REAL NOT NULL,
    self_seen REAL NOT NULL,
    self_count INTEGER NOT NULL,
    looks TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rates_by_route ON rates (route);
"""

MAX_ROWS = 40_000
"""Fingerprints whose rates are kept; further ones are never noise."""


class Sighting(NamedTuple):
    """Sightings of one fingerprint to be added: ``seen`` between the sides, ``self_seen`` within legacy; ``looks`` are
    what the values within legacy looked like (noise.look)."""

    fingerprint: str
    route: str
    kind: str
    path: str
    seen: int = 0
    self_seen: int = 0
    looks: frozenset[str] = frozenset()

    def plus(self, more: Sighting) -> Sighting:
        """Both together."""
        return self._replace(
            seen=self.seen + more.seen, self_seen=self.self_seen + more.self_seen, looks=self.looks | more.looks
        )


class Learned(NamedTuple):
    """What is known of one fingerprint. ``self_count`` is the exact number of sightings within legacy."""

    fingerprint: str
    route: str
    kind: str
    path: str
    rates: Rates
    self_count: int
    looks: frozenset[str]


class RateLog:
    """Rates on one connection. Not thread-safe: one thread uses the connection. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)
        self._db.create_function("faded", 3, decayed, deterministic=True)

    def add_pairs(
        self, at: float, pairs: Mapping[str, tuple[int, int]], half_lives: Mapping[str, float], otherwise: float
    ) -> None:
        """Add pairs that were compared at ``at`` (seconds since the epoch): route -> (of both sides, of legacy with
        itself). ``half_lives`` in seconds by route; ``otherwise`` for routes that are not named."""
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO route_rates VALUES (:route, :at, :compared, :selfs) ON CONFLICT DO UPDATE SET"
                " compared = faded(compared, :at - at, :half) + faded(:compared, at - :at, :half),"
                " selfs = faded(selfs, :at - at, :half) + faded(:selfs, at - :at, :half), at = max(at, :at)",
                [
                    {"route": route, "at": at, "compared": float(compared), "selfs": float(selfs),
                     "half": half_lives.get(route, otherwise)}
                    for route, (compared, selfs) in pairs.items()
                ],
            )  # fmt: skip

    def add_sightings(
        self, at: float, sightings: Iterable[Sighting], half_lives: Mapping[str, float], otherwise: float
    ) -> None:
        """Add sightings at ``at``; the rest as above."""
        with transaction(self._db):
            (rows,) = self._db.execute("SELECT count(*) FROM rates").fetchone()
            for one in sightings:
                known = self._db.execute("SELECT looks FROM rates WHERE fingerprint = ?", (one.fingerprint,)).fetchone()
                rows += known is None
                if known is None and rows > MAX_ROWS:
                    continue  # it stays a difference: what is not known to be noise is none
                looks = one.looks | _looks(known[0]) if known else one.looks
                self._db.execute(
                    "INSERT INTO rates VALUES (:fingerprint, :route, :kind, :path, :at, :seen, :self_seen, :selfs,"
                    " :looks) ON CONFLICT DO UPDATE SET"
                    " seen = faded(seen, :at - at, :half) + faded(:seen, at - :at, :half),"
                    " self_seen = faded(self_seen, :at - at, :half) + faded(:self_seen, at - :at, :half),"
                    " self_count = self_count + :selfs, at = max(at, :at), looks = :looks",
                    {"fingerprint": one.fingerprint, "route": one.route, "kind": one.kind, "path": one.path, "at": at,
                     "seen": float(one.seen), "self_seen": float(one.self_seen), "selfs": one.self_seen,
                     "looks": ",".join(sorted(looks)), "half": half_lives.get(one.route, otherwise)},
                )  # fmt: skip

    def learned(
        self, now: float, half_lives: Mapping[str, float], otherwise: float, route: str | None = None
    ) -> list[Learned]:
        """Everything that legacy ever showed against itself, of one route or of all, as of ``now``."""
        compared = {
            name: [decayed(weight, now - at, half_lives.get(name, otherwise)) for weight in (both, selfs)]
            for name, at, both, selfs in self._db.execute("SELECT route, at, compared, selfs FROM route_rates")
        }
        found = []
        rows = self._db.execute(
            "SELECT fingerprint, route, kind, path, at, seen, self_seen, self_count, looks FROM rates"
            " WHERE self_count > 0 AND (? IS NULL OR route = ?) ORDER BY path, kind",
            (route, route),
        )
        for key, name, kind, path, at, seen, self_seen, count, looks in rows:
            both, selfs = compared.get(name, (0.0, 0.0))
            half = half_lives.get(name, otherwise)
            rates = Rates(decayed(seen, now - at, half), both, decayed(self_seen, now - at, half), selfs)
            found.append(Learned(key, name, kind, path, rates, count, _looks(looks)))
        return found

    def selfs(self, route: str, now: float, half_life: float) -> float:
        """The weight of a route's comparisons of legacy with itself as of ``now``."""
        row = self._db.execute("SELECT selfs, at FROM route_rates WHERE route = ?", (route,)).fetchone()
        return decayed(row[0], now - row[1], half_life) if row else 0.0

    def prune(self, before: float) -> int:
        """Delete what was last seen before ``before`` (seconds since the epoch); how many rows went."""
        gone = self._db.execute("DELETE FROM rates WHERE at < ?", (before,)).rowcount
        return gone + self._db.execute("DELETE FROM route_rates WHERE at < ?", (before,)).rowcount


def _looks(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()
