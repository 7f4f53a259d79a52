"""What one try must not do to the next one, to other requests, or to the client: found by looking for it."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok, request, reset, running, until

from proxy.dataplane.worker import Worker as WorkerProcess
from proxy.messages import BreakerFigures
from proxy.wire.fiber import NEVER

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_SHADOW = {"sample": "0%"}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: chat")


async def breaker(worker: Worker, route: str) -> BreakerFigures:
    """Of traffic to the candidate."""
    figures = (await worker.stats()).breakers
    return next(b for b in figures if (b.route, b.upstream, b.purpose) == (route, "candidate", "traffic"))


@pytest.mark.parametrize("last", ["refused", "breaker-open"])
async def test_a_write_that_one_try_may_have_shown_the_candidate_does_not_fall_back_after_one_that_was_not_sent(
    worker: Worker, last: str
) -> None:
    """The key allows the same service to be asked again; nobody has said that another one may be."""
    async with Upstream() as legacy, Upstream() as candidate:

        async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = Message(await reader.readuntil(b"\r\n\r\n"))
            await head.read_body(reader)
            candidate.requests.append(head)
            assert candidate._server is not None
            if last == "refused":
                candidate._server.close()
            reset(writer)

        candidate.raw = fails
        retries = {"on": ["reset"], "unsafe": "idempotency-key", "backoff": "20ms"}
        more = {"retries": retries, "shadow": NO_SHADOW}
        more["breaker"] = NO_BREAKER if last == "refused" else {"consecutive_failures": 1}
        await worker.apply(migration(legacy, candidate, f"seen-{last}", "live", **more))
        answer = await worker.ask("/", "Idempotency-Key: 1", method="POST", body=b"order")
        assert answer.status == (502 if last == "refused" else 503)
        assert len(candidate.requests) == 1
        assert legacy.requests == []
        assert (await worker.ask("/", method="GET")).status == 200  # a safe one still does


async def test_what_an_upstream_adds_to_its_answer_during_a_bandwidth_drill_is_not_passed_on(worker: Worker) -> None:
    async def adds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"x" * 20))
        await asyncio.sleep(0.05)
        writer.write(ok(b"another"))
        await reader.read()

    async with Upstream() as legacy, Upstream(raw=adds) as candidate:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"bandwidth": "100B"}], "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "adds", "live", **more))
        async with await worker.connect() as client:
            client.send(request("/", "Connection: close"))
            got = await client.rest()
        assert got.endswith(b"\r\n\r\n" + b"x" * 20)


async def test_a_bandwidth_drill_passes_an_answer_on_evenly_and_at_once(worker: Worker) -> None:
    """Not in one piece after the time that all of it would take: that would be a delay."""
    body = bytes(range(250)) * 100
    async with Upstream() as legacy, Upstream(ok(body)) as candidate:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"bandwidth": "50000B"}], "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "evenly", "live", **more))
        for _ in range(2):
            async with await worker.connect() as client:
                began = time.monotonic()
                client.get()
                await client.head()
                head = time.monotonic() - began
                assert await client.exactly(len(body)) == body
                whole = time.monotonic() - began
            assert whole >= 0.45
            assert head < whole - 0.2


async def test_a_drills_bandwidth_is_bounded_by_the_deadline_up_to_the_head(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(ok(b"x" * 60_000)) as candidate:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"bandwidth": "1KiB"}], "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "crawl", "live", timeouts={"total": "1s"}, **more))
        async with await worker.connect() as client:
            client.get()
            async with asyncio.timeout(3):
                assert (await client.head()).status == 200


async def test_a_retry_after_early_in_an_upload_does_not_outlast_the_deadline(worker: Worker) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"", "Retry-After: 3600", status="503 Busy"))
        await reader.read()

    async with Upstream() as legacy, Upstream(raw=early) as candidate:
        retries = {"on": [503], "unsafe": "idempotency-key"}
        more = {"timeouts": {"total": "1s"}, "retries": retries, "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "early-wait", "live", **more))
        async with await worker.connect() as client:
            client.send(request("/", "Idempotency-Key: 1", "Content-Length: 10", method="POST") + b"half")
            async with asyncio.timeout(5):
                assert (await client.head()).status == 503


async def test_the_time_in_the_queue_is_not_taken_from_the_upstreams(worker: Worker) -> None:
    """Nor is the upstream blamed for it: neither by its breaker nor by the adaptive limit."""

    def slow(_: Message) -> Act:
        return Act(ok(), delay=0.7)

    async with Upstream() as legacy, Upstream(slow) as candidate:
        bulkhead = {"max_concurrent": 1, "queue": 10, "queue_timeout": "5s"}
        breaker_ = {"consecutive_failures": 1}
        more = {"bulkhead": bulkhead, "breaker": breaker_, "shadow": NO_SHADOW, "timeouts": {"first_byte": "1s"}}
        await worker.apply(migration(legacy, candidate, "queued", "retired", **more))
        answers = await asyncio.gather(*(worker.ask() for _ in range(3)))
        assert [answer.status for answer in answers] == [200] * 3
        assert (await worker.route("queued")).upstream_requests == {"candidate ok": 3}


async def test_a_tunnel_keeps_no_probes_place_and_none_in_the_retry_budget(worker: Worker) -> None:
    fails = True

    async def switches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal fails
        while True:
            head = Message(await reader.readuntil(b"\r\n\r\n"))
            if head.get("upgrade") and not fails:
                writer.write(SWITCH)
                await reader.read()
                return
            fails = fails and not head.get("upgrade")
            writer.write(ok(status="503 Busy") if head.get("upgrade") or fails else ok())

    async with Upstream() as legacy, Upstream(raw=switches) as candidate:
        settings = {"consecutive_failures": 1, "open": "100ms", "probes": 1}
        retries = {"on": [503], "backoff": "300ms", "max_backoff": "300ms"}
        more = {"breaker": settings, "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "tunnel-probe", "retired", **more))
        assert (await worker.ask()).status == 503
        await asyncio.sleep(0.3)
        fails = False
        async with await worker.connect() as client:
            client.get("/", *UPGRADE)
            assert (await client.head()).status == 101
            assert (await breaker(worker, "tunnel-probe")).state == "closed"
        fails = True
        more = {"breaker": NO_BREAKER, "retries": retries, "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "tunnel-retry", "retired", **more))
        async with await worker.connect() as client:
            client.get("/", *UPGRADE)
            assert (await client.head()).status == 101
            assert (await worker.stats()).upstreams["candidate"].retries_in_flight == 0
            client.send(b"x")
        await until(lambda: candidate.open == 0)


async def test_a_stream_keeps_no_place_in_the_retry_budget(worker: Worker) -> None:
    async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if candidate.connections == 1:
            reset(writer)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read()

    async with Upstream() as legacy, Upstream(raw=streams) as candidate:
        more = {"breaker": NO_BREAKER, "retries": {"on": ["reset"], "backoff": "1ms"}, "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "stream-retry", "retired", **more))
        async with await worker.connect() as client:
            client.get()
            assert (await client.head()).status == 200
            figures = (await worker.stats()).upstreams["candidate"]
            assert (figures.in_flight, figures.retries_in_flight) == (1, 0)


async def test_a_try_whose_client_leaves_in_the_middle_of_the_answer_is_counted_as_answered(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(ok(b"x" * 8_000_000)) as candidate:
        await worker.apply(migration(legacy, candidate, "left-early", "retired", shadow=NO_SHADOW))
        client = await worker.connect()
        client.get()
        await client.head()
        client.writer.transport.abort()
        await worker.route_when("left-early", lambda c: c.requests)
        assert (await worker.route("left-early")).upstream_requests == {"candidate ok": 1}


async def test_a_drilled_request_that_fails_does_not_count_for_the_breaker(worker: Worker) -> None:
    """Others must not lose the candidate because staff rehearses: what is left after the delay is too short for it."""

    async with Upstream() as legacy, Upstream(lambda _: Act(ok(), delay=0.4)) as candidate:
        more: dict[str, Any] = {
            "drills": "allowed",
            "faults": [{"delay": "600ms", "header": {"X-Drill": "1"}}],
            "breaker": {"consecutive_failures": 1},
            "shadow": NO_SHADOW,
            "timeouts": {"first_byte": "2s", "per_try": "700ms", "total": "5s"},
        }
        await worker.apply(migration(legacy, candidate, "rehearsed", "live", **more))
        assert (await worker.ask("/", "X-Drill: 1")).status == 200
        counters = await worker.route("rehearsed")
        assert counters.fallbacks == {"timeout": 1}
        assert (await breaker(worker, "rehearsed")).state == "closed"


SLOW_CLOCK = """
import time
from proxy.dataplane import forward
forward.monotonic = lambda: time.sleep(0.02) or time.monotonic()
"""


async def test_a_pause_that_ends_between_two_looks_at_the_clock_costs_no_client_its_answer() -> None:
    async with Upstream() as legacy, Upstream() as candidate, running(before=SLOW_CLOCK) as worker:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"delay": "30ms"}], "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "paused", "live", **more))
        assert [(await worker.ask()).status for _ in range(3)] == [200] * 3


async def test_a_drill_that_aborts_with_a_4xx_is_an_answer_like_the_candidates_and_not_rescued(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream() as candidate:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"abort": 404}], "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, candidate, "gone", "live", **more))
        assert (await worker.ask()).status == 404
        assert legacy.requests == []


async def test_connections_to_an_upstream_that_left_the_configuration_are_not_kept(worker: Worker) -> None:
    """Also those that a request of before makes after it left."""
    first = asyncio.Event()

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            if candidate.connections == 1:
                await first.wait()
                reset(writer)
                return
            writer.write(ok())

    async with Upstream() as legacy, Upstream(raw=moody) as candidate:
        more = {"breaker": NO_BREAKER, "retries": {"on": ["reset"], "backoff": "1ms"}, "shadow": NO_SHADOW}
        document = migration(legacy, candidate, "left", "retired", **more)
        await worker.apply(document)
        async with await worker.connect() as client:
            client.get()
            await until(lambda: candidate.connections == 1)
            await worker.apply({"upstreams": {"legacy": document["upstreams"]["legacy"]}, "legacy": "legacy"})
            first.set()
            assert (await client.answer()).status == 200
            began = time.monotonic()
            await until(lambda: candidate.open == 0)
            assert time.monotonic() - began < 2


async def test_the_deadline_of_a_body_that_has_come_whole_begins_before_it_is_sent(worker: Worker) -> None:
    """A candidate that does not take connections must not add its tries to the deadline."""
    bulkhead = {"max_concurrent": 1, "queue": 10, "queue_timeout": "3s"}

    async with Upstream() as legacy, Upstream(Act(then="hang")) as candidate:
        more = {"bulkhead": bulkhead, "breaker": NO_BREAKER, "shadow": NO_SHADOW, "timeouts": {"total": "1s"}}
        await worker.apply(migration(legacy, candidate, "whole", "retired", **more))
        async with await worker.connect() as one, await worker.connect() as two:
            one.get()
            await until(lambda: candidate.requests)
            began = time.monotonic()
            two.get(method="POST", body=b"order")
            await two.head()
            assert time.monotonic() - began < 2


async def test_a_connection_closed_to_make_room_counts_until_it_is_gone_and_makes_room_once() -> None:
    """Else clients that do not read their last answer were more than the cap, and nobody would cut them."""

    class Idle:
        serving, pending, abort_at = False, False, NEVER

        def close(self) -> None:
            self.abort_at = 60.0

    client = Idle()
    worker: Any = SimpleNamespace(_clients={client: None}, refused={})
    assert WorkerProcess._make_room(worker)
    assert worker._clients == {client: None}
    assert not WorkerProcess._make_room(worker)
    assert worker.refused == {"idle-closed": 1}


async def test_how_long_clients_take_to_send_their_bodies_does_not_lower_the_adaptive_limit(worker: Worker) -> None:
    async def upload() -> int:
        async with await worker.connect() as client:
            client.send(request("/", "Content-Length: 2", method="POST") + b"a")
            await asyncio.sleep(1.5)
            client.send(b"b")
            return (await client.answer()).status

    async def limit() -> int:
        return (await worker.stats()).upstreams["candidate"].limit

    async with Upstream() as legacy, Upstream(lambda _: Act(ok(), delay=0.1)) as candidate:
        adaptive = {"min": 2, "max": 64, "window": "100ms", "tolerance": 8}
        more = {"adaptive_concurrency": adaptive, "shadow": NO_SHADOW, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, candidate, "uploads", "retired", **more))
        async with asyncio.timeout(20):
            while await limit() < 40:
                await asyncio.gather(*(worker.ask() for _ in range(64)))
        before = await limit()
        for _ in range(3):
            assert set(await asyncio.gather(*(upload() for _ in range(before - 4)))) == {200}
        assert await limit() >= before
