"""The one writer of the diff log.

Law: nobody waits for the disk. Counts are added up in memory until a batch is written, and stay there while it cannot
be; samples wait in a bounded queue, and what does not fit or cannot be written is dropped and counted by reason. Only
the writer's thread touches the connection.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

from proxy.config.model import Retention
from proxy.errors import BanyanError
from proxy.store.corpus import Recorder
from proxy.store.difflog import HOUR_SECONDS, DiffLog, Sample, Seen, pack
from proxy.store.sqlite import is_damaged, move_aside, open_database

BATCH_SECONDS = 0.25
PRUNE_SECONDS = 60.0
MAX_WAITING_SAMPLES = 2000
MAX_WAITING_BYTES = 32 * 1024 * 1024
MAX_FINGERPRINTS = 20_000
"""Further ones are dropped and counted: so many kinds of difference are one, which nobody wrote a rule for."""

MAX_VERDICTS = 100_000
"""Counters in memory while the disk is away: routes x hours x verdicts."""


class DiffWriter:
    """Counts and samples on their way to the store at ``path``.

    ``below(n)`` chooses a number from 0 to n - 1; ``report(event, text)`` is told what a person should know.
    """

    def __init__(
        self, path: Path, retention: Retention, below: Callable[[int], int], report: Callable[[str, str], None]
    ) -> None:
        self.retention = retention
        self.dropped: dict[str, int] = {}
        """Records lost, by reason: queue-full, disk-full, locked, store-error, too-many-fingerprints."""
        self.corpus = Recorder(below)
        """The record of requests; written in the same thread."""
        self._path = path
        self._below = below
        self._report = report
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._seen: dict[str, Seen] = {}
        self._verdicts: dict[tuple[str, int, str], int] = {}
        self._samples: list[Sample] = []
        self._bytes = 0
        self._replaced: list[str] = []
        self._reservoirs: dict[str, tuple[int, list[str]]] = {}
        self._log: DiffLog | None = None
        self._db: sqlite3.Connection | None = None
        self._failed = False
        self._pruned = 0.0
        self._thread = threading.Thread(target=self._run, name="diff-writer", daemon=True)

    def start(self) -> None:
        """Open the store, if it can be, and begin to write; if it cannot, that is tried again with each batch."""
        self._try_open()
        self._thread.start()

    def verdict(self, route: str, at: float, verdict: str) -> None:
        """Count one pair; ``at`` in seconds since the epoch."""
        key = (route, int(at) // HOUR_SECONDS, verdict)
        with self._lock:
            if key in self._verdicts or len(self._verdicts) < MAX_VERDICTS:
                self._verdicts[key] = self._verdicts.get(key, 0) + 1
            else:
                self._drop("queue-full")

    def seen(self, seen: Seen) -> bool:
        """Count one sighting; True if this pair was chosen as a sample of the fingerprint (then call ``keep``).

        Of n sightings each is kept with the same chance (reservoir sampling, Vitter's algorithm R).
        """
        key = seen.fingerprint
        with self._lock:
            count, ids = self._reservoirs.get(key, (0, []))
            if count == 0 and len(self._reservoirs) >= MAX_FINGERPRINTS:
                self._drop("too-many-fingerprints")
                return False
            self._reservoirs[key] = (count + 1, ids)
            known = self._seen.get(key)
            self._seen[key] = (
                seen if known is None
                else seen._replace(first=min(known.first, seen.first), last=max(known.last, seen.last),
                                   times=known.times + seen.times)
            )  # fmt: skip
        return len(ids) < self.retention.samples or self._below(count + 1) < self.retention.samples

    def keep(self, fingerprint: str, at: float, request_id: str, record: dict[str, Any]) -> None:
        """Store a redacted record as a sample, in the place of a random one if there are enough."""
        blob = pack(record)
        sample = Sample(secrets.token_hex(8), fingerprint, at, request_id, blob)
        with self._lock:
            if len(self._samples) >= MAX_WAITING_SAMPLES or self._bytes + len(blob) > MAX_WAITING_BYTES:
                self._drop("queue-full")
                return
            ids = self._reservoirs.setdefault(fingerprint, (1, []))[1]
            while len(ids) >= self.retention.samples:
                self._replaced.append(ids.pop(self._below(len(ids))))
            ids.append(sample.id)
            self._samples.append(sample)
            self._bytes += len(blob)

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
                self._write_batch()
                if lost := self.corpus.write():
                    with self._lock:
                        self._drop("requests-lost", lost)
                self._prune()
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the writing for good
                self._report("store-writer-fault", f"{type(error).__name__}: {error}")
            if last:
                if self._db is not None:
                    self._db.close()
                return

    def _write_batch(self) -> None:
        with self._lock:
            if not (self._seen or self._verdicts or self._samples or self._replaced):
                return
            seen, verdicts, samples, replaced = self._seen, self._verdicts, self._samples, self._replaced
            self._seen, self._verdicts, self._samples, self._replaced, self._bytes = {}, {}, [], [], 0
        try:
            log = self._log or self._try_open()
            if log is None:
                raise sqlite3.OperationalError("not open")
            log.write(seen.values(), verdicts, samples, replaced)
            if self._failed:
                self._failed = False
                self._report("store-back", f"the store {self._path} works again")
        except sqlite3.Error as error:
            self._put_back(seen, verdicts, samples, _reason(error))
            self._fail(error)

    def _put_back(
        self, seen: dict[str, Seen], verdicts: dict[tuple[str, int, str], int], samples: list[Sample], reason: str
    ) -> None:
        """Counts wait for better times; samples are lost."""
        with self._lock:
            for key, old in seen.items():
                new = self._seen.get(key, old)
                self._seen[key] = new._replace(
                    first=min(old.first, new.first), times=old.times + (new.times if key in self._seen else 0)
                )
            for verdict, count in verdicts.items():
                self._verdicts[verdict] = self._verdicts.get(verdict, 0) + count
            for sample in samples:
                ids = self._reservoirs.get(sample.fingerprint, (0, []))[1]
                if sample.id in ids:
                    ids.remove(sample.id)
            if samples:
                self._drop(reason, len(samples))

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

    def _try_open(self, *, move: bool = False) -> DiffLog | None:
        try:
            if move:
                self._report("store-damaged", f"moved to {move_aside(self._path)}")
            self._db = open_database(self._path, lambda aside: self._report("store-damaged", f"moved to {aside}"))
            self._log = DiffLog(self._db)
            kept = self._log.reservoirs()
            self.corpus.opened(self._db)
        except (BanyanError, sqlite3.Error, OSError) as error:
            self._db = self._log = None
            if not self._failed:
                self._failed = True
                self._report("store-lost", str(error))
            return None
        with self._lock:
            self._reservoirs = kept
        return self._log

    def _prune(self) -> None:
        if self._log is None:
            return
        gone = 0
        try:
            now = time()
            if now - self._pruned > PRUNE_SECONDS:
                self._pruned = now
                gone = self._log.prune_age(now - self.retention.age)
                self.corpus.prune(now - self.retention.age, self.retention.size)
            gone += self._log.prune_size(self.retention.size)
            if gone:
                kept = self._log.reservoirs()
                with self._lock:
                    waiting = {sample.id for sample in self._samples}
                    for key, (count, ids) in list(self._reservoirs.items()):
                        old = set(kept.get(key, (0, []))[1]) | waiting
                        self._reservoirs[key] = (count, [sample_id for sample_id in ids if sample_id in old])
                        if key not in kept and key not in self._seen:
                            del self._reservoirs[key]
        except sqlite3.Error as error:
            self._fail(error)


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return "disk-full"
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "locked"
    return "store-error"
