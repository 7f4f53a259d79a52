"""The inbox over the store: states, noise, what is gone, what comes back, since when evidence counts."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.compare.fingerprint import fingerprint
from proxy.compare.inbox import Action, Mark
from proxy.config.model import Settings
from proxy.control.inbox import GONE_SECONDS, KINDS_SECONDS, Inbox, Standpoint
from proxy.control.ledger import Ledger, StoreLostError
from proxy.core.coverage import OTHER, Cell, cell_key
from proxy.messages import Expected, RouteCounters
from proxy.store.batch import Batch, Seen, Way
from proxy.store.difflog import MAX_VALUES
from proxy.store.evidence import EQUAL, group_of
from proxy.store.rates import Sighting
from proxy.store.tally import Tally

NOON = 1_700_000_000.0
DAY = 86400.0
WAY = Way("legacy", "200/200", "GET", ())
FOUND = cell_key(Cell("GET", 200, "/o/{}", (), (), "json"))
MISSING = cell_key(Cell("GET", 404, "/o/{}", (), (), "json"))
HOUR = 3600.0


def settings(**route: Any) -> Settings:
    return Settings.model_validate(
        {
            "legacy": "m",
            "upstreams": {name: {"endpoints": [f"http://127.0.0.1:{n + 1}"]} for n, name in enumerate("mno")},
            "routes": [
                {"id": "orders", "match": {"path": "/o"}, "candidate": "n", "stage": "shadow", **route},
                {"id": "other", "match": {"path": "/x"}, "candidate": "n", "stage": "shadow"},
            ],
        }
    )


class Rig:
    """A store, a clock, and an inbox over both."""

    def __init__(self, path: Path) -> None:
        self.now = NOON
        self.settings = settings()
        self.told: list[Expected] = []
        self.ledger = Ledger(f"sqlite:///{path}")
        self.inbox = self.anew()

    def anew(self) -> Inbox:
        """The inbox as it is after a restart."""
        return Inbox(self.ledger, lambda: self.settings, self.told.append, lambda: self.now)

    async def pairs(
        self, count: int, *paths: str, route: str = "orders", within: int = 0, equal_within: int = 0, cell: str = FOUND
    ) -> None:
        """So many pairs of a kind of request that show differences of values at these paths, now; of legacy with
        itself, too."""
        batch = Batch()
        keys = [fingerprint(route, "value", path) for path in paths]
        batch.add_pair(route, self.now, group_of(keys) if keys else EQUAL, count)
        batch.add_compared(route, count, within + equal_within)
        for key, path in zip(keys, paths, strict=True):
            if count:
                batch.add_seen(
                    Seen(key, route, "value", path, self.now, self.now, count, "1", "2"), WAY._replace(cell=cell), count
                )
            if within:
                batch.add_within(Sighting(key, route, "value", path, self_seen=within, looks=frozenset({"number"})))

        def work() -> None:
            self.ledger.counters.add(self.now, {route: Tally(RouteCounters(coverage={cell or OTHER: [count, count]}))})
            self.ledger.diffs.write(batch)
            for bucket, counts in batch.evidence().items():
                self.ledger.evidence.add(bucket, counts)
            self.ledger.rates.add_pairs(self.now, batch.compared, {}, DAY)
            self.ledger.rates.add_sightings(self.now, batch.sightings(), {}, DAY)

        await self.ledger.call(work)

    async def look(self) -> dict[str, Standpoint]:
        """path -> where its difference stands."""
        points = await self.ledger.call(lambda: self.inbox.look("orders"))
        return {point.kept.path: point for point in points}

    async def state(self, path: str = "$.a") -> str:
        return (await self.look())[path].standing.state

    async def say(self, action: Action, path: str = "$.a", **more: Any) -> None:
        mark = Mark(action, self.now, "dana", "why", **more)
        await self.ledger.call(lambda: self.inbox.say("orders", fingerprint("orders", "value", path), mark, "new"))

    async def restarted(self, route: str = "orders") -> tuple[float, str] | None:
        return await self.ledger.call(lambda: self.inbox.restarted(route))

    async def actions(self) -> list[str]:
        return [event.action for event in await self.ledger.call(lambda: self.ledger.events.recent(100))][::-1]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "banyan.db")
    await rig.ledger.open()
    yield rig
    await rig.ledger.close()


A = fingerprint("orders", "value", "$.a")
B = fingerprint("orders", "value", "$.b")


async def test_the_comparator_is_told_what_is_accepted_until_when_and_only_when_it_changed(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    await rig.inbox.sweep()
    assert rig.told == [Expected({}, [])]
    await rig.say("accept", until=NOON + 100)
    await rig.inbox.sweep()
    await rig.inbox.sweep()
    await rig.pairs(5, "$.a")
    await rig.inbox.sweep()
    assert rig.told[1:] == [Expected({A: NOON + 100}, [])]
    rig.now = NOON + 100
    await rig.inbox.sweep()
    assert rig.told[2:] == [Expected({}, [])]
    assert (await rig.look())["$.a"].standing.expired


async def test_accepting_takes_effect_on_what_was_compared_before(rig: Rig) -> None:
    await rig.pairs(100)
    await rig.pairs(5, "$.a")
    await rig.pairs(3, "$.a", "$.b")
    await rig.say("accept")
    expected = {point.kept.fingerprint for point in (await rig.look()).values() if point.expected}
    counts = await rig.ledger.call(lambda: rig.ledger.evidence.counts("orders", NOON - 60))
    assert (counts.mismatched(), counts.mismatched(expected)) == (8, 3)
    assert await rig.restarted() is None


async def test_the_state_is_the_same_after_a_restart(rig: Rig) -> None:
    await rig.pairs(5, "$.a", "$.b")
    await rig.say("accept")
    await rig.say("fixed", "$.b")
    await rig.say("assign", "$.b", who="lee")
    before = await rig.look()
    rig.inbox = rig.anew()
    assert await rig.look() == before
    assert {path: point.standing.state for path, point in before.items()} == {"$.a": "accepted", "$.b": "fixed"}


async def test_an_accepted_difference_that_nobody_has_seen_for_long_stays_accepted(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    await rig.say("accept")
    await rig.ledger.call(lambda: rig.ledger.diffs.prune_age(NOON + 1))
    await rig.inbox.sweep()
    assert rig.told == [Expected({A: 0.0}, [])]


async def test_what_was_fixed_and_is_seen_again_regresses_and_that_is_recorded_once(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    rig.now += 1
    await rig.say("fixed")
    await rig.inbox.sweep()
    assert await rig.state() == "fixed"
    rig.now += 1
    await rig.pairs(1, "$.a")
    for _ in range(3):
        await rig.inbox.sweep()
    assert await rig.state() == "regressed"
    assert await rig.actions() == ["fixed", "regressed"]
    rig.now += 1
    await rig.say("fixed")
    assert await rig.state() == "fixed"


async def swept(rig: Rig) -> str:
    """The state of ``$.a`` after enough time for Banyan to look for what is gone."""
    rig.now += KINDS_SECONDS + GONE_SECONDS
    await rig.inbox.sweep()
    return await rig.state()


async def test_what_is_not_seen_any_more_is_found_to_be_fixed_and_comes_back_as_regressed(rig: Rig) -> None:
    for _ in range(10):
        await rig.pairs(10, "$.a")
        await rig.pairs(10)
        rig.now += 10
    await rig.pairs(40)
    assert await swept(rig) == "new"  # 40 pairs say nothing yet
    await rig.pairs(800)
    assert await swept(rig) == "new"  # they are in the hour of its last sighting: by kind nobody knows their order
    hour = rig.now = (NOON // HOUR + 1) * HOUR
    await rig.pairs(40)
    assert await swept(rig) == "new"
    await rig.pairs(200)
    assert await swept(rig) == "fixed"
    (event,) = await rig.ledger.call(lambda: rig.ledger.events.recent(10))
    assert (event.actor, event.action, event.route) == ("banyan", "auto-fixed", "orders")
    assert event.reason == "not seen in 240 comparisons of its kinds of request, after 100 sightings"
    found = await rig.restarted()
    assert found is not None
    assert found[0] == hour  # what is kept by the hour, and pairs, count from the same moment
    counts = await rig.ledger.call(lambda: rig.ledger.evidence.counts("orders", found[0]))
    assert (counts.equal, counts.mismatched()) == (240, 0)
    totals = await rig.ledger.call(lambda: rig.ledger.counters.totals(found[0]))
    assert totals["orders"].traffic.coverage[FOUND] == [240, 240]
    rig.now += 1
    await rig.pairs(1, "$.a")
    await rig.inbox.sweep()
    assert await rig.state() == "regressed"
    assert await rig.actions() == ["auto-fixed", "regressed"]
    assert await rig.restarted() is None  # it was never gone, so what was compared before counts again


async def test_pairs_of_other_kinds_of_request_do_not_say_that_a_difference_is_gone(rig: Rig) -> None:
    await rig.pairs(30, "$.a", cell=MISSING)
    for _ in range(5):
        rig.now += HOUR
        await rig.pairs(3000, cell=FOUND)
        assert await swept(rig) == "new"
    assert await rig.restarted() is None
    assert rig.inbox.open == {"orders": 1}
    await rig.pairs(300, cell=MISSING)
    assert await swept(rig) == "fixed"


async def test_a_difference_of_two_kinds_of_request_is_gone_when_it_is_gone_from_both(rig: Rig) -> None:
    await rig.pairs(30, "$.a", cell=MISSING)
    await rig.pairs(300, "$.a", cell=FOUND)
    rig.now += HOUR
    await rig.pairs(3000, cell=FOUND)
    assert await swept(rig) == "new"
    await rig.pairs(300, cell=MISSING)
    assert await swept(rig) == "fixed"


@pytest.mark.parametrize("cell", ["", OTHER])
async def test_a_difference_that_was_seen_in_no_known_kind_of_request_is_not_found_to_be_fixed(
    rig: Rig, cell: str
) -> None:
    await rig.pairs(300, "$.a")
    await rig.pairs(1, "$.a", cell=cell)
    rig.now += HOUR
    await rig.pairs(90_000)
    await rig.pairs(90_000, cell=cell)
    assert await swept(rig) == "new"


async def test_a_difference_of_more_kinds_than_are_kept_apart_is_not_found_to_be_fixed(rig: Rig) -> None:
    cells = [cell_key(Cell("GET", 200, f"/o/{number}", (), (), "json")) for number in range(MAX_VALUES + 1)]
    for cell in cells:
        await rig.pairs(30, "$.a", cell=cell)
    rig.now += HOUR
    for cell in cells:
        await rig.pairs(3000, cell=cell)
    assert await swept(rig) == "new"


@pytest.mark.parametrize("action", ["accept", "fixed"])
async def test_what_somebody_spoke_of_is_not_found_to_be_fixed(rig: Rig, action: Action) -> None:
    await rig.pairs(100, "$.a")
    rig.now += 1
    await rig.say(action)
    rig.now += HOUR
    await rig.pairs(5000)
    rig.now += 20
    await rig.inbox.sweep()
    assert await rig.actions() == [action]


async def test_noise_by_rates_is_told_and_not_open_and_a_regression_in_it_is(rig: Rig) -> None:
    await rig.pairs(50, "$.a")
    await rig.pairs(50)
    await rig.pairs(0, "$.a", within=20, equal_within=20)
    await rig.inbox.sweep()
    assert rig.told == [Expected({}, [A])]
    assert rig.inbox.open == {}
    point = (await rig.look())["$.a"]
    assert (point.open, point.expected, point.standing.state) == (False, True, "new")
    assert point.rates is not None
    assert (point.rates.rate, point.rates.noise_rate) == (0.5, 0.5)
    await rig.pairs(900, "$.a")  # now nearly always, but within legacy still every second time
    await rig.inbox.sweep()
    assert rig.told[1:] == [Expected({}, [])]
    assert rig.inbox.open == {"orders": 1}


async def test_new_thresholds_of_noise_hold_at_once_and_restart_nothing(rig: Rig) -> None:
    await rig.inbox.judged_by(rig.settings, "start", 0.0)
    await rig.pairs(10, "$.a")
    await rig.pairs(0, "$.a", within=10)
    await rig.inbox.sweep()
    rig.settings = settings(compare={"noise": {"min_samples": 5}})
    await rig.inbox.judged_by(rig.settings, "dana", 3.0)
    await rig.inbox.sweep()
    assert [told.noisy for told in rig.told] == [[], [A]]
    assert await rig.restarted() is None


async def test_evidence_begins_anew_when_rules_or_candidate_change(rig: Rig) -> None:
    await rig.inbox.judged_by(rig.settings, "start", 0.0)
    assert await rig.restarted() is None
    for number, change in enumerate(
        (
            {"compare": {"ignore": ["$.x"]}},
            {"candidate": "o"},
            {"match": {"path": "/wider/**"}},
            {"stage": "live"},
            {"shadow": {"sample": "5%"}},
        )
    ):
        rig.now = NOON + 100 * (number + 1)
        rig.settings = settings(**change)
        await rig.inbox.judged_by(rig.settings, "dana", 3.0)
        found = await rig.restarted()
        assert found is not None
        assert found[0] == (rig.now + 3.0 if number < 4 else NOON + 403.0)
        assert "its requests, its candidate or the rules of comparing changed" in found[1]
    assert await rig.restarted("other") is None
    assert await rig.actions() == ["compare-changed"] * 4  # the fourth took the match back; the stage is no change
    rig.inbox = rig.anew()
    await rig.inbox.judged_by(rig.settings, "start", 0.0)  # nothing changed while it was down
    assert len(await rig.actions()) == 4


async def test_evidence_begins_anew_when_a_difference_was_fixed(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    rig.now += 50
    await rig.say("fixed")
    found = await rig.restarted()
    assert found is not None
    assert found == (NOON + 50, f"the difference {A} was fixed")
    assert await rig.restarted("other") is None
    rig.now += 50
    await rig.say("comment")
    await rig.say("accept", "$.b")
    assert await rig.restarted() == found


async def test_findings_are_the_open_ones_first_and_the_worst_of_them_first(rig: Rig) -> None:
    await rig.pairs(9, "$.a")
    await rig.pairs(3, "$.b")
    await rig.pairs(50, "$.c")
    await rig.pairs(5, "$.d")
    await rig.say("accept", "$.c", until=NOON + DAY)
    await rig.say("assign", "$.b", who="lee")
    await rig.say("comment", "$.b")
    await rig.say("fixed", "$.d")

    async def paths(state: str) -> list[str]:
        return [f.path for f in await rig.ledger.call(lambda: rig.inbox.findings("orders", state=state))]

    assert await paths("all") == ["$.a", "$.b", "$.c", "$.d"]
    assert await paths("open") == ["$.a", "$.b"]
    assert await paths("accepted") == ["$.c"]
    assert await paths("fixed") == ["$.d"]
    assert await paths("noise") == []
    found = {f.path: f for f in await rig.ledger.call(rig.inbox.findings)}
    assert found["$.b"].owner == "lee"
    assert [(c.actor, c.text) for c in found["$.b"].comments] == [("dana", "why")]
    assert (found["$.c"].actor, found["$.c"].reason, found["$.c"].until[:10]) == ("dana", "why", "2023-11-15")
    assert found["$.c"].expected
    assert (found["$.a"].weight, found["$.a"].arms, found["$.a"].statuses) == (30, {"legacy": 9}, {"200/200": 9})
    assert await rig.ledger.call(lambda: rig.inbox.findings(limit=1)) == [found["$.a"]]


async def test_pairs_that_workers_found_equal_are_never_younger_than_they_are(rig: Rig) -> None:
    def worker(matched: int, selfs: int = 0) -> dict[str, Tally]:
        return {"orders": Tally(traffic=RouteCounters(matched=matched, self_matched=selfs))}

    async def since(at: float) -> int:
        counts = await rig.ledger.call(lambda: rig.ledger.evidence.counts("orders", at))
        return counts.equal

    await rig.ledger.save(NOON, worker(10))
    assert await since(NOON - 10) == 10
    assert await since(NOON - 9.9) == 0
    await rig.ledger.save(NOON + 1000, worker(5, 4), since=NOON + 500)  # the store was away
    assert await since(NOON + 500) == 5
    assert await since(NOON + 501) == 0
    await rig.pairs(0, "$.a", within=1)
    rig.now = NOON + 1000
    (one,) = [learned for learned, _ in await rig.ledger.call(lambda: rig.inbox.learned("orders"))]
    assert one.rates.compared == pytest.approx(15, rel=0.02)
    assert one.rates.selfs == pytest.approx(5, rel=0.02)


async def test_a_store_that_is_lost_leaves_what_was_told(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    await rig.say("accept")
    await rig.inbox.sweep()
    await rig.ledger.call(lambda: rig.ledger._db.execute("DROP TABLE fingerprints"))
    await rig.say("unaccept")
    await rig.inbox.sweep()
    await rig.inbox.judged_by(settings(candidate="o"), "dana", 3.0)
    assert rig.told == [Expected({A: 0.0}, [])]


async def test_a_store_that_can_only_be_read_is_not_back(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.pairs(5, "$.a")
    with closing(sqlite3.connect(rig.ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        rig.ledger._db.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(StoreLostError):
            await rig.say("accept")
        for _ in range(3):
            assert await rig.state() == "new"  # it is read
            assert not rig.ledger.up
        other.execute("ROLLBACK")
    assert rig.ledger._db.execute("PRAGMA busy_timeout").fetchone() == (10,)
    await rig.look()
    assert rig.ledger.up
    said = capsys.readouterr().err
    assert (said.count('"store-lost"'), said.count('"store-back"')) == (1, 1)
