"""Evidence: how many pairs there were of each outcome, by time, so that the past can be judged by what is known now.

Law: each pair that got a verdict is counted in exactly one group of one bucket, never in a bucket that is younger than
the pair. A group is the set of fingerprints that a pair showed; so whoever accepts a difference later takes out exactly
the pairs that showed nothing else. What does not fit under the bounds counts as ``MORE``, which nobody can accept.

The store holds at most ``MAX_GROUPS`` groups (``ROUTE_GROUPS`` of one route) per bucket; buckets of five seconds become
buckets of an hour when they are an hour old, and are deleted at the end of the retention.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate, groupby
from math import inf
from operator import itemgetter
from typing import NamedTuple

from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence_groups (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    fingerprints TEXT NOT NULL,
    UNIQUE (route, fingerprints)
) STRICT;
CREATE TABLE IF NOT EXISTS evidence (
    route TEXT NOT NULL,
    start INTEGER NOT NULL,
    grouped INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (route, start, grouped)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS evidence_by_start ON evidence (start);
CREATE TABLE IF NOT EXISTS judged_by (
    route TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    since REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

BUCKET_SECONDS = 5
HOUR_SECONDS = 3600
ROUTE_GROUPS = 500
"""Sets of fingerprints kept apart on one route: more combinations than that are chaos, not findings."""
MAX_GROUPS = 10_000
"""The same over all routes; with two weeks of hours about 100 MB, if every hour showed every group."""

EQUAL = ""
"""The group of pairs without any difference that counts."""
INCOMPARABLE = "incomparable"
"""The group of pairs that were not compared to the end."""
MORE = "more"
"""The group of pairs with more differences than are kept, or beyond the bounds: always a mismatch."""

_FIXED = {EQUAL: 0, INCOMPARABLE: 1, MORE: 2}
"""These groups are no rows: every process may count them, whoever prunes the others."""
_FIRST_ID = 16
_LATE_SECONDS = 48 * HOUR_SECONDS  # pairs may be written so late, if the store was away; older hours are not read again


def group_of(fingerprints: Iterable[str]) -> str:
    """The group of a pair that showed these fingerprints, whatever their order."""
    return ",".join(sorted(fingerprints))


def bucket_of(at: float) -> int:
    """Where the bucket begins that ``at`` falls into; both in seconds since the epoch."""
    return int(at) // BUCKET_SECONDS * BUCKET_SECONDS


class PairCounts(NamedTuple):
    """Pairs of one route. ``groups``: (fingerprints, pairs) of those that differed; where more differences were than
    are kept the set is ``{MORE}``, which is no fingerprint."""

    equal: int
    incomparable: int
    groups: list[tuple[frozenset[str], int]]

    def mismatched(self, expected: frozenset[str] | set[str] = frozenset()) -> int:
        """Pairs that showed at least one fingerprint that is not ``expected``."""
        return sum(count for shown, count in self.groups if not shown <= expected)

    def compared(self) -> int:
        """Pairs that were compared to the end."""
        return self.equal + sum(count for _, count in self.groups)


class Course(NamedTuple):
    """How comparing went on a route. ``starts`` of buckets, ascending, and the pairs up to the end of each;
    ``seen``: fingerprint -> pairs that showed it."""

    starts: list[int]
    totals: list[int]
    seen: dict[str, int]

    def compared(self, since: float, until: float) -> int:
        """Pairs in buckets that begin at or after ``since`` and not after ``until``."""
        first, last = bisect_left(self.starts, since), bisect_right(self.starts, until)
        return (self.totals[last - 1] if last else 0) - (self.totals[first - 1] if first else 0) if last > first else 0


def _pair_counts(rows: Iterable[tuple[int, str | None, int]]) -> PairCounts:
    """Rows are (group's id, its fingerprints, pairs)."""
    by_id: dict[int, int] = {}
    groups = []
    for grouped, fingerprints, count in rows:
        if grouped in (_FIXED[EQUAL], _FIXED[INCOMPARABLE]):
            by_id[grouped] = count
        else:
            groups.append((frozenset((fingerprints or MORE).split(",")), count))
    return PairCounts(by_id.get(_FIXED[EQUAL], 0), by_id.get(_FIXED[INCOMPARABLE], 0), groups)


class _Ids:
    """The ids of groups, made if need be, within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._counts: dict[str, int] | None = None  # by route; only counted if there is a new group
        self._next = 0

    def of(self, route: str, group: str) -> int:
        if group in _FIXED:
            return _FIXED[group]
        row = self._db.execute(
            "SELECT id FROM evidence_groups WHERE route = ? AND fingerprints = ?", (route, group)
        ).fetchone()
        return int(row[0]) if row is not None else self._made(route, group)

    def _made(self, route: str, group: str) -> int:
        if self._counts is None:
            self._counts = dict(self._db.execute("SELECT route, count(*) FROM evidence_groups GROUP BY route"))
            (last,) = self._db.execute("SELECT max(id) FROM evidence_groups").fetchone()
            self._next = max(_FIRST_ID, (last or 0) + 1)
        mine = self._counts.get(route, 0)
        if mine >= ROUTE_GROUPS or sum(self._counts.values()) >= MAX_GROUPS:
            return _FIXED[MORE]
        self._counts[route] = mine + 1
        self._db.execute("INSERT INTO evidence_groups VALUES (?, ?, ?)", (self._next, route, group))
        self._next += 1
        return self._next - 1


class EvidenceLog:
    """Evidence on one connection. Not thread-safe: one thread uses the connection. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    def add(self, at: float, counts: Mapping[tuple[str, str], int]) -> None:
        """Add pairs to the bucket of ``at`` (seconds since the epoch): (route, group) -> how many, whole or not."""
        start = bucket_of(at)
        with transaction(self._db):
            ids = _Ids(self._db)
            self._db.executemany(
                "INSERT INTO evidence VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(route, start, ids.of(route, group), count) for (route, group), count in counts.items() if count],
            )

    def counts(self, route: str, since: float, until: float = inf) -> PairCounts:
        """The pairs in buckets that begin at or after ``since`` and not after ``until`` (seconds since the epoch).

        A bucket that ``since`` falls into is left out as a whole, an hour if it is old: what is counted happened since.
        With the present as ``until`` nothing counts that is of a clock that was set back: it happened before.
        """
        rows = self._db.execute(
            "SELECT e.grouped, g.fingerprints, sum(e.count) FROM evidence e"
            " LEFT JOIN evidence_groups g ON g.id = e.grouped"
            " WHERE e.route = ? AND e.start >= ? AND e.start <= ?"
            " GROUP BY e.grouped ORDER BY sum(e.count) DESC, e.grouped",
            (route, since, until),
        )
        return _pair_counts(rows)

    def first(self, route: str, since: float, until: float = inf) -> float | None:
        """When the bucket of the first of these pairs began, in seconds since the epoch; None without a pair."""
        row = self._db.execute(
            "SELECT min(start) FROM evidence WHERE route = ? AND start >= ? AND start <= ?", (route, since, until)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def hours(self, route: str, since: float) -> dict[int, PairCounts]:
        """The same by the hour: its start in seconds since the epoch -> pairs."""
        rows = self._db.execute(
            "SELECT e.start / 3600 * 3600, e.grouped, g.fingerprints, sum(e.count) FROM evidence e"
            " LEFT JOIN evidence_groups g ON g.id = e.grouped"
            " WHERE e.route = ? AND e.start >= ? GROUP BY 1, e.grouped ORDER BY 1",
            (route, since),
        )
        return {hour: _pair_counts(row[1:] for row in of) for hour, of in groupby(rows, key=itemgetter(0))}

    def judged_by(self, digests: Mapping[str, str], since: float) -> list[str]:
        """Say what routes are judged by from ``since`` on (seconds since the epoch): route -> digest of its rules and
        candidate. Which routes were judged by something else before; the first word on a route changes nothing."""
        changed = []
        with transaction(self._db):
            known = dict(self._db.execute("SELECT route, digest FROM judged_by"))
            for route, digest in digests.items():
                if route not in known:
                    self._db.execute("INSERT INTO judged_by VALUES (?, ?, 0)", (route, digest))
                elif known[route] != digest:
                    self._db.execute(
                        "UPDATE judged_by SET digest = ?, since = ? WHERE route = ?", (digest, since, route)
                    )
                    changed.append(route)
        return changed

    def judged_since(self, route: str) -> float:
        """Since when a route is judged as it is now, in seconds since the epoch; 0 if it never was otherwise."""
        row = self._db.execute("SELECT since FROM judged_by WHERE route = ?", (route,)).fetchone()
        return float(row[0]) if row else 0.0

    def course(self, route: str) -> Course:
        """All pairs of a route that were compared to the end, by time and by fingerprint."""
        compared: dict[int, int] = {}
        groups: dict[int, int] = {}
        rows = self._db.execute(
            "SELECT start, grouped, count FROM evidence WHERE route = ? AND grouped <> ? ORDER BY start",
            (route, _FIXED[INCOMPARABLE]),
        )
        for start, grouped, count in rows:
            compared[start] = compared.get(start, 0) + count
            groups[grouped] = groups.get(grouped, 0) + count
        seen: dict[str, int] = {}
        for grouped, fingerprints in self._db.execute(
            "SELECT id, fingerprints FROM evidence_groups WHERE route = ?", (route,)
        ):
            for fingerprint in fingerprints.split(","):
                seen[fingerprint] = seen.get(fingerprint, 0) + groups.get(grouped, 0)
        return Course(list(compared), list(accumulate(compared.values())), seen)

    def groups(self) -> dict[str, set[str]]:
        """route -> the groups that are kept apart."""
        found: dict[str, set[str]] = {}
        for route, group in self._db.execute("SELECT route, fingerprints FROM evidence_groups"):
            found.setdefault(route, set()).add(group)
        return found

    def prune(self, now: float, before: float) -> int:
        """Make hours of what is older than an hour, and delete what began before ``before``; how many rows went."""
        whole = (int(now) - HOUR_SECONDS) // HOUR_SECONDS * HOUR_SECONDS  # hours that ended at least an hour ago
        with transaction(self._db):
            gone = old = self._db.execute("DELETE FROM evidence WHERE start < ?", (before,)).rowcount
            fine = self._db.execute(
                "SELECT route, start / 3600 * 3600, grouped, sum(count) FROM evidence"
                " WHERE start < ? AND start % 3600 <> 0 GROUP BY 1, 2, 3",
                (whole,),
            ).fetchall()
            if fine:
                gone += self._db.execute(
                    "DELETE FROM evidence WHERE start < ? AND start % 3600 <> 0", (whole,)
                ).rowcount
                self._db.executemany(
                    "INSERT INTO evidence VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                    fine,
                )
            if old:
                self._db.execute("DELETE FROM evidence_groups WHERE id NOT IN (SELECT grouped FROM evidence)")
        return gone
