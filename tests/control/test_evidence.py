"""Verdicts from a real store: what is in it counts, and without it nothing does."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.compare.inbox import Mark
from proxy.config.model import Settings
from proxy.control.evidence import Verdicts, make_report
from proxy.control.inbox import Inbox
from proxy.control.ledger import Ledger
from proxy.control.operations import RefusedError
from proxy.control.report import Uncovered
from proxy.core.snapshot import NO_ROUTE_ID
from proxy.messages import CompareCounters, Histogram, Paired, RouteCounters
from proxy.store.batch import Batch, Seen
from proxy.store.evidence import EQUAL, INCOMPARABLE, MORE
from proxy.store.tally import Tally

HOUR = 3600.0


class Known:
    """As much of a running Banyan as verdicts need: its settings, its store, its figures."""

    def __init__(self, folder: Path, **ready_when: Any) -> None:
        self.settings = Settings.model_validate(
            {
                "upstreams": {"monolith": {"endpoints": ["http://127.0.0.1:1"]}, "orders": {"endpoints": ["http://127.0.0.1:2"]}},
                "legacy": "monolith",
                "routes": [
                    {"id": "orders", "match": {"path": "/orders"}, "candidate": "orders", "stage": "shadow"},
                    {"id": "old", "match": {"path": "/old"}},
                ],
                "defaults": {"ready_when": {"compared": 100, "mismatch_below": "5%", **ready_when}},
            }
        )  # fmt: skip
        self.ledger = Ledger(f"sqlite:///{folder}/banyan.db")
        self.inbox = Inbox(self.ledger, lambda: self.settings, lambda _: None)
        self.configuration = SimpleNamespace(generation=1, settings=self.settings)
        self.overrides: dict[str, Any] = {}
        self.live: dict[str, Tally] = {}
        self.figures = SimpleNamespace(unsaved=lambda: (self.live, self.live), store_dropped=dict)
        self.looks = 0

    def serving(self) -> Settings:
        self.looks += 1
        return self.settings

    @property
    def verdicts(self) -> Verdicts:
        return Verdicts(self)  # type: ignore[arg-type]  # all that it asks for is here

    async def pairs(self, age: float, **groups: int) -> None:
        """Evidence that is so old; ``equal=3`` or ``aa=2``, a fingerprint."""
        names = {"equal": EQUAL, "incomparable": INCOMPARABLE, "more": MORE}
        counts = {("orders", names.get(group, group)): count for group, count in groups.items()}
        await self.ledger.call(lambda: self.ledger.evidence.add(time.time() - age, counts))

    async def difference(self, fingerprint: str, age: float = 10.0, kind: str = "value") -> None:
        at = time.time() - age
        batch = Batch()
        batch.add_seen(Seen(fingerprint, "orders", kind, "$.total", at, at, 1, "1", "2"), None)
        await self.ledger.call(lambda: self.ledger.diffs.write(batch))

    async def traffic(self, age: float, number: int = 200, route: str = "orders") -> None:
        """Requests of a route so long ago that were all shadowed."""
        times = Histogram()
        times.counts[3] = number
        deltas = Paired()
        deltas.deltas[13] = number
        counted = RouteCounters(
            requests={"GET 200 legacy": number}, shadow={"compared": number}, matched=number, paired=deltas,
            upstream_durations={"monolith": times}, shadow_durations={"orders": times},
        )  # fmt: skip
        await self.ledger.call(lambda: self.ledger.counters.add(time.time() - age, {route: Tally(counted)}))


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[Known]:
    made = Known(tmp_path, coverage="0%")
    await made.ledger.open()
    yield made
    await made.ledger.close()


async def test_an_empty_store_is_inconclusive(known: Known) -> None:
    found = await known.verdicts.all()
    assert {route: verdict.verdict for route, verdict in found.items()} == {
        "orders": "inconclusive",
        "old": "inconclusive",
    }
    assert found["orders"].reasons == ["No request came in this time."]


async def test_evidence_of_the_window_makes_ready(known: Known) -> None:
    await known.pairs(60, equal=200)
    await known.traffic(60)
    found = await known.verdicts.of("orders")
    assert (found.verdict, found.compared, found.reasons) == ("ready", 200, [])


async def test_evidence_from_before_the_window_does_not_count(known: Known) -> None:
    await known.pairs(26 * HOUR, equal=200)
    await known.traffic(26 * HOUR)
    assert (await known.verdicts.of("orders")).compared == 0


async def test_a_difference_is_open_until_it_is_accepted_and_its_pairs_count_anew(known: Known) -> None:
    await known.pairs(60, equal=200, aa=40)
    await known.traffic(60)
    await known.difference("aa")
    before = await known.verdicts.of("orders")
    assert (before.verdict, before.mismatched, before.open) == ("not-ready", 40, ["aa"])
    await known.ledger.call(lambda: known.inbox.say("orders", "aa", Mark("accept", time.time(), "ann", "fine"), "new"))
    after = await known.verdicts.of("orders")
    assert (after.verdict, after.mismatched, after.expected, after.open) == ("ready", 0, 40, [])


async def test_a_pair_with_one_difference_that_is_not_accepted_is_a_mismatch(known: Known) -> None:
    await known.ledger.call(
        lambda: known.ledger.evidence.add(
            time.time() - 60, {("orders", EQUAL): 200, ("orders", "aa,bb"): 7, ("orders", "aa"): 5}
        )
    )
    await known.difference("aa")
    await known.difference("bb", kind="status")
    await known.ledger.call(lambda: known.inbox.say("orders", "aa", Mark("accept", time.time(), "ann", "fine"), "new"))
    found = await known.verdicts.of("orders")
    assert (found.mismatched, found.expected, found.open) == (7, 5, ["bb"])


async def test_pairs_with_more_differences_than_are_kept_are_mismatches_for_good(known: Known) -> None:
    await known.pairs(60, equal=50, more=50)
    await known.traffic(60)
    found = await known.verdicts.of("orders")
    assert (found.verdict, found.mismatched, found.open) == ("not-ready", 50, [])


async def test_a_fix_begins_evidence_anew(known: Known) -> None:
    await known.pairs(60, equal=200, aa=40)
    await known.traffic(60)
    await known.difference("aa", age=60)
    await known.ledger.call(
        lambda: known.inbox.say("orders", "aa", Mark("fixed", time.time(), "ann", "deployed"), "new")
    )
    found = await known.verdicts.of("orders")
    assert (found.verdict, found.compared) == ("inconclusive", 0)
    assert found.bias[0].name == "restarted"


async def test_what_is_not_in_the_store_yet_counts_among_the_figures(known: Known) -> None:
    known.live = {"orders": Tally(RouteCounters(requests={"GET 200 legacy": 3}))}
    assert (await known.verdicts.of("orders")).reasons == ["None of 3 requests was compared so far."]


async def test_pairs_that_a_comparator_took_along_when_it_ended_are_named(known: Known) -> None:
    await known.pairs(60, equal=100)
    given = RouteCounters(
        requests={"GET 200 legacy": 170}, matched=95, shadow={"compared": 90, "sent-to-comparator": 50, "read-back": 30}
    )
    known.live = {"orders": Tally(given, CompareCounters(verdicts={"matched": 3, "incomparable": 2}))}
    found = await known.verdicts.of("orders")
    (lost,) = [each for each in found.bias if each.name == "not-judged"]
    assert lost.sentence.startswith("70 pairs without a verdict")
    (judged,) = [each for each in found.criteria if each.name == "judged"]
    assert judged.state == "unknown"


@pytest.mark.parametrize("stage", ["shadow", "canary", "live"])
async def test_answers_that_nobody_compared_are_named_at_every_stage(known: Known, stage: str) -> None:
    await known.pairs(60, equal=100)
    known.live = {"orders": Tally(RouteCounters(requests={"GET 200 candidate": 900}, unpaired=304))}
    (route, _) = known.settings.routes
    known.settings = known.settings.model_copy(update={"routes": [route.model_copy(update={"stage": stage})]})
    (unpaired,) = [each for each in (await known.verdicts.of("orders")).bias if each.name == "unpaired"]
    assert unpaired.sentence.startswith("304 requests that the candidate answered were not compared")


async def test_requests_that_fell_back_were_the_candidates(known: Known) -> None:
    known.live = {
        "orders": Tally(
            RouteCounters(requests={"GET 200 candidate": 150, "GET 200 legacy": 50}, fallbacks={"reset": 50})
        )
    }
    found = await known.verdicts.of("orders")
    (fallbacks,) = [each for each in found.criteria if each.name == "fallbacks_below"]
    assert (fallbacks.state, fallbacks.value) == ("not-met", 0.25)
    assert fallbacks.sentence.startswith("Legacy had to answer 50 of 200 requests that the candidate was to answer")


async def test_a_lost_store_makes_everything_inconclusive(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    await known.pairs(60, equal=200)
    await known.traffic(60)
    verdicts = known.verdicts
    assert (await verdicts.of("orders")).verdict == "ready"

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(known.ledger.evidence, "counts", broken)
    found = await verdicts.of("orders")
    assert (found.verdict, found.reasons) == (
        "inconclusive",
        ["The store does not work now, and the evidence is in it."],
    )
    with pytest.raises(RefusedError, match="the store does not work now"):
        await make_report(known, 24)  # type: ignore[arg-type]  # as above


async def test_a_verdict_is_told_twice_within_a_second_and_anew_after_a_reload(known: Known) -> None:
    verdicts = known.verdicts
    await asyncio.gather(verdicts.all(), verdicts.all(), verdicts.all())
    await verdicts.all()
    assert known.looks == 1
    known.configuration.generation = 2
    await verdicts.all()
    assert known.looks == 2
    await verdicts.of("orders")
    assert known.looks == 3


async def test_a_route_that_has_just_left_is_refused_in_a_sentence(known: Known) -> None:
    with pytest.raises(RefusedError, match="has just left"):
        await known.verdicts.of("gone")


async def test_the_report_counts_by_the_hour_what_the_verdict_counts_in_all(known: Known) -> None:
    await known.pairs(60, equal=20, aa=4, incomparable=1)
    await known.pairs(2 * HOUR, equal=30, aa=1)
    await known.traffic(2 * HOUR, 50)
    await known.difference("aa")
    made = await make_report(known, 24, "orders")  # type: ignore[arg-type]  # as above
    (route,) = made.routes
    assert sum(hour.compared for hour in route.trend) == route.readiness.compared == 55
    assert sum(hour.mismatched for hour in route.trend) == route.readiness.mismatched == 5
    assert sum(hour.incomparable for hour in route.trend) == 1
    assert [shown.finding.fingerprint for shown in route.differences] == ["aa"]
    assert route.requests == 50


async def test_the_report_of_all_routes_counts_what_no_route_named(known: Known) -> None:
    await known.traffic(60, 30)
    await known.traffic(60, 10, NO_ROUTE_ID)
    made = await make_report(known, 24)  # type: ignore[arg-type]  # as above
    assert made.uncovered == Uncovered(40, 10, 0, "last 24 h")
    assert (await make_report(known, 24, "orders")).uncovered is None  # type: ignore[arg-type]


async def test_pairs_from_before_a_clock_was_set_back_are_no_evidence_of_what_came_after(known: Known) -> None:
    await known.pairs(-2 * HOUR, equal=200)
    await known.traffic(60)
    await known.difference("aa", age=60)
    await known.ledger.call(
        lambda: known.inbox.say("orders", "aa", Mark("fixed", time.time() - 30, "ann", "deployed"), "new")
    )
    assert (await known.verdicts.of("orders")).compared == 0
    await known.pairs(10, equal=3)
    assert (await known.verdicts.of("orders")).compared == 3


async def test_no_more_pairs_are_equal_by_the_rules_than_are_equal(known: Known) -> None:
    await known.pairs(60, equal=200)
    # Figures of the hour in which the evidence begins are of the whole hour.
    known.live = {"orders": Tally(compare=CompareCounters(verdicts={"ignored": 230}, expected={"rules": 230}))}
    found = await known.verdicts.of("orders")
    (rules,) = [each.sentence for each in found.bias if each.name == "rules"]
    assert rules == "200 pairs (100 %) count as equal only by the rules of compare."
