"""What the tests of reading back after writes share."""

import json
from collections import Counter
from typing import Any

from harness import Message, Upstream, Worker, migration, ok

SAFE = (b"GET", b"HEAD", b"OPTIONS")


def reading(*paths: str, **more: Any) -> dict[str, Any]:
    """The shadow of a route whose writes are read back."""
    reads = [path if isinstance(path, dict) else {"path": path} for path in paths]
    return {"unsafe": "read-after-write", "reads": reads, "methods": [], **more}


def kept(document: Any) -> bytes:
    return ok(json.dumps(document).encode(), "Content-Type: application/json", status="201 Created")


def asked_back(legacy: Upstream, candidate: Upstream, route: str, stage: str, **more: Any) -> dict[str, Any]:
    """A configuration whose shadows do not mind a busy machine."""
    return migration(legacy, candidate, route, stage, overload={"shadow_lag": "0s"}, **more)


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
