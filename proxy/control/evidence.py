"""What is known of the routes, gathered from the store: verdicts, and the facts of the report.

Law: read only, in the store's thread. A verdict is told for ``FRESH_SECONDS``, longer only where there are very many. A
store that is lost makes every verdict inconclusive; nothing is guessed from what was known before.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import NamedTuple

from proxy.compare.evidence import Evidence
from proxy.compare.readiness import Readiness, assess
from proxy.config.comparing import ReadyWhen
from proxy.config.model import Route, Settings, compare_of, ready_when_of
from proxy.control import report, report_figures
from proxy.control.coverage import coverage_of
from proxy.control.findings import Finding, settled
from proxy.control.inbox import Inbox, Standpoint
from proxy.control.ledger import Ledger, StoreLostError
from proxy.control.operations import Operations, RefusedError
from proxy.control.report_figures import HOUR_SECONDS, Hour, trend_of
from proxy.control.report_samples import SideBySide, side_by_side_of
from proxy.core.snapshot import NO_ROUTE_ID
from proxy.store.evidence import PairCounts
from proxy.store.tally import Tally, add, copy
from proxy.store.tally import since as since_tally

FRESH_SECONDS = 1.0
"""How old a verdict may be that is told once more: status, metrics and pages ask for all of them at a time."""
FRESH_TIMES = 10
"""The same, as a multiple of how long the last look took: with hundreds of routes it takes a second, and then the store
has other things to do, too."""
MAX_FINDINGS = 500
"""Kinds of difference of one route that the report knows of, the open ones first and the worst of them first."""
MAX_PAIRS = 60
"""Recorded pairs that are read for the report of one route."""


class Known(NamedTuple):
    """What one look at the store gave for one route."""

    since: float
    """Seconds since the epoch: since when evidence counts."""
    restarted: str
    """Why not from earlier on, in words; empty if it is the window."""
    first: float | None
    """The time of the first pair that counts, in seconds since the epoch; None without one."""
    counts: PairCounts
    differences: list[Standpoint]
    tally: Tally

    @property
    def expected(self) -> frozenset[str]:
        """The fingerprints that do not make a pair a mismatch."""
        return frozenset(point.kept.fingerprint for point in self.differences if point.expected)


class Verdicts:
    """The verdicts of one running Banyan."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._found: dict[str, Readiness] = {}
        self._fresh_until = float("-inf")
        self._generation = -1
        self._looking = asyncio.Lock()

    async def all(self) -> dict[str, Readiness]:
        """Route -> its verdict."""
        async with self._looking:  # who comes meanwhile waits for this look instead of asking for another one
            generation, now = self._operations.configuration.generation, time.monotonic()
            if generation != self._generation or now > self._fresh_until:
                self._found = await self._look(None)
                took = time.monotonic() - now
                self._fresh_until = now + max(FRESH_SECONDS, FRESH_TIMES * took)
                self._generation = generation
            return self._found

    async def of(self, route: str) -> Readiness:
        """The verdict of one route, looked at now: who asks for it may act on it. Raises RefusedError."""
        found = (await self._look(route)).get(route)
        if found is None:
            raise RefusedError(404, "unknown-route", f"the route {route!r} has just left the configuration")
        return found

    async def _look(self, only: str | None) -> dict[str, Readiness]:
        operations = self._operations
        settings, now, ledger = operations.serving(), time.time(), operations.ledger
        routes = [route for route in settings.routes if only in (None, route.id)]
        unsaved = operations.figures.unsaved()[0]
        lost = sum(operations.figures.store_dropped().values())

        def look() -> dict[str, Readiness]:
            store = _Store(ledger, operations.inbox, now, unsaved, only)
            return {route.id: _assessed(settings, route, store, lost)[0] for route in routes}

        try:
            return await ledger.call(look)
        except StoreLostError:
            return {route.id: _without_store(settings, route, now) for route in routes}


# -- in the store's thread ------------------------------------------------------------------------------------------


class _Store:
    """The store at one moment, of all routes or ``only`` one. ``unsaved`` is what was counted and is not in it yet."""

    def __init__(
        self, ledger: Ledger, inbox: Inbox, now: float, unsaved: dict[str, Tally], only: str | None = None
    ) -> None:
        self._ledger = ledger
        self._inbox = inbox
        self._now = now
        self._only = only
        self._unsaved = unsaved
        self._hours: dict[str, dict[int, Tally]] = {}
        self._read_since = float("inf")
        self._differences: dict[str, list[Standpoint]] = {}
        for point in inbox.look(only):
            self._differences.setdefault(point.kept.route, []).append(point)

    def known(self, route: Route, wanted: ReadyWhen) -> Known:
        """Everything about one route, for its verdict."""
        restart, since = self._inbox.restarted(route.id), self._now - wanted.window
        if restart is not None and restart.at > since:
            since = restart.at
        else:
            restart = None
        return Known(
            since,
            restart.why if restart is not None else "",
            self._ledger.evidence.first(route.id, since, self._now),
            self._ledger.evidence.counts(route.id, since, self._now),
            self._differences.get(route.id, []),
            since_tally(self.tally(route.id, since), self._ledger.counters.before(since, route.id)),
        )

    def tally(self, route: str, since: float) -> Tally:
        """What was counted in the hours that were not over at ``since``."""
        whole = Tally()
        for hour, tally in self.tallies(route, since).items():
            if hour + HOUR_SECONDS > since:
                add(whole, tally)
        if route in self._unsaved:
            add(whole, self._unsaved[route])
        return whole

    def tallies(self, route: str, since: float) -> dict[int, Tally]:
        """The same by the hour, without what is unsaved; of hours since ``since`` or earlier."""
        if since < self._read_since:
            self._hours = {}
            for hour, name, tally in self._ledger.counters.hours(since, self._only):
                self._hours.setdefault(name, {})[hour] = tally
            self._read_since = since
        return self._hours.get(route, {})

    def trend(self, route: str, since: float, expected: frozenset[str]) -> list[Hour]:
        """The hours of a route as the report shows them."""
        hours = dict(self.tallies(route, since))
        if route in self._unsaved:
            this = int(self._now) // HOUR_SECONDS * HOUR_SECONDS
            hours[this] = copy(hours.get(this, Tally()))
            add(hours[this], self._unsaved[route])
        pairs = self._ledger.evidence.hours(route, int(since) // HOUR_SECONDS * HOUR_SECONDS)
        return trend_of(since, self._now, hours, pairs, expected)

    def pairs(self, findings: list[Finding]) -> dict[str, SideBySide]:
        """Fingerprint -> one recorded pair, its newest; of the differences that are read first."""
        found = {}
        states = {each.fingerprint: settled(each.state, noisy=each.noisy) for each in findings}
        for finding in findings[:MAX_PAIRS]:
            record = self._ledger.diffs.sample(finding.samples[0]) if finding.samples else None
            pair = side_by_side_of(record, states) if record is not None else None
            if pair is not None:
                found[finding.fingerprint] = pair
        return found


def _assessed(settings: Settings, route: Route, store: _Store, lost: int) -> tuple[Readiness, Known]:
    wanted = ready_when_of(settings, route)
    known = store.known(route, wanted)
    return assess(_evidence(settings, route, known, lost), wanted), known


def _evidence(settings: Settings, route: Route, known: Known, lost: int) -> Evidence:
    traffic, compare = known.tally.traffic, known.tally.compare
    arms, errors = report.arms_of(traffic)
    mismatched = known.counts.mismatched(known.expected)
    unfinished = sorted((p for p in known.differences if p.open), key=lambda p: (-p.weight, -p.kept.times))
    coverage = coverage_of(known.tally)
    written = sum(n for key, n in traffic.requests.items() if key.split(" ")[0] not in route.shadow.methods)
    return Evidence(
        route=route.id,
        stage=route.stage,
        candidate=route.candidate is not None,
        kill_switch=route.kill_switch,
        sample=route.shadow.sample,
        since=known.since,
        first=known.first,
        restarted=known.restarted,
        equal=known.counts.equal,
        expected=known.counts.compared() - known.counts.equal - mismatched,
        mismatched=mismatched,
        by_rules=min(known.counts.equal, compare.expected.get("rules", 0)),  # counted by the hour
        mode=compare_of(settings, route).mode,
        incomparable=known.counts.incomparable,
        incomparable_by=dict(compare.incomparable),
        open=tuple(point.kept.fingerprint for point in unfinished),
        selfs=traffic.self_matched + compare.selfs,
        requests=sum(arms.values()),
        writes=written,
        reads_after_writes=route.shadow.unsafe == "read-after-write",
        # A request that legacy answered in the candidate's place counts under the arm legacy.
        candidate_requests=arms["candidate"] + sum(traffic.fallbacks.values()),
        candidate_errors=errors["candidate"],
        unpaired=traffic.unpaired,
        fallbacks=dict(traffic.fallbacks),
        dropped=dict(traffic.shadow_dropped),
        unjudged=report_figures.unjudged_of(known.tally),
        records_lost=lost,
        pairs=report_figures.pairs_of(traffic),
        paired=traffic.paired,
        legacy_seconds=report.times_of(traffic, settings.legacy),
        candidate_seconds=report.times_of(traffic, route.candidate or ""),
        coverage=coverage.share,
        never=len(coverage.never) + coverage.more_never,
    )


def _without_store(settings: Settings, route: Route, now: float) -> Readiness:
    wanted = ready_when_of(settings, route)
    evidence = Evidence(
        route=route.id,
        stage=route.stage,
        candidate=route.candidate is not None,
        kill_switch=route.kill_switch,
        since=now - wanted.window,
        lost="The store does not work now, and the evidence is in it.",
    )
    return assess(evidence, wanted)


# -- the report -----------------------------------------------------------------------------------------------------


async def make_report(operations: Operations, hours: int, only: str | None = None) -> report.Report:
    """The report on all routes or on one, over the last ``hours``. Raises RefusedError when the store is lost."""
    serving, filed = operations.serving(), {route.id: route for route in operations.configuration.settings.routes}
    overrides = dict(operations.overrides)
    now, ledger, unsaved = time.time(), operations.ledger, operations.figures.unsaved()[0]
    lost = sum(operations.figures.store_dropped().values())

    def look() -> tuple[list[report.Facts], Tally | None]:
        store, since = _Store(ledger, operations.inbox, now, unsaved, only), now - hours * HOUR_SECONDS
        facts = []
        for route in serving.routes:
            if only is not None and route.id != only:
                continue
            verdict, known = _assessed(serving, route, store, lost)
            findings = operations.inbox.findings(route.id, MAX_FINDINGS)
            facts.append(
                report.Facts(
                    route,
                    filed[route.id].stage,
                    overrides.get(route.id),
                    serving.legacy,
                    compare_of(serving, route),
                    verdict,
                    store.tally(route.id, since),
                    store.trend(route.id, since, known.expected),
                    findings,
                    Counter(report.state_of(p.standing.state, noisy=p.noisy) for p in known.differences),
                    store.pairs(findings),
                )
            )
        return facts, store.tally(NO_ROUTE_ID, since) if only is None else None

    try:
        return report.build(now, hours, *await ledger.call(look))
    except StoreLostError as error:
        raise RefusedError(503, "store-lost", str(error)) from error
