"""Bodies in tiny chunks: they pass as they are, and nobody else waits for them."""

import asyncio

import pytest
from harness import Client, Message, Upstream, Worker, ok, plain, until

from proxy.wire.body import CHUNKS_AT_ONCE, chunk, last_chunk
from proxy.wire.tasks import spawn

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


async def test_thousands_of_tiny_chunks_pass_both_ways_and_the_connections_are_kept(worker: Worker) -> None:
    body = bytes(n % 251 for n in range(5 * CHUNKS_AT_ONCE))
    tiny = b"".join(chunk(body[n : n + 1]) for n in range(len(body))) + last_chunk(b"")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny
    async with Upstream(answer) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send((head + tiny) * 3)  # and the next one right behind it
        for _ in range(3):
            assert (await client.answer()).body == body
        assert [each.body for each in legacy.requests] == [body] * 3
        assert legacy.connections == 1


async def test_tiny_chunks_go_on_when_the_answer_has_begun_before_they_came(worker: Worker) -> None:
    body = b"x" * (3 * CHUNKS_AT_ONCE + 7)

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = Message(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        await message.read_body(reader)
        writer.write(message.body)
        await reader.read()

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, timeouts={"idle": "2s"}))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.head()
        client.send(chunk(b"x") * len(body) + last_chunk(b""))
        assert await client.exactly(len(body)) == body


async def test_an_endless_answer_in_tiny_chunks_leaves_other_clients_the_event_loop(worker: Worker) -> None:
    got = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/stream" not in await reader.readuntil(b"\r\n\r\n"):
            writer.write(ok())
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(b"x") * 10_000)
            await writer.drain()

    async def drink(client: Client) -> None:
        nonlocal got
        while data := await client.reader.read(MIB):
            got += len(data)

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get("/stream")
        await client.head()
        drinking = spawn(drink(client), "drink")
        await until(lambda: got > 100_000)
        before = got
        for _ in range(20):
            assert (await worker.ask()).status == 200
        assert got - before < 2 * MIB  # a tenth of what passed when it had the loop to itself
        drinking.cancel()
