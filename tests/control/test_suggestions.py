"""Rules proposed from the store."""

from __future__ import annotations

from types import SimpleNamespace

from inbox_rig import DAY, NOON, Rig

from proxy.control.suggestions import of_route
from proxy.messages import RouteCounters
from proxy.store.tally import Tally


async def test_comparisons_in_which_nothing_ever_differed_fade_like_all_others(rig: Rig) -> None:
    async def tallies(hours: int) -> dict[str, Tally]:
        assert hours > 24
        return {"orders": Tally(RouteCounters(self_matched=20))}

    operations = SimpleNamespace(
        serving=lambda: rig.settings, route=lambda _: rig.settings.routes[0], tallies=tallies, inbox=rig.inbox,
        ledger=rig.ledger,
    )  # fmt: skip
    await rig.pairs(0, equal_within=20)
    for days, weight in ((0, 20), (1, 10), (30, 0)):
        rig.now = NOON + days * DAY
        made = await of_route(operations, "orders")  # type: ignore[arg-type]  # all that it asks for is here
        assert made["selfs"] == 20
        assert f"they count as {weight} comparisons today" in made["lack"]
