"""The bounds of the client side, and its clocks."""

import asyncio
import time

import pytest
from faults import huge
from harness import Act, Client, Upstream, Worker, chunked, ok, plain, request, running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200),  # RFC 9112 section 3
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 400_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 32_000 + b"\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 99 + b"\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    ],
)
async def test_a_head_over_its_bounds_is_refused(worker: Worker, data: bytes, status: int) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for step in (len(data), 4096):
            async with await worker.connect() as client:
                for at in range(0, len(data), step):
                    client.send(data[at : at + step])
                answer = await client.answer()
                assert answer.status == status
                assert (answer.get("connection") == b"close") is (status != 200)
        assert len(legacy.heads) == (2 if status == 200 else 0)


@pytest.mark.parametrize("body", ["length", "chunked"])
async def test_a_body_over_the_global_limit_is_refused(worker: Worker, body: str) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, limits={"body": "10KiB"}))
        async with await worker.connect() as client:
            await post(client, 10 * 1024, body)
            assert (await client.answer()).status == 200
        async with await worker.connect() as client:
            await post(client, 10 * 1024 + 1, body)
            assert (await client.answer()).status == 413
        assert len(legacy.requests) == 1


async def post(client: Client, size: int, how: str) -> None:
    match how:
        case "length":
            client.get(method="POST", body=b"x" * size)
        case "chunked":
            client.send(chunked(b"x" * (size // 2), b"x" * (size - size // 2), head="POST / HTTP/1.1\r\nHost: a\r\n"))


async def test_expect_over_the_limit_is_refused_before_the_body(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, limits={"body": "10KiB"}))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10241\r\n\r\n")
        assert (await client.answer(interim=True)).status == 413
        assert legacy.heads == []


async def test_a_routes_limit_stands_above_the_global_one(worker: Worker) -> None:
    async with Upstream() as legacy:
        route = {"id": "limited", "match": {"path": "/up"}, "limits": {"body": "1KiB"}}
        wide = {"id": "wide", "match": {"path": "/wide"}, "limits": {"body": "1MiB"}}
        await worker.apply(plain(legacy, limits={"body": "10KiB"}, routes=[route, wide]))
        for target, size, status in [
            ("/up", 1024, 200),
            ("/up", 1025, 413),
            ("/", 10_000, 200),
            ("/wide", 99_999, 200),
        ]:
            assert (await worker.ask(target, method="POST", body=b"x" * size)).status == status


async def test_a_refused_upload_of_megabytes_still_hears_413(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, limits={"body": "1MiB"}))
        for how in ("length", "chunked") * 5:
            async with await worker.connect() as client:
                await post(client, 5 * 1024 * 1024, how)
                assert (await client.answer()).status == 413


async def test_connections_above_the_cap_get_503_and_places_are_given_back(worker: Worker) -> None:
    async with Upstream() as legacy, running(plain(legacy, limits={"connections": 3})) as small:
        clients = [await small.connect() for _ in range(3)]
        await asyncio.sleep(0.05)
        for _ in range(5):
            async with await small.connect() as extra:
                answer = await extra.answer()
                assert (answer.status, answer.get("connection")) == (503, b"close")
                assert answer.get("retry-after") is not None
                assert await extra.rest() == b""
        await clients.pop().close()
        await asyncio.sleep(0.05)
        assert (await small.ask()).status == 200
        stats = await small.stats()
        assert stats.refused == {"overloaded": 5}
        assert stats.connections == 2
        for client in clients:
            await client.close()


async def test_at_the_cap_an_idle_connection_makes_room_for_one_with_a_request(worker: Worker) -> None:
    async with Upstream() as legacy, running(plain(legacy, limits={"connections": 2})) as small:
        busy, idle = await small.connect(), await small.connect()
        busy.send(b"GET / HTTP/1.1\r\nHost:")  # in the middle of its head
        idle.get()
        assert (await idle.answer()).status == 200
        async with await small.connect() as extra:
            extra.get()
            assert (await extra.answer()).status == 200
        assert await idle.rest() == b""
        busy.send(b" x\r\n\r\n")
        assert (await busy.answer()).status == 200
        assert (await small.stats()).refused == {"idle-closed": 1}
        await busy.close()
        await idle.close()


# -- clocks -------------------------------------------------------------------------------------------------------

CLOCKS = {"head": "300ms", "body_idle": "300ms", "write_idle": "300ms", "keep_alive": "300ms"}


async def test_a_head_that_does_not_arrive_is_a_408(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS | {"keep_alive": "5s"}))
        async with await worker.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHo")
            answer = await client.answer()
            assert (answer.status, answer.get("connection")) == (408, b"close")
        async with await worker.connect() as client:  # and so is the second one on a connection
            client.get()
            await client.answer()
            client.send(b"GET /")
            assert (await client.answer()).status == 408


async def test_a_head_that_trickles_is_a_408_all_the_same(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        async with await worker.connect() as client:
            for byte in request("/", "X: " + "slow" * 5):
                client.send(bytes([byte]))
                await asyncio.sleep(0.05)
                if client.reader._buffer:  # type: ignore[attr-defined]  # it has been answered
                    break
            assert (await client.answer()).status == 408


async def test_a_connection_that_says_nothing_is_closed_silently(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        async with await worker.connect() as client:
            assert await client.rest() == b""
        async with await worker.connect() as client:
            client.get()
            await client.answer()
            assert await client.rest() == b""


async def test_the_keep_alive_clock_runs_once(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS | {"keep_alive": "2s"}))
        async with await worker.connect() as client:
            client.get()
            await client.answer()
            async with asyncio.timeout(3.5):
                assert await client.rest() == b""


async def test_f20_slow_heads_of_many_do_not_disturb_others(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS | {"head": "2500ms"}))
        slow = [await worker.connect() for _ in range(1000)]
        for client in slow:
            client.send(b"GET / HT")
        begun = time.monotonic()
        for n in range(20):
            assert (await worker.ask()).status == 200
            for client in slow[n::20]:
                client.send(b"T")
        assert time.monotonic() - begun < 2
        assert {(await client.answer()).status for client in slow} == {408}
        for client in slow:
            await client.close()


async def test_f21_a_body_that_stops_is_a_408_and_the_upstream_is_let_go(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        for data in (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ):
            async with await worker.connect() as client:
                client.send(data)
                answer = await client.answer()
                assert (answer.status, answer.get("connection")) == (408, b"close")
        await until(lambda: not legacy.open)
        assert legacy.requests == []


async def test_a_body_that_trickles_is_served(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            client.send(b"x")
            await asyncio.sleep(0.1)
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("noisy", [False, True])
async def test_f22_a_client_that_does_not_read_is_cut(worker: Worker, noisy: bool) -> None:
    """Also one that goes on sending: only reading counts."""
    async with Upstream(raw=huge(300 * MIB)) as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        before = most = worker.rss()
        async with await worker.connect(limit=1024) as client:
            client.get()
            await client.head()
            async with asyncio.timeout(8):
                while legacy.open:
                    if noisy and not client.writer.is_closing():
                        client.send(b"\r\n")
                    most = max(most, worker.rss())
                    await asyncio.sleep(0.02)
            assert len(await client.rest()) < 300 * MIB
        assert most - before < 10 * MIB


async def test_a_slow_but_steady_reader_gets_all_of_it(worker: Worker) -> None:
    async with Upstream(ok(b"x" * 20_000_000)) as legacy:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        async with await worker.connect(limit=65536) as client:
            client.get()
            await client.head()
            left = 20_000_000
            while left:
                data = await client.reader.read(min(left, 1_000_000))
                assert data
                left -= len(data)
                await asyncio.sleep(0.003)


async def test_the_clocks_do_not_run_while_the_upstream_thinks(worker: Worker) -> None:
    async with Upstream(Act(ok(), delay=0.8)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy, client_timeouts=CLOCKS))
        client.get(method="POST", body=b"x")
        assert (await client.answer()).status == 200
