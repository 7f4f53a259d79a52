"""An inbox over a store, with a clock that tests set."""

from pathlib import Path
from typing import Any

from proxy.compare.fingerprint import fingerprint
from proxy.compare.inbox import Action, Mark
from proxy.config.model import Settings
from proxy.control.inbox import Inbox, Standpoint
from proxy.control.ledger import Ledger
from proxy.core.coverage import OTHER, Cell, cell_key
from proxy.messages import Expected, RouteCounters
from proxy.store.batch import Batch, Seen, Way
from proxy.store.evidence import EQUAL, group_of
from proxy.store.rates import Sighting
from proxy.store.tally import Tally

NOON = 1_700_000_000.0
DAY = 86400.0
WAY = Way("legacy", "200/200", "GET", ())
FOUND = cell_key(Cell("GET", 200, "/o/{}", (), (), "json"))
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
