"""Upstreams that go on failing: retries within their budget, breakers, bulkheads."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest
from faults import FaultProxy
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok, plain, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_SHADOW = {"sample": "0%"}


def alone(upstream: Upstream | FaultProxy, route: str, **settings: Any) -> dict[str, Any]:
    """A route whose only upstream is this one."""
    document = migration("http://127.0.0.1:9", upstream.url, route, "retired", shadow=NO_SHADOW)
    document["upstreams"]["candidate"] |= settings
    return document


async def test_f01_the_breaker_of_a_dead_legacy_opens_and_closes_as_soon_as_it_is_back(worker: Worker) -> None:
    async with Upstream() as legacy, FaultProxy(legacy.port) as wire:
        document = plain(wire)
        breaker = {"consecutive_failures": 5, "open": "500ms", "probes": 1}
        document["upstreams"]["legacy"]["breaker"] = breaker
        await worker.apply(document)
        await wire.refuse()
        answers = [await worker.ask() for _ in range(20)]
        assert [answer.status for answer in answers] == [502] * 5 + [503] * 15
        assert {answer.get("retry-after") for answer in answers[5:]} == {b"1"}
        await wire.listen()
        await asyncio.sleep(0.9)
        assert (await worker.ask()).status == 200
        assert [(await worker.ask()).status for _ in range(10)] == [200] * 10
        assert wire.connections == 1


@pytest.mark.parametrize("attempts", [0, 1, 3])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_f05_an_upstream_sees_as_many_sends_as_are_counted(worker: Worker, method: str, attempts: int) -> None:
    """Whatever is not safe is sent once, although PUT and DELETE are idempotent: nobody has said so of this one."""
    route = f"sends-{method.lower()}-{attempts}"
    async with Upstream() as upstream, FaultProxy(upstream.port) as wire:
        retries = {"attempts": attempts, "on": ["reset"], "backoff": "1ms"}
        await worker.apply(alone(wire, route, retries=retries, breaker=NO_BREAKER))
        wire.down.limit, wire.down.then = 0, "reset"
        for _ in range(4):
            answer = await worker.ask(method=method, body=b"order" if method in ("PUT", "POST") else b"")
            assert answer.status == 502
        again = attempts if method == "GET" else 0
        await until(lambda: len(upstream.requests) >= 4 * (1 + again))
        counters = await worker.route(route)
        assert len(upstream.requests) == 4 * (1 + again)
        assert sum(counters.retries.values()) == 4 * again
        assert counters.upstream_requests == {"candidate reset": 4 * (1 + again)}


async def test_f25_retries_of_an_upstream_that_fails_half_the_time_stay_within_the_budget(worker: Worker) -> None:
    dice = random.Random(25)

    def moody(_: Message) -> Act:
        return Act(ok() if dice.random() < 0.5 else ok(b"no", status="503 Busy"), delay=0.02)

    async def customer() -> list[int]:
        async with await worker.connect() as client:
            statuses = []
            for _ in range(20):
                client.get()
                statuses.append((await client.answer()).status)
            return statuses

    async with Upstream(moody) as upstream:
        retries = {"attempts": 3, "budget": "20%", "budget_min": 0, "backoff": "5ms", "on": [503]}
        await worker.apply(alone(upstream, "budget", retries=retries, breaker=NO_BREAKER))
        found = Counter(s for statuses in await asyncio.gather(*(customer() for _ in range(50))) for s in statuses)
        assert set(found) == {200, 503}
        assert found[200] > 500  # some were saved
        sends = len(upstream.requests)
        assert 1000 < sends <= 1200
        counters = await worker.route("budget")
        assert sum(counters.retries.values()) == sends - 1000
        assert (await worker.stats()).upstreams["candidate"].retries_refused > 0


BREAKER = {"consecutive_failures": 5, "error_share": "0%", "open": "1s", "probes": 3}


@pytest.mark.parametrize("stage", ["live", "retired"])
async def test_f26_an_open_breaker_answers_at_once_and_lets_exactly_its_probes_pass(worker: Worker, stage: str) -> None:
    route = f"breaker-{stage}"
    failing = Act(ok(b"no", status="503 Busy"))
    async with Upstream(ok(b"legacy")) as legacy, Upstream(failing) as candidate:
        document = migration(legacy, candidate, route, stage, shadow=NO_SHADOW, breaker=BREAKER)
        await worker.apply(document)

        async def state() -> str:
            return next(f.state for f in (await worker.stats()).breakers if (f.route, f.purpose) == (route, "traffic"))

        # closed: every request is tried, up to the threshold
        for _ in range(5):
            await worker.ask()
        assert (len(candidate.requests), await state()) == (5, "open")
        # open: at once, and nobody is asked
        seconds = []
        for _ in range(20):
            begun = time.monotonic()
            answer = await worker.ask()
            seconds.append(time.monotonic() - begun)
            if stage == "live":
                assert (answer.status, answer.body) == (200, b"legacy")
            else:
                assert answer.status == 503
                assert int(answer.get("retry-after") or b"0") >= 1
        assert sorted(seconds)[10] < 0.02
        assert len(candidate.requests) == 5
        # half-open: however many come at this moment, so many pass and no more
        go = asyncio.Event()

        async def held(_: Message) -> bytes:
            await go.wait()
            return ok(b"candidate")

        candidate.reply = held
        await asyncio.sleep(1.3)
        crowd = [asyncio.ensure_future(worker.ask()) for _ in range(200)]  # noqa: TID251 - awaited below
        await until(lambda: sum(task.done() for task in crowd) == 197 and len(candidate.requests) >= 8)
        await asyncio.sleep(0.1)
        assert len(candidate.requests) == 8
        # closed again, when all of them have succeeded
        go.set()
        bodies = Counter([(await task).body for task in crowd])
        assert bodies[b"candidate"] == 3
        assert await state() == "closed"
        assert (await worker.ask()).body == b"candidate"
        changes = [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]
        await until(lambda: [(e.before, e.after) for e in worker.events if e.route == route] == changes)


async def test_f26_a_probe_that_fails_opens_it_again_for_longer(worker: Worker) -> None:
    async with Upstream(ok(b"no", status="503 Busy")) as upstream:
        breaker = BREAKER | {"open": "300ms"}
        await worker.apply(alone(upstream, "reopened", breaker=breaker))
        for _ in range(5):
            await worker.ask()
        asked = []
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            before = len(upstream.requests)
            await worker.ask()
            if len(upstream.requests) > before:
                asked.append(time.monotonic())
            await asyncio.sleep(0.01)
        assert 2 <= len(asked) <= 4  # after 0.3, 0.9 and 2.1 s, each more or less a fifth
        assert asked[1] - asked[0] > 0.4


async def test_f59_a_full_bulkhead_refuses_within_its_queues_time_and_leaves_others_alone(worker: Worker) -> None:
    go = asyncio.Event()

    async def slow(message: Message) -> bytes:
        if message.target == b"/slow":
            await go.wait()
        return ok(b"legacy")

    async with Upstream(slow) as legacy, Upstream(ok(b"other")) as other:
        document = migration(legacy, other, "beside", "retired", shadow=NO_SHADOW)
        document["routes"][0]["match"] = {"path": "/other"}
        document["upstreams"]["legacy"]["bulkhead"] = {"max_concurrent": 5, "queue": 5, "queue_timeout": "300ms"}
        await worker.apply(document)

        async def visit() -> tuple[Message, float]:
            begun = time.monotonic()
            return await worker.ask("/slow"), time.monotonic() - begun

        crowd = [asyncio.ensure_future(visit()) for _ in range(30)]  # noqa: TID251 - awaited below
        await until(lambda: sum(task.done() for task in crowd) == 20)
        begun = time.monotonic()
        for _ in range(20):
            assert (await worker.ask("/other")).body == b"other"
        assert time.monotonic() - begun < 0.5
        await until(lambda: sum(task.done() for task in crowd) == 25)
        go.set()
        found = [await task for task in crowd]
        assert Counter(answer.status for answer, _ in found) == {503: 25, 200: 5}
        refused = [(answer, seconds) for answer, seconds in found if answer.status == 503]
        assert all(answer.get("retry-after") for answer, _ in refused)
        assert max(seconds for _, seconds in refused) < 1.0
        assert sum(seconds >= 0.29 for _, seconds in refused) == 5
        assert len(legacy.requests) == 5
        assert (await worker.ask("/slow")).status == 200
        figures = (await worker.stats()).upstreams["legacy"]
        assert (figures.in_flight, figures.queued, figures.overflows) == (0, 0, 25)


async def test_f59_a_candidate_that_is_full_is_rescued_by_legacy(worker: Worker) -> None:
    async with Upstream(ok(b"legacy")) as legacy, Upstream(Act(ok(b"candidate"), delay=0.5)) as candidate:
        bulkhead = {"max_concurrent": 2, "queue": 0}
        await worker.apply(migration(legacy, candidate, "rescued", "live", shadow=NO_SHADOW, bulkhead=bulkhead))
        answers = await asyncio.gather(*(worker.ask(method="POST" if n % 2 else "GET") for n in range(10)))
        assert Counter(answer.body for answer in answers) == {b"legacy": 8, b"candidate": 2}
        assert (await worker.route("rescued")).fallbacks == {"overflow": 8}
