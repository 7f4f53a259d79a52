"""Several endpoints of one upstream in a running worker: who is asked, who is left out, and who is asked next."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Upstream, Worker, migration, ok, running, until
from ports import free_port

from proxy.messages import EndpointWord, UpstreamFigures
from proxy.wire.tasks import spawn

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILING = ok(b"no", status="503 Busy")


def among(route: str, *endpoints: Upstream | str | dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A route whose only upstream has these endpoints. Nothing is ejected and no breaker opens, if nothing is said."""
    outer = {key: settings.pop(key) for key in ("identity", "overload") if key in settings}
    document = migration("http://127.0.0.1:9", "http://127.0.0.1:9", route, "retired", shadow={"sample": "0%"}, **outer)
    listed = [one.url if isinstance(one, Upstream) else one for one in endpoints]
    calm = {"breaker": NO_BREAKER, "outliers": {"consecutive_failures": 0}}
    document["upstreams"]["candidate"] = {"endpoints": listed, **calm, **settings}
    return document


async def figures(worker: Worker) -> UpstreamFigures:
    return (await worker.stats()).upstreams["candidate"]


async def test_requests_go_in_turn_and_by_weight(worker: Worker) -> None:
    async with Upstream() as one, Upstream() as two, Upstream() as none:
        await worker.apply(among("turns", {"url": one.url, "weight": 3}, two, {"url": none.url, "weight": 0}))
        for _ in range(40):
            await worker.ask()
        assert [len(upstream.requests) for upstream in (one, two, none)] == [30, 10, 0]


async def test_least_request_avoids_the_busy_endpoint(worker: Worker) -> None:
    go = asyncio.Event()

    async def slow(_: object) -> bytes:
        await go.wait()
        return ok()

    async with Upstream(slow) as stuck, Upstream() as free:
        await worker.apply(among("least", stuck, free, balance="least-request"))
        asked = [spawn(worker.ask(), "ask") for _ in range(30)]
        await until(lambda: stuck.requests and len(stuck.requests) + len(free.requests) == 30)
        for _ in range(30):
            await worker.ask()
        go.set()
        await asyncio.gather(*asked)
        assert len(free.requests) > 40


async def test_an_identity_keeps_its_endpoint_over_reloads_and_the_loss_of_others(worker: Worker) -> None:
    async with Upstream(ok(b"a")) as a, Upstream(ok(b"b")) as b, Upstream(ok(b"c")) as c:
        settings: dict[str, Any] = {"balance": "hash", "identity": [{"header": "X-User"}]}
        await worker.apply(among("hash", a, b, c, **settings))
        users = [f"X-User: u{n}" for n in range(30)]
        home = {user: (await worker.ask("/", user)).body for user in users}
        assert set(home.values()) == {b"a", b"b", b"c"}
        await worker.apply(among("hash", c, a, **settings))
        for user in users:
            where = (await worker.ask("/", user)).body
            assert where == home[user] if home[user] != b"b" else where in (b"a", b"c")


@pytest.mark.parametrize("failure", ["refused", "reset", "503"])
async def test_a_retry_asks_another_endpoint_than_the_one_that_failed(worker: Worker, failure: str) -> None:
    act = Act(then="reset") if failure == "reset" else FAILING
    async with Upstream(act) as bad, Upstream() as good:
        broken: Upstream | str = f"http://127.0.0.1:{free_port()}" if failure == "refused" else bad
        retries = {"attempts": 1, "backoff": "1ms", "budget_min": 100}
        for balance in ("round-robin", "least-request", "hash"):
            route = f"elsewhere-{failure}-{balance}"
            more: dict[str, Any] = {"identity": [{"header": "X-User"}]} if balance == "hash" else {}
            await worker.apply(among(route, broken, good, retries=retries, balance=balance, **more))
            for n in range(20):
                assert (await worker.ask("/", f"X-User: {n}")).status == 200
            counters = await worker.route(route)
            assert sum(counters.retries.values()) > 0


async def test_an_endpoint_that_goes_on_failing_is_ejected_and_comes_back(worker: Worker) -> None:
    async with Upstream(FAILING) as bad, Upstream() as good:
        outliers = {"consecutive_failures": 3, "ejection": "700ms", "max_ejected": "50%"}
        await worker.apply(among("eject", bad, good, outliers=outliers, panic="0%"))
        found = Counter([(await worker.ask()).status for _ in range(20)])
        assert found == {503: 3, 200: 17}
        state = (await figures(worker)).endpoints
        assert (state[bad.url].state, state[bad.url].ejections, state[good.url].state) == ("ejected", 1, "fit")
        assert f'"endpoint":"{bad.url}"' in worker.log()
        bad.reply = ok()
        await asyncio.sleep(0.8)
        before = len(bad.requests)
        assert Counter([(await worker.ask()).status for _ in range(10)]) == {200: 10}
        assert len(bad.requests) - before == 5
        assert (await figures(worker)).endpoints[bad.url].state == "fit"


async def test_when_all_fail_no_more_than_the_share_is_ejected_and_the_rest_is_asked(worker: Worker) -> None:
    async with Upstream(FAILING) as one, Upstream(FAILING) as two, Upstream(FAILING) as three:
        await worker.apply(among("all", one, two, three, outliers={"consecutive_failures": 1, "max_ejected": "50%"}))
        for _ in range(20):
            assert (await worker.ask()).status == 503
        states = Counter(e.state for e in (await figures(worker)).endpoints.values())
        assert states == {"ejected": 1, "fit": 2}
        assert len(one.requests) + len(two.requests) + len(three.requests) == 20


@pytest.mark.parametrize(("panic", "status"), [("50%", 200), ("0%", 503)])
async def test_if_all_are_unhealthy_panic_decides_and_it_is_told_once_a_minute(panic: str, status: int) -> None:
    async with Upstream() as one, Upstream() as two, running() as worker:
        document = among(f"panic-{status}", one, two, panic=panic)
        await worker.apply(document)
        await worker.word({"candidate": [EndpointWord(u.url, 1, healthy=False) for u in (one, two)]})
        await until_figures(worker, lambda f: {e.state for e in f.endpoints.values()} == {"unhealthy"})
        answer = await worker.ask()
        assert (answer.status, answer.get("retry-after") is not None) == (status, status == 503)
        assert (await figures(worker)).panic is (status == 200)
        await until(lambda: "too-few-endpoints-fit" in worker.log())
        await asyncio.sleep(0.3)
        (line,) = [json.loads(x) for x in worker.log().splitlines() if "too-few-endpoints-fit" in x]
        assert (line["upstream"], line["unhealthy"]) == ("candidate", 2)
        assert line["used"] == ("all" if status == 200 else "none")


async def until_figures(worker: Worker, holds: Any) -> None:
    by = time.monotonic() + 10
    while not holds(await figures(worker)):
        assert time.monotonic() < by


async def test_an_endpoint_that_left_finishes_what_it_has_and_gets_nothing_new(worker: Worker) -> None:
    go = asyncio.Event()

    async def slow(_: object) -> bytes:
        await go.wait()
        return ok(b"finished")

    async with Upstream(slow) as old, Upstream(ok(b"new")) as new, await worker.connect() as client:
        await worker.apply(among("leaves", old))
        client.get()
        await until(lambda: old.requests)
        await worker.apply(among("leaves", new))
        assert (await figures(worker)).endpoints[old.url].state == "draining"
        for _ in range(10):
            assert (await worker.ask()).body == b"new"
        go.set()
        assert (await client.answer()).body == b"finished"
        assert len(old.requests) == 1
        await until_figures(worker, lambda f: set(f.endpoints) == {new.url})
        await until(lambda: old.open == 0)


async def test_an_endpoint_that_came_back_starts_slowly() -> None:
    async with Upstream() as one, Upstream() as two, running() as worker:
        await worker.apply(among("slow-start", one, two, slow_start="60s"))
        for healthy, state in ((False, "unhealthy"), (True, "fit")):
            await worker.word({"candidate": [EndpointWord(one.url), EndpointWord(two.url, 1, healthy=healthy)]})
            await until_figures(worker, lambda f, state=state: f.endpoints[two.url].state == state)
        for _ in range(60):
            await worker.ask()
        assert 1 <= len(two.requests) <= 15  # a tenth of its share, and a little more each second
