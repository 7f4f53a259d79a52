"""The one writer of the diff log.

Law: nobody waits for the disk. Counts are added up in memory until a batch is written, and stay there while it cannot
be; samples wait in a bounded queue, and what does not fit or cannot be written is dropped and counted by reason. Only
the writer's thread touches the connection.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import time
from typing import Any

from proxy.config.comparing import Noise
from proxy.config.model import Retention
from proxy.errors import BanyanError
from proxy.store.batch import Batch, Sample, Seen, Way
from proxy.store.corpus import Recorder
from proxy.store.difflog import COMPARED, DiffLog, pack
from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE, ROUTE_GROUPS, EvidenceLog
from proxy.store.rates import RateLog, Sighting
from proxy.store.reservoir import Reservoir
from proxy.store.sqlite import is_damaged, move_aside, open_database
from proxy.store.transaction import transaction

BATCH_SECONDS = 0.25
PRUNE_SECONDS = 60.0
MAX_WAITING_SAMPLES = 2000
MAX_WAITING_BYTES = 32 * 1024 * 1024
MAX_FINGERPRINTS = 20_000
"""Further ones are dropped and counted: so many kinds of difference are one, which nobody wrote a rule for. The pairs
that show them are mismatches all the same."""

_HALF_LIFE = Noise().half_life  # of routes that the configuration does not have any more


class _Store:
    """The tables that the writer fills, on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.diffs = DiffLog(connection)
        self.evidence = EvidenceLog(connection)
        self.rates = RateLog(connection)

    def write(self, batch: Batch, now: float, half_lives: Mapping[str, float], otherwise: float) -> None:
        with transaction(self.connection):
            self.diffs.write(batch)
            for bucket, counts in batch.evidence().items():
                self.evidence.add(bucket, counts)
            self.rates.add_pairs(now, batch.compared, half_lives, otherwise)
            self.rates.add_sightings(now, batch.sightings(), half_lives, otherwise)

    def prune(self, now: float, age: float) -> int:
        """What is too old; how many samples and fingerprints went."""
        self.evidence.prune(now, now - age)
        self.rates.prune(now - age)
        return self.diffs.prune_age(now - age)


class DiffWriter:
    """Counts and samples on their way to the store at ``path``.

    ``below(n)`` chooses a number from 0 to n - 1; ``report(event, text)`` is told what a person should know; ``clock``
    gives seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        retention: Retention,
        below: Callable[[int], int],
        report: Callable[[str, str], None],
        clock: Callable[[], float] = time,
    ) -> None:
        self.retention = retention
        self.half_lives: Mapping[str, float] = {}
        """Of the rates, in seconds by route; routes that are not named have the default's."""
        self.dropped: dict[str, int] = {}
        """Records lost, by reason: queue-full, disk-full, locked, store-error, too-many-fingerprints."""
        self.corpus = Recorder(below)
        """The record of requests; written in the same thread."""
        self._path = path
        self._below = below
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._batch = Batch()
        self._bytes = 0  # of the samples that wait
        self._reservoirs: dict[str, Reservoir] = {}
        self._groups: dict[str, set[str]] = {}  # sets of fingerprints that are kept apart, by route
        self._log: _Store | None = None
        self._db: sqlite3.Connection | None = None
        self._failed = False
        self._pruned = 0.0
        self._thread = threading.Thread(target=self._run, name="diff-writer", daemon=True)

    def start(self) -> None:
        """Open the store, if it can be, and begin to write; if it cannot, that is tried again with each batch."""
        self._try_open()
        self._thread.start()

    def pair(self, route: str, at: float, verdict: str, group: str) -> None:
        """Count one pair; ``at`` in seconds since the epoch, ``group`` as evidence has them."""
        with self._lock:
            if group not in (EQUAL, INCOMPARABLE, MORE):
                known = self._groups.setdefault(route, set())
                if group not in known:
                    if len(known) < ROUTE_GROUPS:
                        known.add(group)
                    else:
                        group = MORE
            if verdict in COMPARED:
                self._batch.add_compared(route, 1, 0)
            roomy = self._batch.add_pair(route, at, group)
            if not self._batch.add_verdict(route, at, verdict) or not roomy:
                self._drop("queue-full")

    def seen(self, seen: Seen, way: Way) -> bool:
        """Count one sighting, and how it was met; True if this pair was chosen as a sample of the fingerprint (then
        call ``keep``)."""
        key = seen.fingerprint
        with self._lock:
            reservoir = self._reservoirs.get(key)
            if reservoir is None:
                if len(self._reservoirs) >= MAX_FINGERPRINTS:
                    self._drop("too-many-fingerprints")
                    return False
                reservoir = self._reservoirs[key] = Reservoir()
            if not self._batch.add_seen(seen, way):
                self._drop("queue-full")
            return reservoir.chosen(seen.last, self.retention.samples, self._below)

    def keep(self, fingerprint: str, at: float, request_id: str, record: dict[str, Any]) -> None:
        """Store a redacted record as a sample, in the place of a random one if there are enough."""
        blob = pack(record)
        sample = Sample(secrets.token_hex(8), fingerprint, at, request_id, blob)
        with self._lock:
            if len(self._batch.samples) >= MAX_WAITING_SAMPLES or self._bytes + len(blob) > MAX_WAITING_BYTES:
                self._drop("queue-full")
                return
            reservoir = self._reservoirs.setdefault(fingerprint, Reservoir())
            self._batch.replaced += reservoir.take(sample.id, self.retention.samples, self._below)
            self._batch.samples.append(sample)
            self._bytes += len(blob)

    def within_legacy(self, route: str, sightings: Iterable[Sighting]) -> None:
        """Count one pair of legacy with itself, and the differences in it."""
        with self._lock:
            self._batch.add_compared(route, 0, 1)
            for sighting in sightings:
                if not self._batch.add_within(sighting):
                    self._drop("queue-full")

    def losses(self) -> dict[str, int]:
        """A copy of ``dropped``."""
        with self._lock:
            return dict(self.dropped)

    def close(self, timeout: float) -> bool:
        """Write what waits and end; False if that took longer than ``timeout`` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    # the writer's thread

    def _run(self) -> None:
        while True:
            self._wake.wait(BATCH_SECONDS)
            last = self._closing
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the writing for good
                self._report("store-writer-fault", f"{type(error).__name__}: {error}")
            if last:
                if self._db is not None:
                    self._db.close()
                return

    def step(self) -> None:
        """Write what waits, and keep the store small: what the thread does again and again."""
        self._write_batch()
        if lost := self.corpus.write():
            with self._lock:
                self._drop("requests-lost", lost)
        self._prune()

    def _write_batch(self) -> None:
        with self._lock:
            if not self._batch:
                return
            batch, self._batch, self._bytes = self._batch, Batch(), 0
        try:
            log = self._log or self._try_open()
            if log is None:
                raise sqlite3.OperationalError("not open")
            log.write(batch, self._clock(), self.half_lives, _HALF_LIFE)
            if self._failed:
                self._failed = False
                self._report("store-back", f"the store {self._path} works again")
        except sqlite3.Error as error:
            self._put_back(batch, _reason(error))
            self._fail(error)
        except Exception:  # a fault of ours: it would come again with each try, and take what comes later along
            with self._lock:
                self._drop("store-error", sum(batch.verdicts.values()))
                self._lose_samples(batch, "store-error")
            raise

    def _put_back(self, batch: Batch, reason: str) -> None:
        """Counts wait for better times; samples are lost."""
        with self._lock:
            if lost := self._batch.put_back(batch):
                self._drop("queue-full", lost)
            self._lose_samples(batch, reason)

    def _lose_samples(self, batch: Batch, reason: str) -> None:
        for sample in batch.samples:
            reservoir = self._reservoirs.get(sample.fingerprint)
            if reservoir is not None and sample.id in reservoir.ids:
                reservoir.ids.remove(sample.id)
        if batch.samples:
            self._drop(reason, len(batch.samples))

    def _fail(self, error: sqlite3.Error) -> None:
        if not self._failed:
            self._failed = True
            self._report("store-lost", f"the store {self._path} does not take records ({error}); counts are kept")
        if isinstance(error, sqlite3.OperationalError) or self._db is None:
            return
        # Not a lock and not a full disk: the file may be damaged. Opening it anew moves a damaged one aside.
        damaged = is_damaged(self._db)
        self._db.close()
        self._db = self._log = None
        if damaged:
            self._try_open(move=True)

    def _try_open(self, *, move: bool = False) -> _Store | None:
        try:
            if move:
                self._report("store-damaged", f"moved to {move_aside(self._path)}")
            self._db = open_database(self._path, lambda aside: self._report("store-damaged", f"moved to {aside}"))
            self._log = _Store(self._db)
            kept = self._log.diffs.reservoirs()
            groups = self._log.evidence.groups()
            self.corpus.opened(self._db)
        except (BanyanError, sqlite3.Error, OSError) as error:
            self._db = self._log = None
            if not self._failed:
                self._failed = True
                self._report("store-lost", str(error))
            return None
        with self._lock:
            self._reservoirs, self._groups = kept, groups
        return self._log

    def _prune(self) -> None:
        if self._log is None:
            return
        gone = 0
        try:
            now = self._clock()
            if abs(now - self._pruned) > PRUNE_SECONDS:  # a clock may be set back
                self._pruned = now
                gone = self._log.prune(now, self.retention.age)
                self.corpus.prune(now - self.retention.age, self.retention.size)
                groups = self._log.evidence.groups()
                with self._lock:
                    self._groups = groups
            gone += self._log.diffs.prune_size(self.retention.size)
            if gone:
                self._forget(self._log.diffs.reservoirs())
        except sqlite3.Error as error:
            self._fail(error)

    def _forget(self, kept: dict[str, Reservoir]) -> None:
        """Samples and fingerprints that the store does not have any more are not kept."""
        with self._lock:
            waiting = {sample.id for sample in self._batch.samples}
            for key, reservoir in list(self._reservoirs.items()):
                old = {*kept[key].ids, *waiting} if key in kept else waiting
                reservoir.ids = [sample_id for sample_id in reservoir.ids if sample_id in old]
                if key not in kept and key not in self._batch.seen:
                    del self._reservoirs[key]


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return "disk-full"
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "locked"
    return "store-error"
