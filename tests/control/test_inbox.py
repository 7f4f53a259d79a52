"""The inbox over the store: states, noise, what comes back, since when evidence counts."""

import sqlite3
from contextlib import closing

import pytest
from inbox_rig import DAY, NOON, Rig, settings

from proxy.compare.fingerprint import fingerprint
from proxy.compare.inbox import Mark
from proxy.control.inbox import FORGET_SECONDS
from proxy.control.ledger import StoreLostError
from proxy.messages import Expected, RouteCounters
from proxy.store.events import MAX_OF_ONE
from proxy.store.tally import Tally

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


async def test_what_was_said_of_a_difference_is_forgotten_a_year_after_the_diff_log_forgot_it(rig: Rig) -> None:
    await rig.pairs(5, "$.a", "$.b", "$.c", "$.d")
    await rig.say("accept")  # for good
    await rig.say("comment", "$.b")
    await rig.say("accept", "$.c", until=rig.now + DAY)
    await rig.say("auto-fixed", "$.d")  # Banyan's own word, of no more use than the difference

    async def known() -> set[str]:
        assert await rig.ledger.call(rig.inbox.forget) == len(said_of) - len(await in_record())
        return await in_record()

    async def in_record() -> set[str]:
        marks = await rig.ledger.call(rig.ledger.events.marks)
        return {path for path, key in said_of.items() if key in {mark[2] for mark in marks}}

    said_of = {path: fingerprint("orders", "value", path) for path in ("$.a", "$.b", "$.c", "$.d")}
    assert await known() == {"$.a", "$.b", "$.c", "$.d"}
    await rig.ledger.call(lambda: rig.ledger.diffs.prune_age(NOON + 1))
    rig.now += FORGET_SECONDS - 1
    assert await known() == {"$.a", "$.b", "$.c"}
    said_of.pop("$.d")
    rig.now += 2
    assert await known() == {"$.a"}
    await rig.inbox.sweep()
    assert rig.told[-1].accepted == {A: 0.0}


async def test_what_is_said_after_something_was_forgotten_holds(rig: Rig) -> None:
    await rig.pairs(5, "$.a")
    await rig.inbox.sweep()
    await rig.say("auto-fixed")
    assert await rig.state() == "fixed"
    await rig.ledger.call(lambda: rig.ledger.diffs.prune_age(NOON + 1))
    assert await rig.ledger.call(rig.inbox.forget) == 1
    rig.now += 1
    await rig.pairs(5, "$.a")
    assert await rig.state() == "new"
    await rig.say("accept")  # the number of its event was given before
    assert await rig.state() == "accepted"


async def test_what_was_said_is_not_held_without_end(rig: Rig) -> None:
    await rig.pairs(1, "$.a")

    def say_much() -> int:
        for number in range(MAX_OF_ONE + 300):
            rig.ledger.events.append_mark("orders", A, Mark("fixed", NOON + number, "ci", ""), "new")
            if number % 100 == 0:
                rig.inbox.look()
        rig.inbox.look()
        return len(rig.inbox._marks[A])

    assert await rig.ledger.call(say_much) <= MAX_OF_ONE
    assert (await rig.look())["$.a"].standing.at == NOON + MAX_OF_ONE + 299


async def test_what_was_said_is_held_once_where_older_words_were_forgotten(rig: Rig) -> None:
    await rig.pairs(1, "$.a")

    def say_much() -> list[str]:
        for number in range(MAX_OF_ONE + 3):
            rig.ledger.events.append_mark("orders", A, Mark("comment", NOON + number, "ci", str(number)), "new")
            if number % 100 == 0 or number == MAX_OF_ONE - 1:
                rig.inbox.look()
        rig.inbox.look()
        return [mark.text for mark in rig.inbox._marks[A]]

    said = await rig.ledger.call(say_much)
    assert len(said) == len({*said})


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
    (newest,) = await rig.ledger.call(lambda: rig.ledger.events.recent(1))
    assert newest.before == {"state": "fixed"}
    rig.now += 1
    await rig.say("fixed")
    assert await rig.state() == "fixed"


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


async def test_rules_that_change_while_the_store_is_lost_begin_evidence_anew_when_it_is_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.inbox.judged_by(rig.settings, "start", 0.0)
    await rig.pairs(10)

    def lost(*_: object) -> list[str]:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(rig.ledger.evidence, "judged_by", lost)
        for number, change in enumerate(({"ignore": ["$.x"]}, {})):
            rig.now = NOON + 100 * (number + 1)
            rig.settings = settings(compare=change)
            await rig.inbox.judged_by(rig.settings, "dana", 3.0)
        with pytest.raises(StoreLostError):
            await rig.restarted()
    rig.now = NOON + 300
    found = await rig.restarted()
    assert found is not None
    assert found[0] == NOON + 203
    assert await rig.actions() == ["compare-changed"] * 2
    before = await rig.ledger.call(lambda: rig.ledger.counters.before(NOON + 203, "orders"))
    assert list(before.traffic.coverage.values()) == [[10, 10]]
