"""The store as the supervisor uses it.

Law: one thread owns the connection and nothing on the loop waits for a disk. When the store is lost, reading and
changing say so in a sentence, and traffic goes on with what was known last.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.config.comparing import Noise
from proxy.errors import BanyanError
from proxy.store.corpus import Corpus
from proxy.store.counters import HOUR_SECONDS, CounterLog
from proxy.store.difflog import DiffLog
from proxy.store.events import EventLog
from proxy.store.evidence import EQUAL, EvidenceLog
from proxy.store.rates import RateLog
from proxy.store.sqlite import FORMAT, StoreError, open_database, store_path
from proxy.store.tally import Tally
from proxy.store.transaction import transaction
from proxy.telemetry.logs import log_line

T = TypeVar("T")

ON_THE_WAY_SECONDS = 7.0
"""The oldest pairs among those that are saved: figures come every second and are saved every five."""

_HALF_LIFE = Noise().half_life
_NONE: Mapping[str, float] = {}


class StoreLostError(BanyanError):
    """The store cannot be read or written now."""


class Ledger:
    """Events, hourly figures, evidence, rates and the diff log on one connection in one thread. ``up``: no call failed
    since something could be written."""

    def __init__(self, store: str) -> None:
        self.path = store_path(store)
        self.up = True
        self._failed = False  # as the store's thread knows it
        self.moved_aside: Path | None = None
        """Where the file went that was no database any more; the overrides in it do not hold."""
        self.events: EventLog
        self.diffs: DiffLog
        self.corpus: Corpus
        self.counters: CounterLog
        self.evidence: EvidenceLog
        self.rates: RateLog
        self._db: sqlite3.Connection
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def open(self) -> None:
        """Open the store, made if need be.

        Raises BanyanError when that fails: the overrides would be unknown, and a route that was rolled back would serve
        its candidate again.
        """
        try:
            await self.call(self._open)
        except StoreLostError as error:
            raise StoreError(f"the store {self.path} cannot be used: {error.__cause__}") from None

    def _open(self) -> None:
        self._db = open_database(self.path, self._moved)
        self._db.execute("PRAGMA synchronous = FULL")  # a change that was confirmed survives a power cut
        self.events = EventLog(self._db)
        self.counters = CounterLog(self._db)
        self.diffs = DiffLog(self._db)
        self.corpus = Corpus(self._db)
        self.evidence = EvidenceLog(self._db)
        self.rates = RateLog(self._db)

    def _moved(self, aside: Path) -> None:
        self.moved_aside = aside
        log_line("error", "store-moved-aside", path=str(self.path), to=str(aside), why="it is no database any more")

    async def save(
        self, at: float, deltas: dict[str, Tally], since: float | None = None, half_lives: Mapping[str, float] = _NONE
    ) -> None:
        """Add what came in between ``since`` and ``at`` (seconds since the epoch) to the hours, and the pairs that
        workers found equal to verdicts, evidence and rates. ``half_lives`` of the rates, in seconds by route.

        As evidence pairs are as old as the oldest of them may be: ``since``, and no younger than what is on its way
        from workers. Raises StoreLostError.
        """
        hour = int(at) // HOUR_SECONDS
        oldest = min(at if since is None else since, at - ON_THE_WAY_SECONDS)
        matched = {(r, hour, "matched"): delta.traffic.matched for r, delta in deltas.items() if delta.traffic.matched}
        equal = {(route, EQUAL): count for (route, _, _), count in matched.items()}
        pairs = {route: (delta.traffic.matched, delta.traffic.self_matched) for route, delta in deltas.items()}

        def write() -> None:
            with transaction(self._db):  # all or nothing, so that what failed can come again
                self.counters.add(at, deltas)
                self.diffs.add_verdicts(matched)
                self.evidence.add(oldest, equal)
                self.rates.add_pairs(at, {r: two for r, two in pairs.items() if any(two)}, half_lives, _HALF_LIFE)

        await self.call(write)

    def version(self) -> tuple[int, int]:
        """Another one whenever anything in the store may have changed. In the store's thread."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version), self._db.total_changes

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the store's thread. Raises StoreLostError when the store fails it."""

        def done() -> tuple[T, bool]:
            try:
                result = work()
            except (sqlite3.Error, OSError):
                self._failed = True
                raise
            self._failed = self._failed and not self._writable()  # a lost store may still be read
            return result, not self._failed

        try:
            result, up = await asyncio.get_running_loop().run_in_executor(self._thread, done)
        except (sqlite3.Error, OSError) as error:
            if self.up:
                log_line("error", "store-lost", path=str(self.path), why=str(error))
            self.up = False
            raise StoreLostError("the store does not work now; traffic goes on, changes cannot be recorded") from error
        if up and not self.up:
            log_line("info", "store-back", path=str(self.path))
        self.up = up
        return result

    def _writable(self) -> bool:
        """Whether the store takes something; without waiting for a lock."""
        timeout = self._db.execute("PRAGMA busy_timeout").fetchone()[0]
        try:
            self._db.execute("PRAGMA busy_timeout = 0")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")  # as it is, but written
        except sqlite3.Error:
            return False
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {timeout}")
        return True

    async def close(self) -> None:
        """Close the connection and end the thread."""
        if hasattr(self, "_db"):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=False)
