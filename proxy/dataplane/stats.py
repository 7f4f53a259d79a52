"""What a worker counts.

Law: on the path of a request counting is adding to plain integers; names and labels are joined only when the figures
are sent, once a second. Label values come from configuration or from fixed lists, so nothing a client sends can make
the tables grow.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from proxy.core.coverage import KNOWN_METHODS, CellTable
from proxy.messages import DELTA_BUCKETS_SECONDS, DURATION_BUCKETS_SECONDS, Histogram, RouteCounters

# Tuples of any length: those of a known one are taken apart and put together at each use when they are compiled.
_BUCKETS: Final[tuple[float, ...]] = DURATION_BUCKETS_SECONDS
_DELTAS: Final[tuple[float, ...]] = DELTA_BUCKETS_SECONDS
_ZERO: Final = DELTA_BUCKETS_SECONDS.index(0.0)
_NEAR: Final = 0.001
"""The smallest bound above zero, and below; seconds."""


def count(table: dict[str, int], key: str) -> None:
    """Add one."""
    table[key] = table.get(key, 0) + 1


class Tally:
    """How often something happened, and how long it took."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Once more, with its duration."""
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._total += seconds

    @property
    def number(self) -> int:
        """How often."""
        return sum(self._counts)

    @property
    def histogram(self) -> Histogram:
        """A copy of the durations, as the supervisor is told."""
        return Histogram(self._counts.copy(), self._total)


class Deltas:
    """Differences in time between the two answers to one request."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_DELTAS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more pair."""
        if -_NEAR < seconds <= 0.0:  # most are this near, and the search costs more than all the rest
            at = _ZERO
        elif 0.0 < seconds <= _NEAR:
            at = _ZERO + 1
        else:
            at = bisect_left(_DELTAS, seconds)
        self.counts[at] += 1
        self.total += seconds


class RouteStats:
    """The figures of one route in this worker; they outlive reloads."""

    __slots__ = ("_failures", "_requests", "_shadows", "_tries", "cells", "counters", "deltas", "shadows_in_flight")

    def __init__(self) -> None:
        self.counters = RouteCounters()
        self._requests: dict[tuple[str, int, str, str], Tally] = {}
        self._tries: dict[tuple[str, str], Tally] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._shadows: dict[str, Tally] = {}
        self.cells = CellTable()
        self.deltas = Deltas()
        self.shadows_in_flight = 0

    def request(self, method: str, status: int, arm: str, reason: str, seconds: float) -> None:
        """One request is over, as the client saw it; ``reason`` is why its arm was chosen."""
        tally = self._requests.get((method, status, arm, reason))
        if tally is None:
            key = (method if method in KNOWN_METHODS else "other", status, arm, reason)
            tally = self._requests.setdefault(key, Tally())
        tally.add(seconds)

    def answered(self, upstream: str, outcome: str, seconds: float) -> None:
        """One try on an upstream got an answer; ``seconds`` to its first byte."""
        tally = self._tries.get((upstream, outcome))
        if tally is None:
            tally = self._tries[upstream, outcome] = Tally()
        tally.add(seconds)

    def failed(self, upstream: str, outcome: str) -> None:
        """One try on an upstream got no answer, or no whole one; ``outcome`` is a FailureKind value."""
        key = (upstream, outcome)
        self._failures[key] = self._failures.get(key, 0) + 1

    def shadowed(self, upstream: str, seconds: float) -> None:
        """A shadow was answered whole; ``seconds`` to its first byte."""
        self._shadows.setdefault(upstream, Tally()).add(seconds)

    def shadow_dropped(self, reason: str) -> None:
        """A shadow that was wanted did not come to a pair."""
        count(self.counters.shadow, "dropped")
        count(self.counters.shadow_dropped, reason)

    def snapshot(self) -> RouteCounters:
        """The counters, with the labels joined."""
        counters = self.counters
        counters.requests, counters.reasons, counters.durations = {}, {}, {}
        for (method, status, arm, reason), tally in self._requests.items():
            _add(counters.requests, f"{method} {status} {arm}", tally.number)
            _add(counters.reasons, reason, tally.number)
            _merge(counters.durations, arm, tally.histogram)
        counters.upstream_requests, counters.upstream_durations = {}, {}
        for (name, outcome), tally in self._tries.items():
            _add(counters.upstream_requests, f"{name} {outcome}", tally.number)
            _merge(counters.upstream_durations, name, tally.histogram)
        for (name, outcome), number in self._failures.items():
            _add(counters.upstream_requests, f"{name} {outcome}", number)
        counters.coverage = self.cells.counts()
        counters.paired.deltas, counters.paired.total = self.deltas.counts.copy(), self.deltas.total
        counters.shadow_durations = {name: tally.histogram for name, tally in self._shadows.items()}
        return counters


def _add(table: dict[str, int], key: str, number: int) -> None:
    table[key] = table.get(key, 0) + number


def _merge(table: dict[str, Histogram], key: str, histogram: Histogram) -> None:
    whole = table.setdefault(key, Histogram())
    whole.counts = [a + b for a, b in zip(whole.counts, histogram.counts, strict=True)]
    whole.total += histogram.total
