"""Sums and differences of counters.

Law: a counter only grows while its process lives, so figures of several processes are added, and what came in since
the last look is a difference that is never negative.
"""

from __future__ import annotations

import msgspec

from proxy.core.coverage import OTHER
from proxy.messages import CompareCounters, Histogram, Paired, RouteCounters


class Tally(msgspec.Struct):
    """Everything counted for one route: what workers saw of the traffic and what the comparator found."""

    traffic: RouteCounters = msgspec.field(default_factory=RouteCounters)
    compare: CompareCounters = msgspec.field(default_factory=CompareCounters)

    def verdicts(self) -> dict[str, int]:
        """Pairs by verdict; those equal byte for byte were counted by the workers and are added here."""
        found = {verdict: self.compare.verdicts.get(verdict, 0) for verdict in VERDICTS}
        found["matched"] += self.traffic.matched
        return found

    def coverage(self) -> dict[str, list[int]]:
        """Cell -> [seen in legacy's traffic, pairs compared to the end]; who compared them is as above."""
        found = {cell: list(columns) for cell, columns in self.traffic.coverage.items()}
        for cell, count in self.compare.covered.items():
            found.setdefault(cell, [0, 0])[1] += count
        return found


VERDICTS = ("matched", "ignored", "mismatched", "incomparable")

_COUNTS = ("requests", "upstream_requests", "fallbacks", "retries", "shadow", "shadow_dropped", "reasons")
_HISTOGRAMS = ("durations", "upstream_durations", "shadow_durations")


def add_counts(into: dict[str, int], more: dict[str, int]) -> None:
    """Add ``more`` to ``into``, key by key."""
    for key, count in more.items():
        into[key] = into.get(key, 0) + count


def add_histogram(into: Histogram, more: Histogram) -> None:
    """Add ``more`` to ``into``, bucket by bucket. A histogram with other buckets is left out: it is not addable."""
    if len(into.counts) == len(more.counts):
        into.counts = [a + b for a, b in zip(into.counts, more.counts, strict=True)]
        into.total += more.total


MAX_KEYS = 10_000
"""Of one table whose keys are no names of the configuration. Each process sends a bounded number of its own; this
bounds the sum over those that come and go."""


def add_cells(into: dict[str, int], more: dict[str, int]) -> None:
    """Add counts of cells; what finds no room is added to the cell OTHER."""
    for name, count in more.items():
        key = name if name in into or len(into) < MAX_KEYS else OTHER
        into[key] = into.get(key, 0) + count


def add_pairs(into: dict[str, list[int]], more: dict[str, list[int]], rest: str) -> None:
    """Add counts of two columns, key by key; what finds no room is added to the key ``rest``."""
    for name, (one, two) in more.items():
        key = name if name in into or len(into) < MAX_KEYS else rest
        known = into.get(key, (0, 0))
        into[key] = [known[0] + one, known[1] + two]


def add(into: Tally, more: Tally) -> None:
    """Add everything in ``more`` to ``into``; ``more`` stays as it is."""
    for name in _COUNTS:
        add_counts(getattr(into.traffic, name), getattr(more.traffic, name))
    for name in _HISTOGRAMS:
        mine: dict[str, Histogram] = getattr(into.traffic, name)
        theirs: dict[str, Histogram] = getattr(more.traffic, name)
        for key, histogram in theirs.items():
            add_histogram(mine.setdefault(key, Histogram()), histogram)
    into.traffic.matched += more.traffic.matched
    into.traffic.self_matched += more.traffic.self_matched
    into.traffic.unpaired += more.traffic.unpaired
    _add_paired(into.traffic.paired, more.traffic.paired)
    add_pairs(into.traffic.coverage, more.traffic.coverage, OTHER)
    add_pairs(into.compare.shapes, more.compare.shapes, f"{OTHER}\x1f")
    add_counts(into.compare.expected, more.compare.expected)
    add_cells(into.compare.covered, more.compare.covered)
    into.compare.selfs += more.compare.selfs
    into.compare.sizes = [a + b for a, b in zip(into.compare.sizes, more.compare.sizes, strict=True)]
    add_counts(into.compare.verdicts, more.compare.verdicts)
    add_counts(into.compare.incomparable, more.compare.incomparable)


def since(now: Tally, before: Tally) -> Tally:
    """What came in between two looks at one growing tally; keys that did not move are left out."""
    delta = Tally()
    for name in _COUNTS:
        setattr(delta.traffic, name, _counts_since(getattr(now.traffic, name), getattr(before.traffic, name)))
    for name in _HISTOGRAMS:
        mine: dict[str, Histogram] = getattr(now.traffic, name)
        old: dict[str, Histogram] = getattr(before.traffic, name)
        moved = {key: _histogram_since(value, old.get(key)) for key, value in mine.items()}
        setattr(delta.traffic, name, {key: value for key, value in moved.items() if any(value.counts)})
    delta.traffic.matched = max(0, now.traffic.matched - before.traffic.matched)
    delta.traffic.self_matched = max(0, now.traffic.self_matched - before.traffic.self_matched)
    delta.traffic.unpaired = max(0, now.traffic.unpaired - before.traffic.unpaired)
    delta.traffic.paired = _paired_since(now.traffic.paired, before.traffic.paired)
    delta.traffic.coverage = _pairs_since(now.traffic.coverage, before.traffic.coverage)
    delta.compare.shapes = _pairs_since(now.compare.shapes, before.compare.shapes)
    delta.compare.expected = _counts_since(now.compare.expected, before.compare.expected)
    delta.compare.covered = _counts_since(now.compare.covered, before.compare.covered)
    delta.compare.selfs = max(0, now.compare.selfs - before.compare.selfs)
    delta.compare.sizes = [max(0, a - b) for a, b in zip(now.compare.sizes, before.compare.sizes, strict=True)]
    delta.compare.verdicts = _counts_since(now.compare.verdicts, before.compare.verdicts)
    delta.compare.incomparable = _counts_since(now.compare.incomparable, before.compare.incomparable)
    return delta


def is_empty(tally: Tally) -> bool:
    """Nothing was counted."""
    traffic, compare = tally.traffic, tally.compare
    return not (
        traffic.matched
        or any(getattr(traffic, name) for name in (*_COUNTS, *_HISTOGRAMS))
        or traffic.self_matched
        or traffic.coverage
        or any(traffic.paired.deltas)
        or compare.selfs
        or compare.shapes
        or compare.verdicts
        or compare.incomparable
    )


def copy(tally: Tally) -> Tally:
    """A copy that shares nothing with the original."""
    fresh = Tally()
    add(fresh, tally)
    return fresh


def _add_paired(into: Paired, more: Paired) -> None:
    into.deltas = [a + b for a, b in zip(into.deltas, more.deltas, strict=True)]
    into.total += more.total
    into.would_time_out += more.would_time_out
    into.legacy_errors += more.legacy_errors
    into.candidate_errors += more.candidate_errors


def _paired_since(now: Paired, before: Paired) -> Paired:
    return Paired(
        [max(0, a - b) for a, b in zip(now.deltas, before.deltas, strict=True)],
        now.total - before.total,
        max(0, now.would_time_out - before.would_time_out),
        max(0, now.legacy_errors - before.legacy_errors),
        max(0, now.candidate_errors - before.candidate_errors),
    )


def _pairs_since(now: dict[str, list[int]], before: dict[str, list[int]]) -> dict[str, list[int]]:
    moved = {}
    for key, (one, two) in now.items():
        known = before.get(key, (0, 0))
        if one > known[0] or two > known[1]:
            moved[key] = [max(0, one - known[0]), max(0, two - known[1])]
    return moved


def _counts_since(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {key: count - before.get(key, 0) for key, count in now.items() if count > before.get(key, 0)}


def _histogram_since(now: Histogram, before: Histogram | None) -> Histogram:
    if before is None or len(before.counts) != len(now.counts):
        return Histogram(list(now.counts), now.total)
    counts = [max(0, a - b) for a, b in zip(now.counts, before.counts, strict=True)]
    return Histogram(counts, max(0.0, now.total - before.total))
