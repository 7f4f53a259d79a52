"""What waits to be written to the diff log.

Law: counts are added up, so memory grows with kinds of things and not with pairs; every map has a bound. What does not
fit under it is counted more coarsely where that is the careful side, and otherwise dropped and counted by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE, bucket_of
from proxy.store.rates import Sighting

K = TypeVar("K")

HOUR_SECONDS = 3600

MAX_COUNTERS = 100_000
"""Of each kind, in memory while the disk is away: routes x hours x verdicts, buckets x groups, ways of sightings."""


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

    def plus(self, later: Seen) -> Seen:
        """Both together; the values are those of ``later``."""
        return later._replace(
            first=min(self.first, later.first), last=max(self.last, later.last), times=self.times + later.times
        )


class Sample(NamedTuple):
    """One recorded pair to be added; ``record`` is packed."""

    id: str
    fingerprint: str
    at: float
    request_id: str
    record: bytes


class Way(NamedTuple):
    """How a difference was met: what it affects. ``statuses`` is ``200/500``, legacy's and the candidate's."""

    arm: str
    statuses: str
    method: str
    cohorts: tuple[str, ...]
    cell: str = ""
    """Of the coverage: the kind of request; empty if nobody knows."""


@dataclass
class Batch:
    """Counts and samples. The methods that take counts return False if there was no room."""

    seen: dict[str, Seen] = field(default_factory=dict)
    ways: dict[tuple[str, Way], int] = field(default_factory=dict)
    verdicts: dict[tuple[str, int, str], int] = field(default_factory=dict)  # (route, hour, verdict)
    pairs: dict[tuple[int, str, str], int] = field(default_factory=dict)  # (bucket, route, group): evidence
    compared: dict[str, tuple[int, int]] = field(default_factory=dict)  # route -> (both sides, legacy with itself)
    within: dict[str, Sighting] = field(default_factory=dict)  # within legacy
    samples: list[Sample] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # ids of samples that make room

    def __bool__(self) -> bool:
        return any(
            (self.seen, self.ways, self.verdicts, self.pairs, self.compared, self.within, self.samples, self.replaced)
        )

    def add_verdict(self, route: str, at: float, verdict: str, times: int = 1) -> bool:
        """Count pairs by the hour."""
        return _count(self.verdicts, (route, int(at) // HOUR_SECONDS, verdict), times)

    def add_pair(self, route: str, at: float, group: str, times: int = 1) -> bool:
        """Count pairs as evidence. Without room they stand in the hour that their bucket belongs to, and then in no
        particular group: older and worse than they are, never the other way round."""
        bucket = bucket_of(at)
        coarse = group if group in (EQUAL, INCOMPARABLE) else MORE
        hour = bucket // HOUR_SECONDS * HOUR_SECONDS
        if _count(self.pairs, (bucket, route, group), times):
            return True
        return _count(self.pairs, (hour, route, coarse), times, MAX_COUNTERS // 10)

    def add_compared(self, route: str, both: int, selfs: int) -> None:
        """Count pairs for the rates."""
        known = self.compared.get(route, (0, 0))
        self.compared[route] = (known[0] + both, known[1] + selfs)

    def add_seen(self, seen: Seen, way: Way | None, times: int = 1) -> bool:
        """Count a sighting, and how it was met; False: that it was met so had no room."""
        known = self.seen.get(seen.fingerprint)
        self.seen[seen.fingerprint] = seen if known is None else known.plus(seen)
        return way is None or _count(self.ways, (seen.fingerprint, way), times)

    def add_within(self, sighting: Sighting) -> bool:
        """Count a sighting within legacy."""
        known = self.within.get(sighting.fingerprint)
        if known is None and len(self.within) >= MAX_COUNTERS:
            return False
        self.within[sighting.fingerprint] = sighting if known is None else known.plus(sighting)
        return True

    def put_back(self, older: Batch) -> int:
        """Add the counts of a batch that could not be written (its samples are lost); how many had no room."""
        lost = 0
        for key, old in older.seen.items():
            new = self.seen.get(key)
            self.seen[key] = old if new is None else old.plus(new)
        for way, times in older.ways.items():
            lost += not _count(self.ways, way, times)
        for verdict, times in older.verdicts.items():
            lost += not _count(self.verdicts, verdict, times)
        for (bucket, route, group), times in older.pairs.items():
            lost += not self.add_pair(route, bucket, group, times)
        for route, (both, selfs) in older.compared.items():
            self.add_compared(route, both, selfs)
        for sighting in older.within.values():
            lost += not self.add_within(sighting)
        never = {sample.id for sample in older.samples}  # they were never there to be replaced
        self.replaced += [sample_id for sample_id in older.replaced if sample_id not in never]
        return lost

    def sightings(self) -> Iterable[Sighting]:
        """For the rates: those between the sides and those within legacy."""
        for seen in self.seen.values():
            yield Sighting(seen.fingerprint, seen.route, seen.kind, seen.path, seen=seen.times)
        yield from self.within.values()

    def evidence(self) -> dict[int, dict[tuple[str, str], int]]:
        """bucket -> (route, group) -> pairs."""
        buckets: dict[int, dict[tuple[str, str], int]] = {}
        for (bucket, route, group), times in self.pairs.items():
            buckets.setdefault(bucket, {})[route, group] = times
        return buckets


def _count(into: dict[K, int], key: K, times: int, more: int = 0) -> bool:
    """Add, unless it is a further key above the bound and so many ``more``."""
    if key not in into and len(into) >= MAX_COUNTERS + more:
        return False
    into[key] = into.get(key, 0) + times
    return True
