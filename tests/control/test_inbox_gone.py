"""What is gone: a difference is found to be fixed when its kinds of request were compared often enough without it."""

import pytest
from inbox_rig import FOUND, HOUR, NOON, Rig

from proxy.compare.inbox import Action
from proxy.control.inbox import GONE_SECONDS, KINDS_SECONDS
from proxy.core.coverage import OTHER, Cell, cell_key
from proxy.store.difflog import MAX_VALUES

MISSING = cell_key(Cell("GET", 404, "/o/{}", (), (), "json"))


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


async def test_what_is_gone_is_looked_for_after_a_clock_was_set_back(rig: Rig) -> None:
    rig.now = NOON + 365 * 24 * HOUR
    await rig.inbox.sweep()
    rig.now = NOON
    await rig.pairs(100, "$.a")
    rig.now += 2 * HOUR
    await rig.pairs(2000)
    assert await swept(rig) == "fixed"


async def test_one_sighting_is_spoken_of_as_one(rig: Rig) -> None:
    await rig.pairs(1, "$.a")
    rig.now += 2 * HOUR
    await rig.pairs(1000)
    assert await swept(rig) == "fixed"
    (event,) = await rig.ledger.call(lambda: rig.ledger.events.recent(10))
    assert event.reason.endswith(", after 1 sighting")
