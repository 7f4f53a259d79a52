"""Upgrade: a tunnel after 101, and only then."""

import asyncio

import pytest
from harness import Client, Upstream, Worker, ok, plain, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: k\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Switches, says hello at once, then echoes until the client's end, then says bye."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
    assert b"\r\nSec-WebSocket-Key: k\r\n" in head
    writer.write(SWITCH + b"hello")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")


async def switched(client: Client) -> None:
    client.send(ASK)
    answer = await client.answer()
    assert (answer.status, answer.get("upgrade"), answer.get("sec-websocket-accept")) == (101, b"websocket", b"x")


async def test_bytes_pass_both_ways_and_each_end_by_itself(worker: Worker) -> None:
    async with Upstream(raw=echo) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        await switched(client)
        assert await client.exactly(5) == b"hello"
        for data in (b"\x81\x00\xff", b"GET / HTTP/1.1\r\n\r\n", b"x" * 200_000):
            client.send(data)
            assert await client.exactly(len(data)) == data
        client.writer.write_eof()
        assert await client.rest() == b"bye"
    await until(lambda: not legacy.open)


async def test_bytes_that_the_client_sent_too_early_are_not_lost(worker: Worker) -> None:
    async with Upstream(raw=echo) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(ASK + b"early")
        assert (await client.answer()).status == 101
        assert await client.exactly(10) == b"helloearly"


async def test_the_upstreams_end_ends_the_tunnel_after_its_last_bytes(worker: Worker) -> None:
    async def leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH + b"x" * 100_000)

    async with Upstream(raw=leaves) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        await switched(client)
        assert len(await client.rest()) == 100_000


async def test_a_client_that_breaks_off_frees_the_upstream(worker: Worker) -> None:
    async with Upstream(raw=echo) as legacy:
        await worker.apply(plain(legacy))
        for _ in range(5):
            client = await worker.connect()
            await switched(client)
            client.writer.transport.abort()
        await until(lambda: not legacy.open)


async def test_a_tunnel_waits_for_the_slower_side(worker: Worker) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with Upstream(raw=flood) as legacy, await worker.connect(limit=65536) as client:
        await worker.apply(plain(legacy))
        before = worker.rss()
        await switched(client)
        await asyncio.sleep(0.5)
        stood = sent
        await asyncio.sleep(0.3)
        assert sent == stood
        assert worker.rss() - before < 20_000_000
        await client.exactly(30_000_000)


async def test_a_silent_tunnel_is_closed(worker: Worker) -> None:
    async with Upstream(raw=echo) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, timeouts={"tunnel_idle": "400ms"}))
        await switched(client)
        for _ in range(8):
            client.send(b"x")
            await asyncio.sleep(0.1)
        assert await client.rest() == b"hello" + b"x" * 8


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "426 Upgrade Required"])
async def test_a_refused_upgrade_is_an_ordinary_answer(worker: Worker, status: str) -> None:
    async with Upstream(ok(b"no", status=status)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(ASK + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == int(status[:3])
        assert (await client.answer()).body == b"no"
        assert legacy.targets() == ["/chat", "/next"]


async def test_a_101_that_nobody_asked_for_is_an_invalid_answer(worker: Worker) -> None:
    async with Upstream(SWITCH + b"evil") as legacy:
        await worker.apply(plain(legacy))
        answer = await worker.ask()
        assert answer.status == 502
        assert b"evil" not in answer.body
        answer = await worker.ask(method="POST", body=b"x")
        assert answer.status == 502


@pytest.mark.parametrize(
    "fields",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA",
        "Connection: upgrade\r\nUpgrade: websocket, h2c",
        "Connection: upgrade\r\nUpgrade: TLS/1.0",
        "Connection: keep-alive\r\nUpgrade: websocket",
        "Upgrade: websocket",
    ],
)
async def test_an_upgrade_that_is_not_for_the_upstream_is_an_ordinary_request(worker: Worker, fields: str) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        answer = await worker.ask("/", *fields.split("\r\n"))
        assert answer.body == b"ok"
        for name in ("connection", "upgrade", "http2-settings"):
            assert legacy.requests[0].get(name) is None


@pytest.mark.parametrize("start", ["POST / HTTP/1.1\r\nContent-Length: 2", "GET / HTTP/1.0"])
async def test_no_tunnel_for_a_request_with_a_body_or_of_http_1_0(worker: Worker, start: str) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(f"{start}\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".encode())
        if "POST" in start:
            client.send(b"hi")
        assert (await client.answer()).body == b"ok"
        assert legacy.requests[0].get("upgrade") is None
