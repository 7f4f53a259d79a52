"""Reading back after writes: both sides are asked for what legacy wrote, and nobody ever sees a write twice."""

import asyncio
import gzip
import json
import random
from collections import Counter
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok
from shadows import mine, settled, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAFE = (b"GET", b"HEAD", b"OPTIONS")


def reading(*paths: str, **more: Any) -> dict[str, Any]:
    """The shadow of a route whose writes are read back."""
    reads = [path if isinstance(path, dict) else {"path": path} for path in paths]
    return {"unsafe": "read-after-write", "reads": reads, "methods": [], **more}


def kept(document: Any) -> bytes:
    return ok(json.dumps(document).encode(), "Content-Type: application/json", status="201 Created")


def writes(upstream: Upstream) -> list[Message]:
    return [request for request in upstream.heads if request.method not in SAFE]


def reads(upstream: Upstream) -> list[Message]:
    return [request for request in upstream.heads if request.method in SAFE]


def served(route: str, document: dict[str, Any], path: str = "/orders/{order_id}") -> dict[str, Any]:
    """The configuration with a path template in the place of every path."""
    document["routes"][0]["match"] = {"path": path}
    return document


async def read_back(worker: Worker, route: str, number: int = 1) -> Counter[str]:
    counters = await worker.route_when(route, lambda c: sum(c.shadow.values()) >= number)
    return Counter(counters.shadow) + Counter(counters.shadow_dropped)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_is_followed_by_its_reads_on_both_sides(worker: Worker, method: str) -> None:
    legacy = Upstream(lambda m: kept({"id": "a b/1"}) if m.method not in SAFE else ok(b"state"))
    candidate = Upstream(ok(b"state"))
    route = f"followed-{method.lower()}"
    async with legacy, candidate:
        shadow = reading("/orders/{order_id}?full=1", "/orders/{order_id}/log")
        await worker.apply(served(route, migration(legacy, candidate, route, "shadow", shadow=shadow)))
        assert (await worker.ask("/orders/%41%20x?y=1", method=method, body=b"{}")).status == 201
        assert (await read_back(worker, route, 2))["read-back"] == 2
        assert (await worker.route(route)).matched == 2
        assert [m.method for m in writes(legacy)] == [method.encode()]
        for side in (legacy, candidate):
            targets = [m.line for m in reads(side)]
            assert targets == [b"GET /orders/%41%20x?full=1 HTTP/1.1", b"GET /orders/%41%20x/log HTTP/1.1"]
            assert {m.get("x-banyan-shadow") for m in reads(side)} == {b"1"}
        assert writes(candidate) == []
