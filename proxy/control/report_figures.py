"""Figures of the report: hours, pairs of times, sizes, rules.

Law: pure functions. What was only counted in buckets is told as exactly as buckets tell; what was not compared because
a rule says so is listed, for it is part of the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from proxy.compare.histograms import quantile
from proxy.compare.readiness import Readiness
from proxy.config.comparing import Compare, TypedMatcher
from proxy.messages import DELTA_BUCKETS_SECONDS, SIZE_RATIO_BUCKETS, RouteCounters
from proxy.store.evidence import PairCounts
from proxy.store.tally import Tally


class Hour(msgspec.Struct):
    """One hour of a route. ``start`` is seconds since the epoch. A pair counts as a mismatch by what is known now: one
    that was accepted later is none."""

    start: int
    requests: int = 0
    compared: int = 0
    mismatched: int = 0
    incomparable: int = 0
    errors: int = 0
    fallbacks: int = 0

    @property
    def mismatch_share(self) -> float | None:
        """None when nothing was compared."""
        return self.mismatched / self.compared if self.compared else None


HOUR_SECONDS = 3600


def trend_of(
    since: float, now: float, tallies: Mapping[int, Tally], pairs: Mapping[int, PairCounts], expected: frozenset[str]
) -> list[Hour]:
    """Every hour from ``since``, or the first one in which anything was counted, to ``now`` (seconds since the epoch),
    empty ones too; both tables by start of hour."""
    begun = min([*tallies, *pairs], default=int(now)) // HOUR_SECONDS
    first, last = max(int(since) // HOUR_SECONDS, begun), int(now) // HOUR_SECONDS
    return [
        _hour(number * HOUR_SECONDS, tallies.get(number * HOUR_SECONDS), pairs.get(number * HOUR_SECONDS), expected)
        for number in range(first, last + 1)
    ]


def _hour(start: int, tally: Tally | None, pairs: PairCounts | None, expected: frozenset[str]) -> Hour:
    hour = Hour(start)
    if tally is not None:
        requests = tally.traffic.requests
        hour.requests = sum(requests.values())
        hour.errors = sum(count for key, count in requests.items() if key.split(" ")[1].startswith("5"))
        hour.fallbacks = sum(tally.traffic.fallbacks.values())
    if pairs is not None:
        hour.compared = pairs.compared()
        hour.mismatched = pairs.mismatched(expected)
        hour.incomparable = pairs.incomparable
    return hour


def pairs_of(traffic: RouteCounters) -> int:
    """Pairs whose both sides were looked at for errors. A side that failed is one of these, and has no time."""
    paired, seen = traffic.paired, traffic.shadow
    told = seen.get("compared", 0) + seen.get("sent-to-comparator", 0)
    return max(told, sum(paired.deltas), paired.legacy_errors, paired.candidate_errors)


def unjudged_of(tally: Tally) -> int:
    """Pairs that workers gave to the comparator and that have no verdict. Those found equal by a worker were given to
    nobody."""
    seen = tally.traffic.shadow
    told = sum(seen.get(outcome, 0) for outcome in ("compared", "sent-to-comparator", "read-back"))
    return max(0, told - sum(tally.verdicts().values()))


def stamp(at: float) -> str:
    """Seconds since the epoch -> ``2026-01-02 03:04 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def begun(found: Readiness) -> float:
    """Since when there is evidence, in seconds since the epoch: its first pair; without one, when it may begin."""
    return found.since if found.first is None else found.first


_HOURS = (
    "requests", "arms", "candidate_share", "errors", "failures", "fallbacks", "dropped", "verdicts", "match_share",
    "incomparable", "expected", "trend", "latency", "paired", "sizes", "coverage",
)  # fmt: skip
_RECORDED = ("differences", "noise", "accepted", "fixed")
RECORDED = "all that is recorded"


def span_of(window_hours: int) -> str:
    """Of which time figures by the hour are, in words."""
    return f"last {window_hours} h"


def spans_of(window_hours: int, found: Readiness) -> dict[str, str]:
    """Field of a route's report -> of which time its figures are, in words. What is not in it is of now."""
    evidence = f"{'no pair since' if found.first is None else 'evidence since'} {stamp(begun(found))}"
    return {
        "readiness": evidence,
        **dict.fromkeys(_HOURS, span_of(window_hours)),
        **dict.fromkeys(_RECORDED, RECORDED),
    }


class Paired(msgspec.Struct):
    """The candidate's time minus legacy's, of both answers to one request, in ``count`` of ``pairs``: where a side did
    not answer, or Banyan itself was slow, there is none. Seconds, interpolated in buckets; None without a time.
    ``buckets`` counts by DELTA_BUCKETS_SECONDS."""

    pairs: int
    count: int
    mean: float | None
    median: float | None
    p95: float | None
    p99: float | None
    slower: float | None
    """Share of the pairs in which the candidate took longer, by more than 1 ms."""
    would_time_out: int
    legacy_errors: int
    candidate_errors: int
    buckets: list[int]


LEVEL_SECONDS = 0.001
"""Differences in time up to this are none: they are the first bucket on either side of nothing."""


def paired_of(traffic: RouteCounters) -> Paired:
    """The same, worked out."""
    counted = traffic.paired
    count = sum(counted.deltas)
    found = [quantile(counted.deltas, DELTA_BUCKETS_SECONDS, share, float("-inf")) for share in (0.5, 0.95, 0.99)]
    median, p95, p99 = (each.value if each else None for each in found)
    level = DELTA_BUCKETS_SECONDS.index(LEVEL_SECONDS)
    return Paired(
        pairs=pairs_of(traffic),
        count=count,
        mean=counted.total / count if count else None,
        median=median,
        p95=p95,
        p99=p99,
        slower=sum(counted.deltas[level + 1 :]) / count if count else None,
        would_time_out=counted.would_time_out,
        legacy_errors=counted.legacy_errors,
        candidate_errors=counted.candidate_errors,
        buckets=list(counted.deltas),
    )


def sizes_of(counted: Iterable[int]) -> list[int]:
    """Pairs by how large the candidate's body is, of legacy's: below 80 %, about equal, above 125 %."""
    table = list(counted)
    smaller, larger = SIZE_RATIO_BUCKETS.index(0.8), SIZE_RATIO_BUCKETS.index(1.25)
    return [sum(table[: smaller + 1]), sum(table[smaller + 1 : larger + 1]), sum(table[larger + 1 :])]


class Rule(msgspec.Struct):
    """One rule of comparing that is in force: ``what`` in words."""

    name: str
    path: str
    what: str


def rules_in_force(compare: Compare) -> list[Rule]:
    """Everything that lets two answers count as equal although they are not, and what is looked at."""
    rules = [Rule("headers", "", f"compared: {', '.join(compare.headers) or 'none'}")]
    if compare.mode != "exact":
        rules.append(Rule("mode", "", _MODES[compare.mode]))
    rules += [Rule("ignore", path, "not compared") for path in compare.ignore]
    rules += [
        Rule("unordered", path, f"items paired by {key}" if key is not None else "in any order")
        for path, key in compare.unordered.items()
    ]
    rules += [Rule("tolerance", path, f"may differ by {size}") for path, size in compare.tolerance.items()]
    rules += [Rule("match", path, _matcher(matcher)) for path, matcher in compare.match.items()]
    rules += [Rule("rename", path, f"is {name} at the candidate") for path, name in compare.rename.items()]
    rules += [
        Rule("map", path, ", ".join(f"{old} is {new}" for old, new in list(table.items())[:20]))
        for path, table in compare.map.items()
    ]
    return rules


_MODES = {"subset": "the candidate may say more", "schema": "names and types only; values are not compared"}


def _matcher(matcher: str | TypedMatcher) -> str:
    if isinstance(matcher, str):
        return f"both look like: {matcher}"
    if matcher.timestamp is not None:
        return f"timestamps at most {matcher.timestamp:g} s apart"
    return f"both fit {matcher.regex}"
