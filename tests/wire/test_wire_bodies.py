"""Bodies of any size: backpressure both ways, flat memory, early answers."""

import asyncio
from contextlib import suppress
from typing import Self

import pytest
from faults import ticking
from harness import Act, Client, Message, Upstream, Worker, chunked, ok, plain, request, reset, until

from proxy.wire.body import chunk

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
PIECE = b"0123456789abcdef" * 16384  # 256 KiB
FLAT = 30 * MIB
DOWN = UP = 200


async def stream(writer: asyncio.StreamWriter, mebibytes: int) -> None:
    for _ in range(mebibytes * 4):
        writer.write(PIECE)
        await writer.drain()


async def swallow(reader: asyncio.StreamReader, size: int) -> None:
    async with asyncio.timeout(50):
        while size:
            data = await reader.read(min(size, MIB))
            assert data
            size -= len(data)


class Watch:
    """The worker's memory, by the highest of many looks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._before = worker.rss()
        self.grown = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._look())  # noqa: TID251 - the test ends it itself
        return self

    async def _look(self) -> None:
        while True:
            self.grown = max(self.grown, self._worker.rss() - self._before)
            await asyncio.sleep(0.02)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


def sends(mebibytes: int, *, framed: str):  # type: ignore[no-untyped-def]  # a server function
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if framed == "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (mebibytes * MIB))
            await stream(writer, mebibytes)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(mebibytes * 4):
                writer.write(b"40000\r\n" + PIECE + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await reader.read()

    return server


async def test_a_large_download_keeps_memory_flat(worker: Worker) -> None:
    async with Upstream(raw=sends(DOWN, framed="length")) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect(limit=MIB) as client, Watch(worker) as watch:
            client.get()
            await client.head()
            await swallow(client.reader, DOWN * MIB)
        assert watch.grown < FLAT


async def test_a_large_chunked_download_keeps_memory_flat(worker: Worker) -> None:
    async with Upstream(raw=sends(50, framed="chunked")) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect(limit=MIB) as client, Watch(worker) as watch:
            client.get()
            await client.head()
            size = 0
            async with asyncio.timeout(50):
                while size < 50 * MIB:
                    line = await client.reader.readuntil(b"\r\n")
                    await swallow(client.reader, int(line, 16) + 2)
                    size += int(line, 16)
            assert await client.exactly(5) == b"0\r\n\r\n"
        assert watch.grown < FLAT


@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_a_large_upload_keeps_memory_flat(worker: Worker, framed: str) -> None:
    size = (UP if framed == "length" else 50) * MIB
    got = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readuntil(b"\r\n\r\n")
        while data := await reader.read(MIB):
            got += len(data)
            if got >= size and (framed == "length" or data.endswith(b"0\r\n\r\n")):
                break
        writer.write(ok())
        await reader.read()

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client, Watch(worker) as watch:
            if framed == "length":
                client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
                await stream(client.writer, size // MIB)
            else:
                client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(size // len(PIECE)):
                    client.send(b"40000\r\n" + PIECE + b"\r\n")
                    await client.writer.drain()
                client.send(b"0\r\n\r\n")
            assert (await client.answer()).status == 200
        assert watch.grown < FLAT
        assert got >= size


async def test_endless_tiny_chunks_keep_memory_flat(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(b"x") * 50_000)
            await writer.drain()

    async with Upstream(raw=server) as legacy, await worker.connect(limit=MIB) as client:
        await worker.apply(plain(legacy))
        async with Watch(worker) as watch:
            client.get()
            await client.head()
            await swallow(client.reader, MIB)
        assert watch.grown < FLAT


async def test_a_slow_reader_stops_the_upstream(worker: Worker) -> None:
    sent = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (300 * MIB))
        for _ in range(300 * 4):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect(limit=65536) as client, Watch(worker) as watch:
            client.get()
            await client.head()
            await asyncio.sleep(0.7)  # nobody reads
            stood = sent
            await asyncio.sleep(0.3)
            assert sent == stood < 100 * MIB
            await swallow(client.reader, 60 * MIB)  # it goes on when somebody does
            assert sent > stood
        assert watch.grown < FLAT


async def test_a_slow_upstream_stops_the_uploading_client(worker: Worker) -> None:
    go = asyncio.Event()
    got = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
        await go.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        await reader.readuntil(b"\r\n\r\n")
        while got < 60 * MIB:
            got += len(await reader.read(MIB))
        writer.write(ok())
        await reader.read()

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client, Watch(worker) as watch:
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (60 * MIB))
            pump = asyncio.ensure_future(stream(client.writer, 60))  # noqa: TID251 - awaited below
            done, _ = await asyncio.wait([pump], timeout=0.7)
            assert not done
            go.set()
            await pump
            assert (await client.answer()).status == 200
        assert watch.grown < FLAT


async def test_a_client_that_pipelines_and_does_not_read_costs_little_memory(worker: Worker) -> None:
    async with Upstream(ok(b"x" * 50_000)) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect(limit=65536) as client, Watch(worker) as watch:
            client.send(request() * 2000)  # answers of 100 MB
            await asyncio.sleep(2.0)
            assert watch.grown < FLAT
            for _ in range(2000):
                assert len((await client.answer()).body) == 50_000


@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_f58_an_early_refusal_reaches_a_client_that_still_uploads(worker: Worker, framed: str) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await writer.drain()

    async def upload(client: Client) -> None:
        try:
            if framed == "length":
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (5 * MIB))
                await stream(client.writer, 5)
            else:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(20):
                    client.send(b"40000\r\n" + PIECE + b"\r\n")
                    await client.writer.drain()
                client.send(b"0\r\n\r\n")
        except ConnectionError:
            pass

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        statuses = []
        for _ in range(20):
            async with await worker.connect() as client:
                answer, _ = await asyncio.gather(client.answer(), upload(client))
                statuses.append((answer.status, answer.body))
        assert statuses == [(413, b"big")] * 20


async def test_a_refusal_after_a_reset_of_the_upload_still_arrives_or_is_a_502(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            client.get(method="POST", body=b"x" * 5 * MIB)
            assert (await client.answer()).status == 502


async def test_an_answer_may_begin_before_the_upload_ends_and_both_go_on(worker: Worker) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        for _ in range(10):
            writer.write((await reader.readexactly(5))[::-1])
        await reader.read()

    async with Upstream(raw=echo) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n")
        await client.head()
        for n in range(10):
            client.send(b"abc%02d" % n)
            assert await client.exactly(5) == (b"abc%02d" % n)[::-1]


async def test_an_upload_that_moves_is_not_cut_because_the_answer_has_begun(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfr")
        await reader.readexactly(15)
        writer.write(b"om")
        await reader.read()

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, timeouts={"idle": "400ms"}))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n")
        await client.head()
        for _ in range(15):
            assert not client.writer.is_closing()
            assert not client.reader.at_eof()
            client.send(b"x")
            await asyncio.sleep(0.1)
        assert await client.exactly(4) == b"from"


async def test_events_pass_one_by_one(worker: Worker) -> None:
    go = asyncio.Queue[bytes]()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while data := await go.get():
            writer.write(data)

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get()
        assert (await client.head()).get("content-type") == b"text/event-stream"
        for n in range(5):
            go.put_nowait(b"data: %d\n\n" % n)
            assert await client.exactly(14) == b"9\r\ndata: %d\n\n\r\n" % n
        go.put_nowait(b"")
        assert await client.exactly(5) == b"0\r\n\r\n"


async def test_a_client_that_leaves_a_stream_frees_the_upstream(worker: Worker) -> None:
    async with Upstream(raw=ticking) as legacy:
        await worker.apply(plain(legacy))
        before = worker.descriptors()
        for _ in range(10):
            client = await worker.connect()
            client.get()
            await client.exactly(200)
            reset(client.writer)
        await until(lambda: not legacy.open and worker.descriptors() <= before)
        assert legacy.connections == 10


async def test_no_descriptor_is_left_behind_by_uploads_and_failures(worker: Worker) -> None:
    acts = [
        ok(),
        Act(then="close"),
        Act(then="reset"),
        Act(b"junk\r\n\r\n", "close"),
        chunked(b"x", end=b"z\r\n"),
        ok(status="500 No"),
    ]

    async with Upstream(lambda message: acts[int(message.target[1:]) % len(acts)]) as legacy:
        await worker.apply(plain(legacy))
        await worker.ask("/0")
        before = worker.descriptors()
        for n in range(60):
            async with await worker.connect() as client:
                client.send(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc" % n)
                await asyncio.sleep(0)
                client.send(b"def")
                with suppress(asyncio.IncompleteReadError):  # the broken chunk may cut the client
                    await client.answer()
        await until(lambda: worker.descriptors() <= before + 1)


async def test_a_message_of_the_upstream_keeps_its_pieces_in_order(worker: Worker) -> None:
    body = bytes(n * 7 % 251 for n in range(2_000_000))

    def reply(message: Message) -> bytes:
        return chunked(*(body[n : n + 33_333] for n in range(0, len(body), 33_333)))

    async with Upstream(reply) as legacy:
        await worker.apply(plain(legacy))
        answers = await asyncio.gather(*(worker.ask() for _ in range(8)))
        assert all(answer.body == body for answer in answers)
