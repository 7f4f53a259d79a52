"""What a worker gives up when it has too much, and that it is the same worker again afterwards.

The machine's lack is made real: a process that is stopped is late, and one whose limit is lowered has no descriptors.
"""

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from faults import PIECE_BYTES
from harness import NO_BREAKER, Client, Message, Upstream, Worker, chunked, migration, ok, plain, running, until
from shadows import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LAG = {"shadow_lag": "50ms", "refuse_lag": "0s"}
QUIET: dict[str, Any] = {"breaker": NO_BREAKER, "overload": {"shadow_lag": "0s", "refuse_lag": "0s"}}
"""For tests that are not about a slow machine."""


@asynccontextmanager
async def stopped(worker: Worker, seconds: float) -> AsyncIterator[None]:
    """The worker does nothing for so long; what comes meanwhile waits in the kernel."""
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
        await asyncio.sleep(seconds)
    finally:
        worker.process.send_signal(signal.SIGCONT)


def open_descriptors(worker: Worker) -> set[int]:
    return {int(entry.name) for entry in Path(f"/proc/{worker.process.pid}/fd").iterdir()}


async def limit_descriptors(worker: Worker, more: int) -> None:
    """From now on the worker may open so many more than it has open; returns when it knows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = open_descriptors(worker)
    limit = 0
    while limit in taken or more > 0:  # the numbers are what is limited, and the lowest free one is taken
        more -= limit not in taken
        limit += 1
    resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
    for _ in range(3):
        await worker.stats()


def cpu_seconds(worker: Worker) -> float:
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def events(worker: Worker, event: str) -> list[dict[str, Any]]:
    found = (json.loads(line) for line in worker.log().splitlines())
    return [line for line in found if line["event"] == event]


def heard(client: Client) -> bool:
    """Something came for the client that nobody has read yet."""
    return bool(client.reader._buffer)  # type: ignore[attr-defined]  # there is no other way to look


async def turned_away(client: Client) -> None:
    """The client gets the whole refusal, and then an end that is no reset."""
    answer = await client.answer()
    assert (answer.status, answer.get("connection")) == (503, b"close")
    assert int(answer.get("retry-after") or 0) >= 1
    assert await client.rest() == b""


async def busy(worker: Worker, stack: AsyncExitStack, number: int, target: str = "/busy") -> list[Client]:
    """So many clients with a request under way."""
    clients = [await stack.enter_async_context(await worker.connect()) for _ in range(number)]
    for client in clients:
        client.get(target)
    return clients


# -- the cap ----------------------------------------------------------------------------------------------------------


async def test_who_has_sent_its_request_before_it_is_refused_still_reads_the_refusal() -> None:
    """Closing at once would reset it, and some systems throw away what they have received then."""
    async with Upstream() as legacy, running(plain(legacy, limits={"connections": 1})) as worker:
        async with await worker.connect() as only, await worker.connect() as extra:
            only.send(b"GET / HT")
            async with stopped(worker, 0.1):
                await extra.close()
                extra = await worker.connect()
                extra.get(method="POST", body=b"x" * 100_000)
            await turned_away(extra)
            await extra.close()
        assert legacy.requests == []


async def test_a_crowd_at_the_cap_is_refused_and_leaves_nothing_behind() -> None:
    async with (
        Upstream() as legacy,
        running(plain(legacy, limits={"connections": 2})) as worker,
        await worker.connect() as first,
        await worker.connect() as second,
    ):
        for client in (first, second):
            client.send(b"GET / HT")
        await asyncio.sleep(0.05)
        before = worker.descriptors()

        async def visit() -> int:
            async with await worker.connect() as client:
                return (await client.answer()).status

        assert await asyncio.gather(*(visit() for _ in range(300))) == [503] * 300
        assert (await worker.stats()).refused == {"overloaded": 300}
        await until(lambda: worker.descriptors() <= before)
        for client in (first, second):
            client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 200
        refusals = events(worker, "request-refused")
        assert refusals[0]["detail"] == "2 connections"
        assert len(refusals) < 30  # the others are one counted line a second


# -- a late event loop ------------------------------------------------------------------------------------------------


async def test_a_late_loop_gives_up_shadows_first(worker: Worker) -> None:
    async with Upstream(ok(b"same")) as legacy, Upstream(ok(b"same")) as candidate, await worker.connect() as client:
        overload = {"shadow_lag": "200ms", "refuse_lag": "20s"}
        await worker.apply(migration(legacy, candidate, "late-shadows", "shadow", overload=overload))
        async with stopped(worker, 0.6):
            newcomer = await worker.connect()
            for one in (client, newcomer):
                one.get()
        for one in (client, newcomer):
            assert (await one.answer()).status == 200
        counters = await settled(worker, "late-shadows", 2)
        assert counters.shadow_dropped == {"loop-lag": 2}
        await newcomer.close()
        for _ in range(10):  # it is in time again
            await worker.ask()
            if (await worker.route("late-shadows")).matched:
                break
        else:
            raise AssertionError("no shadow was sent any more")


async def test_a_very_late_loop_refuses_newcomers_and_serves_who_is_there() -> None:
    overload = {"shadow_lag": "50ms", "refuse_lag": "500ms"}
    async with Upstream() as legacy, running(plain(legacy, overload=overload)) as worker, AsyncExitStack() as stack:
        there = await stack.enter_async_context(await worker.connect())
        there.get()
        assert (await there.answer()).status == 200
        async with stopped(worker, 1.0):
            there.get()
            newcomers = await busy(worker, stack, 5)
        assert (await there.answer()).status == 200
        for newcomer in newcomers:
            await turned_away(newcomer)
        assert (await worker.stats()).refused == {"overloaded": 5}
        assert "seconds late" in events(worker, "request-refused")[0]["detail"]
        await asyncio.sleep(0.3)
        assert (await worker.ask()).status == 200


# -- descriptors ------------------------------------------------------------------------------------------------------


async def test_idle_connections_make_room_when_descriptors_run_short() -> None:
    async with Upstream() as legacy, running(plain(legacy)) as worker, AsyncExitStack() as stack:
        await worker.ask()
        await limit_descriptors(worker, 60)
        for _ in range(100):
            client = await stack.enter_async_context(await worker.connect())
            client.get()
            assert (await client.answer()).status == 200
        refused = (await worker.stats()).refused
        assert set(refused) == {"idle-closed"}
        assert refused["idle-closed"] >= 60


async def test_without_idle_ones_newcomers_are_refused_while_some_descriptors_are_left_for_upstreams() -> None:
    go = asyncio.Event()

    async def slow(message: Message) -> bytes:
        await go.wait()
        return ok()

    async with Upstream(slow) as legacy, running(plain(legacy)) as worker, AsyncExitStack() as stack:
        await limit_descriptors(worker, 120)
        clients = await busy(worker, stack, 30)
        await until(lambda: len(legacy.requests) == 30)
        newcomers = [await stack.enter_async_context(await worker.connect()) for _ in range(50)]
        for newcomer in newcomers[-5:]:
            await turned_away(newcomer)
        assert events(worker, "request-refused")[0]["detail"] == "few descriptors are left"
        newcomers[0].get()
        await until(lambda: len(legacy.requests) == 31)
        go.set()
        for client in [*clients, newcomers[0]]:
            assert (await client.answer()).status == 200
        await stack.aclose()
        await asyncio.sleep(0.2)
        assert (await worker.ask()).status == 200


async def test_with_every_descriptor_in_use_it_does_not_spin_serves_who_is_there_and_recovers() -> None:
    """Requests for which no connection can be opened get 503; who connects is closed unanswered, by libuv."""
    go = asyncio.Event()

    async def slow(message: Message) -> bytes:
        await go.wait()
        return ok()

    async with Upstream(slow) as legacy, running(plain(legacy)) as worker, AsyncExitStack() as stack:
        await limit_descriptors(worker, 150)
        clients = [await stack.enter_async_context(await worker.connect()) for _ in range(90)]
        await asyncio.sleep(0.1)
        for client in clients:
            client.get()
        await until(lambda: len(legacy.requests) + sum(map(heard, clients)) == 90)
        failed = [client for client in clients if heard(client)]
        assert len(failed) in range(10, 50)
        for client in failed:
            assert (await client.answer()).status == 503
        before = cpu_seconds(worker)
        for _ in range(20):
            async with await worker.connect() as newcomer:
                assert await newcomer.rest() == b""
            failed[0].get()
            assert (await failed[0].answer()).status == 503
            await asyncio.sleep(0.1)
        assert cpu_seconds(worker) - before < 1.0  # of more than 2 seconds
        (line,) = events(worker, "descriptors-exhausted")  # once a minute
        assert line["level"] == "error"
        stats = await worker.stats()
        assert stats.upstreams["legacy"].overflows == len(failed) + 20
        go.set()
        for client in set(clients) - set(failed):
            assert (await client.answer()).status == 200
        await stack.aclose()
        await until(lambda: worker.descriptors() < 100)
        assert (await worker.ask()).status == 200


async def test_an_upstream_is_not_blamed_for_our_lack_of_descriptors() -> None:
    """Legacy answers over a connection that it has; neither breaker nor ejection counts what happened."""
    settings: dict[str, Any] = {
        "breaker": {"consecutive_failures": 1},
        "outliers": {"consecutive_failures": 1, "max_ejected": "100%"},
        "shadow": {"sample": "0%"},
        "overload": QUIET["overload"],
    }
    async with Upstream(ok(b"legacy")) as legacy, Upstream(ok(b"candidate")) as candidate, running() as worker:
        await worker.apply(migration(legacy, candidate, "lack", "legacy", **settings))
        async with await worker.connect() as client:
            client.get()
            assert (await client.answer()).body == b"legacy"
            await limit_descriptors(worker, 0)
            await worker.apply(migration(legacy, candidate, "lack", "live", **settings))
            client.get()
            assert (await client.answer()).body == b"legacy"
            stats = await worker.stats()
            assert stats.routes["lack"].fallbacks == {"overflow": 1}
            assert {b.state for b in stats.breakers} == {"closed"}
            figures = stats.upstreams["candidate"]
            assert (figures.overflows, figures.endpoints[candidate.url].state) == (1, "fit")
            await limit_descriptors(worker, 20)
            client.get()
            assert (await client.answer()).body == b"candidate"


async def test_a_shadow_without_a_descriptor_is_dropped_and_no_difference() -> None:
    async with Upstream(ok(b"a")) as legacy, Upstream(ok(b"b")) as candidate, running() as worker:
        await worker.apply(migration(legacy, candidate, "warm", "legacy", **QUIET))
        async with await worker.connect() as client:
            client.get()
            assert (await client.answer()).body == b"a"
            await limit_descriptors(worker, 0)
            await worker.apply(migration(legacy, candidate, "dark", "shadow", **QUIET))
            client.get()
            assert (await client.answer()).body == b"a"
            counters = await settled(worker, "dark", 1)
            assert counters.shadow_dropped == {"descriptors": 1}
            assert worker.pairs == []


async def test_requests_beyond_the_descriptors_are_an_overflow_and_counted() -> None:
    async with (
        Upstream() as legacy,
        running(plain(legacy, overload=LAG)) as worker,
        await worker.connect() as client,
    ):
        client.send(b"GET / HT")
        await asyncio.sleep(0.05)
        await limit_descriptors(worker, 0)
        client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.get("retry-after")) == (503, b"1")
        figures = (await worker.stats()).upstreams["legacy"]
        assert (figures.overflows, figures.in_flight) == (1, 0)
        assert figures.endpoints[legacy.url].state == "fit"
        await limit_descriptors(worker, 50)
        client.get()
        assert (await client.answer()).status == 200


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Three thousand and more, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < hard < 4096:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_a_thousand_uploads_that_wait_for_a_slow_candidate_are_not_all_kept() -> None:
    """Copies for a fallback take 128 MiB together; the others are sent once. Afterwards there is room again."""
    go = asyncio.Event()
    received = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(MIB)
            received += 1
            await go.wait()
            writer.write(ok(b"kept", status="500 Failed") if received > 1000 else ok(b"done"))

    async def upload(client: Client) -> None:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MIB)
        for _ in range(MIB // PIECE_BYTES):
            client.send(b"x" * PIECE_BYTES)
            await client.writer.drain()

    async with Upstream() as legacy, Upstream(raw=slow) as candidate, running() as worker, AsyncExitStack() as stack:
        more: dict[str, Any] = {"shadow": {"sample": "0%"}, "fallback": {"unsafe": "always"}, **QUIET}
        patient = dict.fromkeys(("connect", "first_byte", "idle", "total"), "50s")
        await worker.apply(migration(legacy, candidate, "uploads", "live", timeouts=patient, **more))
        clients = [await stack.enter_async_context(await worker.connect()) for _ in range(1000)]
        before = worker.rss()
        await asyncio.gather(*(upload(client) for client in clients))
        await until(lambda: received == 1000, 60.0)
        assert worker.rss() - before < 500 * MIB  # 128 are kept, the rest passes through
        refused = (await worker.stats()).replay_refused
        assert set(refused) == {"memory"}
        assert 800 <= refused["memory"] <= 900
        go.set()
        for client in clients:
            assert (await client.answer()).body == b"done"
        await upload(clients[0])
        assert (await clients[0].answer()).body == b"ok"  # of legacy, which got the copy
        assert legacy.requests[0].body == b"x" * MIB
        assert (await worker.stats()).replay_refused == refused


async def test_a_body_above_its_cap_is_counted_as_not_kept(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream() as candidate:
        await worker.apply(migration(legacy, candidate, "caps", "live", fallback={"max_replay_body": "1KiB"}, **QUIET))
        before = (await worker.stats()).replay_refused.get("size", 0)
        for size in (1024, 1025):
            assert (await worker.ask(method="POST", body=b"x" * size)).status == 200
        async with await worker.connect() as client:
            client.send(chunked(b"x" * 1000, b"x" * 1000, head="POST / HTTP/1.1\r\nHost: a\r\n"))
            assert (await client.answer()).status == 200
        assert (await worker.stats()).replay_refused["size"] - before == 2
