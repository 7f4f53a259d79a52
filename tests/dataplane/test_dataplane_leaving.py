"""Clients that leave: before, during and after the answer, however they do it."""

import asyncio
import os
import socket
import struct
import time

import pytest
from faults import ticking
from harness import Act, Client, Upstream, Worker, migration, ok, plain, request, reset, until
from scripted import PATIENCE
from shadows import mine, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAVERS = int(os.environ.get("BANYAN_LEAVERS", "10000"))
SOON_SECONDS = 1.5
"""One second, and what a busy machine takes."""


async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a request, and waits for its client to lose patience."""
    await reader.readuntil(b"\r\n\r\n")
    while await reader.read(65536):
        pass


async def leave(client: Client, how: str) -> None:
    if how == "reset":
        reset(client.writer)
    else:
        await client.close()


async def stopped(upstream: Upstream) -> float:
    """Seconds until nobody asks the upstream for anything any more."""
    begun = time.monotonic()
    await until(lambda: not upstream.open)
    return time.monotonic() - begun


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_f18_a_client_that_resets_before_the_answer_stops_the_upstream(worker: Worker, method: str) -> None:
    async with Upstream(raw=waiting) as legacy:
        await worker.apply(plain(legacy))
        client = await worker.connect()
        client.get(method=method, body=b"x" if method == "POST" else b"")
        await until(lambda: legacy.open)
        reset(client.writer)
        assert await stopped(legacy) < SOON_SECONDS


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_f18_a_client_that_closes_before_the_answer_to_a_read_stops_the_upstream(
    worker: Worker, method: str
) -> None:
    """By FIN alone, as every client does that loses patience."""
    route = f"impatient-{method.lower()}"
    async with Upstream() as legacy, Upstream(raw=waiting) as candidate:
        await worker.apply(migration(legacy, candidate, route, "live", shadow={"sample": "0%"}))
        client = await worker.connect()
        client.get(method=method)
        await until(lambda: candidate.open)
        await client.close()
        assert await stopped(candidate) < SOON_SECONDS
        counters = await worker.route_when(route, lambda c: c.requests)
        assert (counters.requests, counters.fallbacks) == ({f"{method} 499 candidate": 1}, {})
        assert not legacy.connections  # nobody is left to be rescued


async def test_f18_a_write_whose_client_closes_is_let_finish(worker: Worker) -> None:
    """It has half happened: what it comes to is better known than not, and the connection stays usable."""
    async with Upstream(Act(ok(), delay=1.2)) as legacy:
        await worker.apply(plain(legacy))
        client = await worker.connect()
        client.get(method="POST", body=b"order")
        await until(lambda: legacy.requests)
        await client.close()
        await asyncio.sleep(1.0)
        assert legacy.open == 1
        await asyncio.sleep(0.4)
        legacy.reply = ok()
        assert (await worker.ask()).status == 200
        assert legacy.connections == 1


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_f18_a_client_that_leaves_during_the_answer_stops_the_upstream(worker: Worker, how: str) -> None:
    async with Upstream(raw=ticking) as legacy:
        await worker.apply(plain(legacy))
        client = await worker.connect()
        client.get()
        await client.exactly(200)
        await leave(client, how)
        assert await stopped(legacy) < SOON_SECONDS


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_f18_a_client_that_leaves_during_its_upload_stops_the_upstream(worker: Worker, how: str) -> None:
    async with Upstream(raw=waiting) as legacy:
        await worker.apply(plain(legacy))
        client = await worker.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        await until(lambda: legacy.open)
        await leave(client, how)
        assert await stopped(legacy) < SOON_SECONDS


async def test_f18_a_client_that_leaves_after_the_answer_leaves_its_connection_to_others(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for n in range(20):
            client = await worker.connect()
            client.get()
            assert (await client.answer()).body == b"ok"
            await leave(client, "reset" if n % 2 else "close")
        assert legacy.connections == 1


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_f18_clients_that_leave_make_no_difference_between_equal_answers(worker: Worker, how: str) -> None:
    body = b"x" * 3_000_000
    legacy, candidate = Upstream(Act(ok(body), delay=0.1)), Upstream(ok(body))
    route = f"leavers-{how}"
    async with legacy, candidate:
        document = migration(legacy, candidate, route, "shadow", shadow={"max_body": "4MiB"})
        await worker.apply(document)
        for n in range(12):
            client = await worker.connect(limit=1024)
            client.get()
            await until(lambda seen=n: len(legacy.requests) > seen)
            if n % 2:
                await client.head()
            await leave(client, how)
        counters = await settled(worker, route, 12)
        assert mine(worker, route) == []
        assert counters.matched + counters.shadow.get("dropped", 0) == 12
        assert set(counters.shadow_dropped) <= {"client-left", "loop-lag"}


async def test_f18_ten_thousand_that_leave_leave_nothing_behind(worker: Worker) -> None:
    """With half a request, with a whole one, with two; by FIN and by RST."""
    whole = request("/", "X-Some: thing")

    def crowd(number: int) -> None:
        for n in range(number):
            with socket.create_connection(("127.0.0.1", worker.port)) as sock:
                sock.sendall((whole * 2)[: n % (2 * len(whole))])
                if n % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with Upstream(Act(ok(), delay=0.005)) as legacy:
        await worker.apply(plain(legacy))
        await asyncio.to_thread(crowd, 500)  # connections and buffers are warm
        await until(lambda: legacy.open <= 128)
        memory, descriptors = worker.rss(), worker.descriptors()
        await asyncio.to_thread(crowd, LEAVERS)
        async with asyncio.timeout(PATIENCE):
            while (stats := await worker.stats()).connections or stats.in_flight:
                pass
        # kept connections to the upstream are no leak: they go within IDLE_SECONDS
        await until(lambda: worker.descriptors() <= descriptors + 20)
        assert worker.rss() - memory < 10 * 1024 * 1024
