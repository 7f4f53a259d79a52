"""Answers that are too long to be kept: compared by length and digest as they stream, and bounded in every way."""

import asyncio
import gzip
import hashlib
from typing import Any

import pytest
from faults import PIECE_BYTES
from harness import Act, Upstream, Worker, chunked, migration, ok
from scripted import Raw
from shadows import mine, settled, sides

from proxy.messages import Pair
from proxy.wire.tasks import spawn

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
DOWNLOAD = 200 * MIB


def download(size: int, last: bytes = b"x") -> Raw:
    """An answer of so many bytes, of which only the last is told."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            piece = b"x" * PIECE_BYTES
            for left in range(size - 1, 0, -PIECE_BYTES):
                writer.write(piece if left >= PIECE_BYTES else piece[:left])
                await writer.drain()
            writer.write(last)

    return server


async def take(worker: Worker, size: int) -> None:
    """A client that reads such an answer and keeps nothing of it."""
    async with await worker.connect() as client:
        client.get()
        await client.head()
        while size > 0:
            size -= len(await client.reader.read(MIB))


async def pair_of(worker: Worker, route: str) -> Pair:
    """The first pair of a route; asks until the machine is not too busy for a shadow."""
    for _ in range(10):
        await worker.ask()
        counters = await worker.route_when(route, lambda c: sum(c.shadow.values()))
        assert not counters.matched
        if mine(worker, route):
            return mine(worker, route)[0]  # type: ignore[no-any-return]
    raise AssertionError("no pair came")


@pytest.mark.parametrize("last", [b"x", b"y"])
async def test_a_download_of_200_mb_is_compared_to_its_last_byte_in_flat_memory(worker: Worker, last: bytes) -> None:
    route = f"download-{last.decode()}"
    async with Upstream(raw=download(DOWNLOAD)) as legacy, Upstream(raw=download(DOWNLOAD, last)) as candidate:
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow={"timeout": "50s"}))
        for asked in range(1, 6):
            before = worker.rss()
            peak = before
            async with asyncio.timeout(50):
                asking = spawn(take(worker, DOWNLOAD), "take")
                while not asking.done():
                    await asyncio.sleep(0.05)
                    peak = max(peak, worker.rss())
                await asking
            counters = await settled(worker, route, asked)
            assert peak - before < 20 * MIB
            if counters.shadow.get("dropped", 0) < asked:
                break
        assert counters.matched == (last == b"x")
        for pair in mine(worker, route):
            for side, end in ((pair.legacy, b"x"), (pair.candidate, last)):
                digest = hashlib.sha256()
                for _ in range(DOWNLOAD // MIB - 1):
                    digest.update(b"x" * MIB)
                digest.update(b"x" * (MIB - 1) + end)
                assert (side.truncated, side.size, side.digest) == (True, DOWNLOAD, digest.digest())
                assert side.body == b"x" * 16 * 1024
        assert len(mine(worker, route)) == (last == b"y")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("framed", chunked(b"x" * 30_000, b"x" * 70_000)),
        ("closed", Act(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "close")),
    ],
)
async def test_a_long_answer_in_another_framing_is_the_same(worker: Worker, name: str, answer: Any) -> None:
    legacy, candidate = sides(ok(b"x" * 100_000), answer)
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, f"long-{name}", "shadow", shadow={"max_body": "10KiB"}))
        for _ in range(4):
            await worker.ask()
        counters = await settled(worker, f"long-{name}", 4)
        assert counters.matched == 4 - counters.shadow_dropped.get("loop-lag", 0)
        assert mine(worker, f"long-{name}") == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("byte", ok(b"x" * 99_999 + b"y")),
        ("first", ok(b"y" + b"x" * 99_999)),
        ("longer", ok(b"x" * 100_001)),
        ("shorter", ok(b"x" * 99_999)),
        ("short", ok(b"x" * 100)),
        ("at-cap", ok(b"x" * 10_240)),
        ("status", ok(b"x" * 100_000, status="404 No")),
        ("type", ok(b"x" * 100_000, "Content-Type: a/b")),
        ("coding", ok(gzip.compress(b"x" * 100_000, mtime=0).ljust(100_000), "Content-Encoding: gzip")),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
async def test_a_long_answer_that_differs_makes_a_pair_with_both_digests(
    worker: Worker, name: str, answer: bytes, turned: bool
) -> None:
    legacy, candidate = sides(*((answer, ok(b"x" * 100_000)) if turned else (ok(b"x" * 100_000), answer)))
    route = f"differs-{name}-{turned}".lower()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow={"max_body": "10KiB"}))
        pair = await pair_of(worker, route)
        for side, sent in ((pair.legacy, legacy.reply), (pair.candidate, candidate.reply)):
            assert isinstance(sent, bytes)
            body = sent.partition(b"\r\n\r\n")[2]
            if len(body) <= 10_240:
                assert (side.truncated, side.body, side.size, side.digest) == (False, body, 0, b"")
            elif name in ("longer", "shorter", "short", "at-cap") and side is pair.candidate and not side.digest:
                assert side.truncated  # the client's was over, and shorter
            else:
                assert (side.truncated, side.body) == (True, body[:10_240])
                assert (side.size, side.digest) == (len(body), hashlib.sha256(body).digest())
