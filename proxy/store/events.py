"""The append-only record of what operators did: who, when, what, why; and of what breakers and differences did.

Law: what operators did to a route is only ever added. The overrides that hold are a fold over it, so the record and the
state cannot disagree. Each route has its own version, which each change raises by one; a change that names another
version than the present one is refused and leaves nothing behind. Of reloads the newest ``MAX_RELOADS`` are kept.

What breakers did is no change of a route: it has no version, the fold does not see it, and of it only the newest
``MAX_BREAKER_EVENTS`` are kept. So a breaker that flaps for a night costs neither the disk nor anybody's decision. What
is said of differences is none either: a difference has no version, and its state is a fold of its own (compare.inbox).
Of what people say of one difference the newest ``MAX_MARKS`` of each action are kept, of what Banyan itself says the
newest ``MAX_OWN_MARKS``; no state depends on older ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from proxy.compare.inbox import ACTIONS, Action, Mark
from proxy.messages import BreakerEvent, Override
from proxy.store.transaction import transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    route TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_route ON events (route, id);
CREATE INDEX IF NOT EXISTS events_of_breakers ON events (id) WHERE action = 'breaker';
CREATE INDEX IF NOT EXISTS events_of_diffs ON events (json_extract(after, '$.fingerprint'), id)
    WHERE json_extract(after, '$.fingerprint') IS NOT NULL;
"""

CHANGES = ("stage", "rollback", "follow-file")
"""Actions that change a route. ``follow-file`` ends an override: the file's stage holds again."""
BREAKER = "breaker"
"""The action of a breaker's event; ``before`` and ``after`` have its ``state``, ``after`` whose it is."""
MAX_BREAKER_EVENTS = 1000
MAX_WHY = 500
OWN_MARKS = ("auto-fixed", "regressed")
"""What Banyan itself says of a difference."""
MAX_OWN_MARKS = 20
MAX_MARKS = 100
"""A script that says the same with each deployment says it a few times a day."""
MAX_OF_ONE = MAX_OWN_MARKS + MAX_MARKS * (len(ACTIONS) - len(OWN_MARKS))
"""Marks of one difference, in all."""
RELOADS = ("reload", "reload-refused", "compare-changed")
"""What is recorded when the files changed."""
MAX_RELOADS = 10_000
"""Months, unless something writes the files without end."""

KINDS = ("change", "breaker")
"""What operators did, reloads too; and what breakers did."""


class Event(NamedTuple):
    """One line of the record. ``route`` is empty for what concerns no single route; ``version`` is then 0."""

    id: int
    at: float  # seconds since the epoch
    actor: str
    action: str
    route: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str
    version: int


class StaleVersionError(Exception):
    """Somebody changed the route since it was looked at; ``current`` is its version now."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"the route is at version {current}")


class EventLog:
    """The record in one SQLite database. Not thread-safe: one thread uses the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._db.executescript(SCHEMA)

    def append(
        self,
        *,
        at: float,
        actor: str,
        action: str,
        route: str = "",
        before: dict[str, Any],
        after: dict[str, Any],
        reason: str,
        expected: int | None = None,
    ) -> Event:
        """Add one event, on disk when this returns.

        ``expected`` is the version that the actor saw; None does not ask. Raises StaleVersionError, sqlite3.Error.
        """
        with transaction(self._db):
            version = 0
            if action in CHANGES:
                version = self._version(route)
                if expected is not None and expected != version:
                    raise StaleVersionError(version)
                version += 1
            cursor = self._db.execute(
                "INSERT INTO events (at, actor, action, route, before, after, reason, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (at, actor, action, route, json.dumps(before), json.dumps(after), reason, version),
            )
            if action in RELOADS:
                self._db.execute(
                    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE action IN (?, ?, ?)"
                    " ORDER BY id DESC LIMIT -1 OFFSET ?)",
                    (*RELOADS, MAX_RELOADS),
                )
        return Event(cursor.lastrowid or 0, at, actor, action, route, before, after, reason, version)

    def overrides(self) -> list[Override]:
        """The overrides that hold: of each route the last change, unless that was to follow the file again."""
        rows = self._db.execute(
            "SELECT route, after, version, actor, reason, at, action FROM events WHERE id IN"
            " (SELECT max(id) FROM events WHERE version > 0 GROUP BY route) ORDER BY route"
        )
        found = []
        for route, after, version, actor, reason, at, action in rows:
            state = json.loads(after)
            if action != "follow-file":
                found.append(Override(route, state["stage"], state.get("percent"), version, actor, reason, at))
        return found

    def versions(self) -> dict[str, int]:
        """The version of each route that was ever changed; the others are at 0."""
        return dict(self._db.execute("SELECT route, max(version) FROM events WHERE version > 0 GROUP BY route"))

    def append_breaker_events(self, events: Sequence[BreakerEvent]) -> None:
        """Add what breakers did, on disk when this returns, and forget the oldest of its kind. Raises sqlite3.Error."""
        rows = [
            (
                one.at, f"worker {one.worker}", BREAKER, one.route, json.dumps({"state": one.before}),
                json.dumps(
                    {"state": one.after, "upstream": one.upstream, "purpose": one.purpose, "mode": one.mode}
                ),
                one.why[:MAX_WHY], 0,
            )
            for one in events
        ]  # fmt: skip
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO events (at, actor, action, route, before, after, reason, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._db.execute(
                "DELETE FROM events WHERE action = 'breaker' AND id <="
                " (SELECT id FROM events WHERE action = 'breaker' ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (MAX_BREAKER_EVENTS,),
            )

    def append_mark(self, route: str, fingerprint: str, mark: Mark, before: str) -> int:
        """Add what was said of a difference that was in the state ``before``, and forget the oldest of its kind; its
        id. Raises sqlite3.Error."""
        after: dict[str, Any] = {"fingerprint": fingerprint}
        if mark.until:
            after["until"] = mark.until
        if mark.who:
            after["who"] = mark.who
        with transaction(self._db):
            event = self.append(
                at=mark.at, actor=mark.actor, action=mark.action, route=route, before={"state": before}, after=after,
                reason=mark.text,
            )  # fmt: skip
            own = mark.action in OWN_MARKS
            self._db.execute(
                "DELETE FROM events WHERE id IN (SELECT id FROM events"
                " WHERE json_extract(after, '$.fingerprint') = ? AND action IN (?, ?)"
                " ORDER BY id DESC LIMIT -1 OFFSET ?)",
                (fingerprint, *(OWN_MARKS if own else (mark.action,) * 2), MAX_OWN_MARKS if own else MAX_MARKS),
            )
        return event.id

    def forget_marks(self, fingerprints: Iterable[str]) -> None:
        """Delete what was said of these differences. Ids may be given anew then. Raises sqlite3.Error."""
        with transaction(self._db):
            self._db.executemany(
                "DELETE FROM events WHERE json_extract(after, '$.fingerprint') = ?", [(key,) for key in fingerprints]
            )

    def marks(self, after: int = 0) -> list[tuple[int, str, str, Mark]]:
        """What was said of differences since event ``after``, oldest first: (id, route, fingerprint, mark)."""
        rows = self._db.execute(
            "SELECT id, at, actor, action, route, after, reason FROM events"
            " WHERE json_extract(after, '$.fingerprint') IS NOT NULL AND id > ? ORDER BY id",
            (after,),
        )
        return [(number, route, *_mark(at, actor, action, said, reason)) for
                number, at, actor, action, route, said, reason in rows if action in ACTIONS]  # fmt: skip

    def history(self, fingerprint: str) -> list[Mark]:
        """What was said of one difference, oldest first."""
        rows = self._db.execute(
            "SELECT at, actor, action, after, reason FROM events"
            " WHERE json_extract(after, '$.fingerprint') = ? ORDER BY id",
            (fingerprint,),
        )
        return [_mark(*row)[1] for row in rows if row[2] in ACTIONS]

    def recent(self, limit: int, route: str | None = None, kind: str | None = None) -> list[Event]:
        """The newest events first, of one route or of all, of one of KINDS or of both."""
        conditions: list[str] = []
        values: list[str] = []
        if route is not None:
            conditions.append("route = ?")
            values.append(route)
        if kind is not None:
            conditions.append("action = 'breaker'" if kind == "breaker" else "action <> 'breaker'")
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT * FROM events {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - made of fixed texts
        rows = self._db.execute(query, [*values, limit])
        return [Event._make((*row[:5], json.loads(row[5]), json.loads(row[6]), *row[7:])) for row in rows]

    def _version(self, route: str) -> int:
        row = self._db.execute("SELECT max(version) FROM events WHERE route = ?", (route,)).fetchone()
        return int(row[0] or 0)


def _mark(at: float, actor: str, action: Action, after: str, reason: str) -> tuple[str, Mark]:
    said = json.loads(after)
    return said["fingerprint"], Mark(action, at, actor, reason, said.get("until", 0.0), said.get("who", ""))
