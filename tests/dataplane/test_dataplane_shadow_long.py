"""Answers that are too long to be kept: compared by length and digest as they stream, and bounded in every way."""

import asyncio
import gzip
import hashlib
from typing import Any

import pytest
from faults import PIECE_BYTES, endless, ticking
from harness import NO_BREAKER, Act, Upstream, Worker, chunked, migration, ok, reset, until
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


# -- what ends it ---------------------------------------------------------------------------------------------------


async def test_an_endless_candidate_is_left_as_soon_as_legacy_is_over_and_shorter(worker: Worker) -> None:
    legacy = Upstream(Act(ok(b"x" * 300_000), delay=0.3))
    async with legacy, Upstream(raw=endless) as candidate:
        shadow = {"timeout": "60s", "max_body": "10KiB"}  # it is not the clock that ends it
        await worker.apply(migration(legacy, candidate, "endless-long", "shadow", shadow=shadow, breaker=NO_BREAKER))
        for _ in range(3):
            assert len((await worker.ask()).body) == 300_000
        await settled(worker, "endless-long", 3)
        await until(lambda: candidate.open == 0)
        for pair in mine(worker, "endless-long"):
            assert (pair.legacy.size, pair.legacy.digest) == (300_000, hashlib.sha256(b"x" * 300_000).digest())
            assert (pair.candidate.truncated, pair.candidate.digest, pair.candidate.failure) == (True, b"", "")


@pytest.mark.parametrize("which", ["legacy", "candidate", "both"])
async def test_no_more_than_max_stream_is_followed(worker: Worker, which: str) -> None:
    route = f"max-stream-{which}"
    size = 4 * MIB
    raws = [download(size) if which in (side, "both") else download(size // 8) for side in ("legacy", "candidate")]
    async with Upstream(raw=raws[0]) as legacy, Upstream(raw=raws[1]) as candidate:
        shadow = {"max_body": "10KiB", "max_stream": "1MiB"}
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow=shadow))
        pair = await pair_of(worker, route)
        long = [pair.legacy] if which == "legacy" else [pair.candidate]
        for side in [pair.legacy, pair.candidate] if which == "both" else long:
            assert (side.truncated, side.digest, side.failure) == (True, b"", "")


@pytest.mark.parametrize("silent", [False, True])
async def test_an_answer_that_still_moves_when_the_time_is_over_is_no_failure(worker: Worker, silent: bool) -> None:
    route = f"out-of-time-{silent}".lower()
    body = Act(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsame", "hang")
    legacy = Upstream(ok(b"same"))
    async with legacy, Upstream(body) if silent else Upstream(raw=ticking) as candidate:
        shadow = {"timeout": "600ms"}
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow=shadow, breaker=NO_BREAKER))
        pair = await pair_of(worker, route)
        if silent:
            assert (pair.candidate.failure, pair.candidate.truncated) == ("idle-timeout", False)
        else:
            assert (pair.candidate.failure, pair.candidate.status) == ("", 200)
            assert pair.candidate.body.startswith(b"tick\n")
            assert (pair.candidate.truncated, pair.candidate.digest) == (True, b"")
            await until(lambda: candidate.open == 0)


async def test_a_beginning_that_is_all_of_legacys_answer_is_no_match(worker: Worker) -> None:
    """The candidate has more to say, but its time is over."""

    async def more_to_say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for piece in (b"s", b"a", b"m", b"e"):
            writer.write(piece)
            await asyncio.sleep(0.4)
        await reader.read()

    async with Upstream(ok(b"same")) as legacy, Upstream(raw=more_to_say) as candidate:
        shadow = {"timeout": "2s"}  # it moved in the second half of that
        await worker.apply(migration(legacy, candidate, "beginning", "shadow", shadow=shadow, breaker=NO_BREAKER))
        pair = await pair_of(worker, "beginning")
        assert (pair.candidate.truncated, pair.candidate.size) == (True, 0)
        assert b"same".startswith(pair.candidate.body)


async def test_an_endless_legacy_costs_a_beginning_and_no_more(worker: Worker) -> None:
    """The candidate's answer is over; the client reads on for ever."""
    async with Upstream(raw=endless) as legacy, Upstream(ok(b"x" * 500_000)) as candidate:
        shadow = {"max_stream": "8MiB"}
        await worker.apply(migration(legacy, candidate, "endless-legacy", "shadow", shadow=shadow))
        clients = [await worker.connect() for _ in range(4)]
        for client in clients:
            client.get()
            await client.head()
            await client.exactly(MIB)
        before = worker.rss()
        for client in clients:
            for _ in range(16):
                await client.exactly(MIB)
        assert worker.rss() - before < 10 * MIB
        for client in clients:
            reset(client.writer)
        counters = await settled(worker, "endless-legacy", 4)
        assert set(counters.shadow_dropped) <= {"client-left", "loop-lag"}


async def test_a_client_that_leaves_in_the_middle_of_a_long_answer_ends_the_shadow(worker: Worker) -> None:
    async with Upstream(raw=endless) as legacy, Upstream(raw=endless) as candidate:
        await worker.apply(migration(legacy, candidate, "left-long", "shadow", shadow={"timeout": "60s"}))
        for _ in range(4):
            client = await worker.connect()
            client.get()
            await client.head()
            await client.exactly(3 * MIB)
            reset(client.writer)
        counters = await settled(worker, "left-long", 4)
        assert set(counters.shadow_dropped) <= {"client-left", "loop-lag"}
        await until(lambda: candidate.open == 0)
        assert (await worker.stats()).shadows_in_flight == 0
        assert mine(worker, "left-long") == []


async def test_long_answers_hold_no_more_memory_than_shadows_may(worker: Worker) -> None:
    """Forty at once, of which two would fill the memory if they were kept."""
    legacy, candidate = sides(ok(b"x" * 3 * MIB), Act(ok(b"x" * 3 * MIB), delay=0.2))
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": {"timeout": "30s", "max_body": "64KiB"}, "shadow_memory": "4MiB"}
        await worker.apply(migration(legacy, candidate, "long-memory", "shadow", **more))
        answers = await asyncio.gather(*(worker.ask() for _ in range(40)))
        assert all(len(answer.body) == 3 * MIB for answer in answers)
        counters = await settled(worker, "long-memory", 40)
        assert not counters.shadow.get("sent-to-comparator")
        assert set(counters.shadow_dropped) <= {"memory", "loop-lag"}
        for _ in range(20):  # and it is given back
            await worker.ask()
            now = await worker.route_when("long-memory", lambda c: sum(c.shadow.values()) > 40)
            if now.matched > counters.matched:
                break
        else:
            raise AssertionError("no shadow came through any more")
