"""What the tests of the shadow share."""

from typing import Any

from harness import Upstream, Worker, ok

from proxy.messages import RouteCounters


def total(counters: RouteCounters) -> int:
    return sum(counters.shadow.values())


async def settled(worker: Worker, route: str, sampled: int) -> RouteCounters:
    """The counters when each sampled request has come to its one end."""
    counters = await worker.route_when(route, lambda c: total(c) >= sampled)
    assert total(counters) == sampled
    assert counters.shadow.get("dropped", 0) == sum(counters.shadow_dropped.values())
    assert counters.shadow.get("compared", 0) == counters.matched
    return counters


def sides(legacy: Any = None, candidate: Any = None) -> tuple[Upstream, Upstream]:
    return Upstream(ok(b"same") if legacy is None else legacy), Upstream(
        ok(b"same") if candidate is None else candidate
    )


def mine(worker: Worker, route: str) -> list[Any]:
    return [pair for pair in worker.pairs if pair.route == route]
