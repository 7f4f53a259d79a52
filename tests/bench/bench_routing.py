"""How long one match takes among 1,000 mixed routes."""

import statistics
import time

from proxy.config.model import Route
from proxy.core.request import Request
from proxy.core.routing import Router

ROUTES = 1000
HEADERS = {b"host": b"shop.example", b"user-agent": b"bench", b"accept": b"*/*", b"cookie": b"user=u-17; session=abc"}


def mixed_routes(count: int = ROUTES) -> list[Route]:
    """Exact paths, templates, prefixes, expressions, hosts and conditions, as a large monolith's routes mix them."""
    routes = []
    for n in range(count):
        area = f"area{n // 40}"
        kinds: list[dict[str, object]] = [
            {"path": f"/api/{area}/items{n}"},
            {"path": f"/api/{area}/items{n}/{{id}}", "methods": ["GET"]},
            {"path": f"/api/{area}/items{n}/{{id}}/parts/{{part}}"},
            {"path_prefix": f"/api/{area}/things{n}", "methods": ["GET", "HEAD"]},
            {"path": f"/api/{area}/docs{n}/{{id}}/**"},
            {"path_regex": f"/api/{area}/v[0-9]+/report{n}"},
            {"path": f"/host/items{n}/{{id}}", "host": f"h{n % 7}.example"},
            {"path": f"/api/{area}/beta{n}/{{id}}", "headers": {"X-Beta": "1"}, "cookies": {"user": "*"}},
        ]
        routes.append(Route.model_validate({"id": f"r{n}", "match": kinds[n % 8]}))
    return routes


def requests() -> list[Request]:
    """Normal requests: hits of each kind, and misses."""
    targets = [
        b"/api/area1/items40",
        b"/api/area1/items41/17",
        b"/api/area12/items482/17/parts/4?x=1&y=2",
        b"/api/area20/things803/a/b/c",
        b"/api/area20/docs804/9/x/y",
        b"/api/area1/v2/report45",
        b"/host/items6/5",
        b"/nothing/here",
        b"/api/area3/unknown/1/2",
        b"/",
    ]
    fields = list(HEADERS.items())
    return [Request("GET", target, "h6.example", fields, HEADERS) for target in targets]


def measure() -> float:
    """The median of the microseconds per match, over the requests."""
    router = Router(mixed_routes())
    rounds = 2000
    samples = []
    for request in requests():
        best = float("inf")
        for _ in range(5):
            begin = time.perf_counter()
            for _ in range(rounds):
                router.match(request)
            best = min(best, time.perf_counter() - begin)
        samples.append(best / rounds * 1e6)
    return statistics.median(samples)


if __name__ == "__main__":
    print(f"{measure():.2f} µs per match among {ROUTES} routes")
