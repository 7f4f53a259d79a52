"""Kept connections to upstreams, the clocks towards them, and what is (never) sent again."""

import asyncio
import time

import pytest
from faults import black_hole
from harness import Act, Message, Upstream, Worker, ok, plain, reset, until
from ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_one_connection_carries_many_requests(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for n in range(20):
            assert (await worker.ask(f"/{n}", method="POST" if n % 2 else "GET", body=b"x" * (n % 2))).status == 200
        assert legacy.connections == 1


async def test_requests_at_once_use_connections_of_their_own_and_the_surplus_is_closed(worker: Worker) -> None:
    async with Upstream(Act(ok(), delay=0.2)) as legacy:
        document = plain(legacy)
        document["upstreams"]["legacy"]["max_idle"] = 3
        await worker.apply(document)
        assert {a.status for a in await asyncio.gather(*(worker.ask() for _ in range(20)))} == {200}
        assert legacy.connections == 20
        await until(lambda: legacy.open == 3)


async def test_endpoints_take_turns(worker: Worker) -> None:
    async with Upstream() as one, Upstream() as two:
        document = plain(one)
        document["upstreams"]["legacy"]["endpoints"].append(two.url)
        await worker.apply(document)
        for _ in range(10):
            await worker.ask()
        assert (len(one.requests), len(two.requests)) == (5, 5)


@pytest.mark.parametrize("then", ["Connection: close", "HTTP/1.0"])
async def test_a_connection_that_the_upstream_will_close_is_not_kept(worker: Worker, then: str) -> None:
    answer = ok(b"ok", then) if ":" in then else ok().replace(b"HTTP/1.1", b"HTTP/1.0")
    async with Upstream(answer) as legacy:
        await worker.apply(plain(legacy))
        for _ in range(3):
            assert (await worker.ask()).body == b"ok"
        assert legacy.connections == 3


async def test_f56_a_connection_idle_for_more_than_four_seconds_is_not_used(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        await worker.ask()
        await asyncio.sleep(4.3)
        assert legacy.open == 0
        await worker.ask()
        assert legacy.connections == 2


# -- a kept connection that dies ----------------------------------------------------------------------------------


def stale(died: list[int]):  # type: ignore[no-untyped-def]  # a server function
    """The first request of a connection is answered, the next one kills it without a byte."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = Message(await reader.readuntil(b"\r\n\r\n"))
        await first.read_body(reader)
        writer.write(ok(b""))
        second = Message(await reader.readuntil(b"\r\n\r\n"))
        await second.read_body(reader)
        died.append(1)
        reset(writer) if len(died) % 2 else writer.close()

    return server


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_request_on_a_stale_connection_is_sent_once_more(worker: Worker, method: str) -> None:
    died: list[int] = []
    async with Upstream(raw=stale(died)) as legacy:
        await worker.apply(plain(legacy))
        await worker.ask()
        for n in range(4):
            assert (await worker.ask(method=method)).status == 200
            assert (len(died), legacy.connections) == (n + 1, n + 2)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
async def test_f56_another_request_on_a_stale_connection_is_sent_exactly_once(worker: Worker, method: str) -> None:
    died: list[int] = []
    async with Upstream(raw=stale(died)) as legacy:
        await worker.apply(plain(legacy))
        for n in range(4):
            assert (await worker.ask()).status == 200
            answer = await worker.ask(method=method, body=b"" if method == "DELETE" else b"x")
            assert answer.status == 502
            assert len(died) == legacy.connections == n + 1


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_f04_f05_a_fresh_connection_that_dies_is_a_502_after_one_send(
    worker: Worker, method: str, then: str
) -> None:
    async with Upstream(Act(then=then)) as legacy:
        await worker.apply(plain(legacy))
        assert (await worker.ask(method=method)).status == 502
        assert (len(legacy.heads), legacy.connections) == (1, 1)


async def test_two_stale_connections_are_not_both_tried(worker: Worker) -> None:
    async with Upstream(Act(ok(), delay=0.1)) as legacy:
        await worker.apply(plain(legacy))
        await asyncio.gather(*(worker.ask() for _ in range(4)))
        before = len(legacy.requests)
        legacy.reply = Act(then="close")
        assert (await worker.ask()).status == 502
        assert len(legacy.requests) - before == 2


async def test_a_body_for_a_connection_that_is_reset_at_once_is_a_502(worker: Worker) -> None:
    """The connection may be gone before the first byte of the request is written to it."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async def post() -> int:
        async with await worker.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 100_000)
            return (await client.answer("POST")).status

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        for _ in range(5):
            assert set(await asyncio.gather(*(post() for _ in range(40)))) == {502}
        assert legacy.connections == 200


async def test_f56_connections_that_the_upstream_closed_while_idle_cost_nothing(worker: Worker) -> None:
    async with Upstream(Act(ok(), "close")) as legacy:
        await worker.apply(plain(legacy))
        for n in range(20):
            assert (await worker.ask(method="POST", body=b"x")).status == 200, n
            await asyncio.sleep(0.01)
        assert len(legacy.requests) == 20


async def test_bytes_on_an_idle_connection_make_it_unusable(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ok(b"mine"))
            await asyncio.sleep(0.05)
            writer.write(ok(b"evil"))

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy))
        for _ in range(4):
            assert (await worker.ask()).body == b"mine"
            await asyncio.sleep(0.1)


# -- clocks -------------------------------------------------------------------------------------------------------


async def test_f01_a_refused_connection_is_a_502_at_once(worker: Worker) -> None:
    legacy = Upstream()
    legacy.port = free_port()
    await worker.apply(plain(legacy, timeouts={"connect": "2s"}))
    for method in ("GET", "POST"):
        begun = time.monotonic()
        assert (await worker.ask(method=method, body=b"x" * 200_000 if method == "POST" else b"")).status == 502
        assert time.monotonic() - begun < 2
    await legacy.listen()
    assert (await worker.ask()).status == 200
    assert legacy.connections == 1
    await legacy.close()


async def test_f02_a_connection_that_does_not_come_is_a_504(worker: Worker) -> None:
    """And each gives its place back: the next one waits for its own connection, not in a queue."""
    with black_hole() as port:
        legacy = {
            "endpoints": [f"http://127.0.0.1:{port}"],
            "timeouts": {"connect": "300ms"},
            "bulkhead": {"max_concurrent": 1, "queue": 0},
        }
        await worker.apply({"upstreams": {"l": legacy}, "legacy": "l"})
        await worker.ask()
        before = worker.descriptors()
        for method in ("GET", "POST", "GET"):
            assert (await worker.ask(method=method)).status == 504
        await until(lambda: worker.descriptors() <= before)


async def test_the_total_bounds_connecting_too(worker: Worker) -> None:
    with black_hole() as port:
        legacy = {"endpoints": [f"http://127.0.0.1:{port}"], "timeouts": {"connect": "8s", "total": "300ms"}}
        await worker.apply({"upstreams": {"l": legacy}, "legacy": "l"})
        async with asyncio.timeout(4):
            assert (await worker.ask()).status == 504


@pytest.mark.parametrize("clock", ["first_byte", "total"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_f03_an_upstream_that_says_nothing_is_a_504_and_its_connection_is_closed(
    worker: Worker, clock: str, method: str
) -> None:
    async with Upstream(Act(then="hang")) as legacy:
        await worker.apply(plain(legacy, timeouts={clock: "300ms"}))
        assert (await worker.ask(method=method, body=b"x" if method == "POST" else b"")).status == 504
        await until(
            lambda: legacy.open == len(legacy.requests)
        )  # the hanging server does not read; the worker has closed
        assert len(legacy.requests) == 1
        legacy.reply = ok()
        assert (await worker.ask()).status == 200


async def test_a_head_that_trickles_is_bound_by_the_clock(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent = 0
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\nX: y"[sent : sent + 1])
            sent += 1
            await asyncio.sleep(0.05)

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy, timeouts={"first_byte": "300ms"}))
        assert (await worker.ask()).status == 504


async def test_interim_answers_do_not_stop_the_clock(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(12):
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.1)
        writer.write(ok())

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy, timeouts={"first_byte": "400ms"}))
        assert (await worker.ask()).status == 504


async def test_f07_an_answer_that_stops_is_cut_and_one_that_trickles_is_not(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            for _ in range(5 if b"/stop" in head else 10):
                writer.write(b"x")
                await asyncio.sleep(0.1)

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy, timeouts={"idle": "400ms", "total": "500ms"}))
        assert (await worker.ask("/go")).body == b"x" * 10
        answer = await worker.ask("/stop")
        assert (answer.status, answer.body, answer.whole) == (200, b"x" * 5, False)
        await until(lambda: legacy.open <= 1)


async def test_an_upstream_that_does_not_take_the_body_is_a_504(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
        await asyncio.Event().wait()

    async with Upstream(raw=server) as legacy:
        await worker.apply(plain(legacy, timeouts={"idle": "300ms"}))
        assert (await worker.ask(method="POST", body=b"x" * 30_000_000)).status == 504


@pytest.mark.parametrize(
    "answer",
    [
        b"junk\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloWRONG",
    ],
)
async def test_an_answer_that_is_not_http_is_a_502_and_nothing_of_it_passes(worker: Worker, answer: bytes) -> None:
    async with Upstream(Act(answer, "close")) as legacy:
        await worker.apply(plain(legacy))
        got = await worker.ask()
        if b"hello" in answer:  # what came before the fault may have been passed on
            assert got.status == 502 or not got.whole
        else:
            assert got.status == 502
            assert b"service" in got.body
        legacy.reply = ok(b"next")
        assert (await worker.ask()).body == b"next"
