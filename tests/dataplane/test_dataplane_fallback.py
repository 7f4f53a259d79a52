"""Legacy answers when the candidate failed, and never where that could write twice."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any, Self

import pytest
from faults import black_hole
from harness import Act, Client, Message, Upstream, Worker, chunked, migration, ok, request, reset, until
from ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = {"connect": "1s", "first_byte": "1s", "idle": "1s"}
"""Short enough to wait for, and long enough for an answer of a busy machine."""
MIB = 1024 * 1024

FAILURES: dict[str, tuple[str, Act | None]] = {
    "refused": ("connect-failure", None),
    "black-hole": ("connect-failure", None),
    "closed": ("reset", Act(then="close")),
    "reset": ("reset", Act(then="reset")),
    "silent": ("timeout", Act(then="hang")),
    "garbage": ("invalid-response", Act(b"SSH-2.0-OpenSSH\r\n\r\n", "close")),
    "half-head": ("invalid-response", Act(b"HTTP/1.1 200 OK\r\nX", "close")),
    "two-lengths": (
        "invalid-response",
        Act(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "close"),
    ),
    "switching": ("invalid-response", Act(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")),
    "bad-chunk": ("invalid-response", Act(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "close")),
    "500": ("5xx", Act(ok(b"broken", status="500 Broken"))),
    "503": ("5xx", Act(chunked(b"x" * 100_000, head="HTTP/1.1 503 Busy\r\n"))),
}
NOT_SENT = {"refused", "black-hole"}


class Pair:
    """Legacy and a candidate that fails in a certain way."""

    def __init__(self, failure: str) -> None:
        self.legacy = Upstream(lambda message: ok(b"legacy:" + message.body))
        self.failure = failure
        self.reason, act = FAILURES[failure]
        self.candidate = Upstream(act or ok())
        self._hole: AbstractContextManager[int] | None = None

    async def __aenter__(self) -> Self:
        await self.legacy.listen()
        if self.failure == "refused":
            self.candidate.port = free_port()
        elif self.failure == "black-hole":
            self._hole = black_hole()
            self.candidate.port = self._hole.__enter__()
        else:
            await self.candidate.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._hole is not None:
            self._hole.__exit__(None, None, None)
        await self.candidate.close()
        await self.legacy.close()

    def document(self, route: str, stage: str = "live", **more: Any) -> dict[str, Any]:
        more.setdefault("timeouts", SHORT)
        return migration(self.legacy, self.candidate, route, stage, shadow={"sample": "0%"}, **more)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD"])
async def test_f29_a_safe_request_is_answered_by_legacy(worker: Worker, failure: str, method: str) -> None:
    if failure == "bad-chunk" and method == "HEAD":
        return  # has no body to be broken
    async with Pair(failure) as pair:
        route = f"safe-{failure}-{method.lower()}"
        await worker.apply(pair.document(route))
        answer = await worker.ask("/a?b", "X-A: 1", "X-Banyan-Fallback: spoofed", method=method)
        assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"legacy:")
        (got,) = pair.legacy.requests
        assert (got.method.decode(), got.target, got.get("x-a")) == (method, b"/a?b", b"1")
        assert got.all("x-banyan-fallback") == [pair.reason.encode()]
        assert len(pair.candidate.requests) == (0 if failure in NOT_SENT else 1)
        if method == "GET":
            counters = await worker.route(route)
            assert counters.fallbacks == {pair.reason: 1}
            assert counters.requests == {"GET 200 legacy": 1}
            assert sum(counters.upstream_requests.values()) == 2


@pytest.mark.parametrize("failure", FAILURES)
async def test_f31_f32_an_unsafe_request_is_answered_by_legacy_only_if_it_was_not_sent(
    worker: Worker, failure: str
) -> None:
    async with Pair(failure) as pair:
        await worker.apply(pair.document(f"unsafe-{failure}"))
        for fields in ((), ("Idempotency-Key: k",)):
            answer = await worker.ask("/", *fields, method="POST", body=b"order")
            if failure in NOT_SENT:
                assert answer.body == b"legacy:order"
            else:
                assert answer.status in (500, 502, 503, 504)
        assert len(pair.legacy.requests) == (2 if failure in NOT_SENT else 0)
        assert len(pair.candidate.requests) == (0 if failure in NOT_SENT else 2)


@pytest.mark.parametrize("unsafe", ["idempotency-key", "always"])
@pytest.mark.parametrize("failure", ["reset", "silent", "garbage", "500", "refused"])
async def test_f31_an_unsafe_request_may_be_declared_repeatable(worker: Worker, failure: str, unsafe: str) -> None:
    async with Pair(failure) as pair:
        await worker.apply(pair.document(f"again-{failure}-{unsafe}", fallback={"unsafe": unsafe}))
        without = await worker.ask("/", method="POST", body=b"order")
        with_key = await worker.ask("/", "Idempotency-Key: k", method="PATCH", body=b"order")
        assert with_key.body == b"legacy:order"
        assert (without.body == b"legacy:order") is (unsafe == "always" or failure == "refused")


@pytest.mark.parametrize("failure", ["refused", "reset", "silent", "garbage", "500"])
async def test_a_reason_that_is_not_listed_is_none(worker: Worker, failure: str) -> None:
    async with Pair(failure) as pair:
        others = {"connect-failure", "timeout", "reset", "invalid-response", "5xx"} - {pair.reason}
        await worker.apply(pair.document(f"unlisted-{failure}", fallback={"on": sorted(others)}))
        assert (await worker.ask()).status >= 500
        assert not pair.legacy.connections


@pytest.mark.parametrize("failure", ["refused", "500"])
async def test_a_retired_route_has_no_fallback(worker: Worker, failure: str) -> None:
    async with Pair(failure) as pair:
        await worker.apply(pair.document(f"retired-{failure}", "retired"))
        answer = await worker.ask()
        assert answer.status == (500 if failure == "500" else 502)
        assert answer.body == b"broken" or failure == "refused"
        assert not pair.legacy.connections


# -- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", ["length", "chunked"])
@pytest.mark.parametrize("failure", ["refused", "reset", "500"])
async def test_a_body_up_to_the_cap_is_replayed_byte_for_byte(worker: Worker, failure: str, framed: str) -> None:
    body = bytes(range(256)) * 4096
    assert len(body) == MIB
    async with Pair(failure) as pair:
        await worker.apply(pair.document(f"replay-{failure}-{framed}", fallback={"unsafe": "always"}))
        async with await worker.connect() as client:
            send(client, body, framed)
            assert (await client.answer()).body == b"legacy:" + body
            assert pair.legacy.requests[0].body == body
            assert pair.legacy.requests[0].get("transfer-encoding") == (b"chunked" if framed == "chunked" else None)
            client.get("/next")
            assert (await client.answer()).body == b"legacy:"


def send(client: Client, body: bytes, framed: str) -> None:
    if framed == "length":
        client.get(method="POST", body=body)
    else:
        size = len(body) // 7 + 1
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        end = b"0\r\nX-Sum: 1\r\n\r\n"
        client.send(chunked(*pieces, head="POST / HTTP/1.1\r\nHost: a\r\n", end=end))


@pytest.mark.parametrize("framed", ["length", "chunked"])
@pytest.mark.parametrize("failure", ["reset", "500", "silent"])
async def test_f33_a_body_above_the_cap_is_never_replayed_and_never_truncated(
    worker: Worker, failure: str, framed: str
) -> None:
    async with Pair(failure) as pair:
        await worker.apply(pair.document(f"big-{failure}-{framed}", fallback={"unsafe": "always"}))
        async with await worker.connect() as client:
            send(client, b"x" * 2 * MIB, framed)
            assert (await client.answer()).status == {"reset": 502, "500": 500, "silent": 504}[failure]
        assert not pair.legacy.heads


@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_a_body_above_the_cap_goes_to_legacy_if_nothing_of_it_was_sent(worker: Worker, framed: str) -> None:
    """Not sent is always safe, and the body still waits at the client (DESIGN section 5)."""
    async with Pair("refused") as pair:
        await worker.apply(pair.document(f"big-unsent-{framed}"))
        async with await worker.connect() as client:
            send(client, b"x" * 2 * MIB, framed)
            assert len((await client.answer()).body) == 2 * MIB + 7
        assert len(pair.legacy.requests[0].body) == 2 * MIB


async def test_trailers_are_replayed_too(worker: Worker) -> None:
    async with Pair("reset") as pair:
        await worker.apply(pair.document("replay-trailers", fallback={"unsafe": "always"}))
        async with await worker.connect() as client:
            send(client, b"body", "chunked")
            assert (await client.answer()).status == 200
        assert pair.legacy.requests[0].trailers == [(b"X-Sum", b"1")]


async def test_a_body_that_still_comes_is_replayed_whole(worker: Worker) -> None:
    async def dies_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(5)

    legacy = Upstream(lambda message: ok(message.body))
    async with legacy, Upstream(raw=dies_early) as candidate, await worker.connect() as client:
        await worker.apply(migration(legacy, candidate, "still-comes", "live", fallback={"unsafe": "always"}))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\nfirst")
        await until(lambda: candidate.connections and not candidate.open)
        await asyncio.sleep(0.05)
        client.send(b"middl")
        await asyncio.sleep(0.05)
        client.send(b"elast")
        assert (await client.answer()).body == b"firstmiddlelast"


# -- time ---------------------------------------------------------------------------------------------------------


async def test_the_fallback_fits_into_the_deadline(worker: Worker) -> None:
    """The candidate's own clocks would let it have all of the time."""
    legacy = Upstream(Act(ok(b"legacy"), delay=0.3))
    async with legacy, Upstream(Act(then="hang")) as candidate:
        timeouts = {"connect": "5s", "first_byte": "10s", "total": "4s"}
        await worker.apply(migration(legacy, candidate, "reserve", "live", timeouts=timeouts, shadow={"sample": "0%"}))
        for method, who in (("GET", 200), ("POST", 504)):
            assert (await worker.ask(method=method)).status == who


async def test_the_fallback_fits_into_the_deadline_when_connecting_hangs(worker: Worker) -> None:
    async with Pair("black-hole") as pair:
        timeouts = {"connect": "8s", "first_byte": "10s", "total": "4s"}
        await worker.apply(pair.document("reserve-connect", timeouts=timeouts))
        async with asyncio.timeout(7):
            assert (await worker.ask()).body == b"legacy:"


async def test_legacy_may_fail_too(worker: Worker) -> None:
    async with Upstream(Act(then="close")) as legacy, Upstream(Act(then="close")) as candidate:
        await worker.apply(migration(legacy, candidate, "both-fail", "live", shadow={"sample": "0%"}))
        assert (await worker.ask()).status == 502
        legacy.reply = ok(b"sorry", status="503 Busy")
        answer = await worker.ask()
        assert (answer.status, answer.body) == (503, b"sorry")
        assert len(legacy.requests) == len(candidate.requests) == 2


# -- the answer has begun -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nhalf",
        chunked(b"half", end=b""),
        b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
async def test_f30_an_answer_that_has_begun_is_cut_and_there_is_no_fallback(
    worker: Worker, answer: bytes, then: str
) -> None:
    fallback = {"on": ["connect-failure", "timeout", "reset", "invalid-response"], "unsafe": "always"}
    async with Upstream() as legacy, Upstream(Act(answer, then)) as candidate, await worker.connect() as client:
        route = f"begun-{answer[:12].decode()[-3:]}-{len(answer)}-{then}"
        document = migration(
            legacy, candidate, route, "live", fallback=fallback, timeouts=SHORT, shadow={"sample": "0%"}
        )
        await worker.apply(document)
        client.send(request())
        head = await client.head()
        rest = await client.rest()
        assert head.status == int(answer.split(b" ")[1])
        assert b"half" in rest
        assert b"HTTP/1.1" not in rest
        assert b"0\r\n\r\n" not in rest
        assert not legacy.connections
        assert (await worker.route(route)).fallbacks == {}


async def test_a_client_that_leaves_causes_no_fallback(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(Act(then="hang")) as candidate:
        timeouts = {"first_byte": "300ms"}
        await worker.apply(migration(legacy, candidate, "left", "live", timeouts=timeouts, shadow={"sample": "0%"}))
        client = await worker.connect()
        client.get()
        await until(lambda: candidate.requests)
        reset(client.writer)
        await asyncio.sleep(0.6)
        counters = await worker.route("left")
        assert (counters.requests, counters.fallbacks) == ({"GET 499 candidate": 1}, {})
        assert not legacy.connections


async def test_a_fallback_of_an_upgrade_can_still_become_a_tunnel(worker: Worker) -> None:
    async def switches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"X-Banyan-Fallback: 5xx" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        writer.write(await reader.readexactly(4))

    async with Upstream(raw=switches) as legacy, Upstream(ok(status="500 No")) as candidate:
        await worker.apply(migration(legacy, candidate, "upgraded", "live"))
        async with await worker.connect() as client:
            client.get("/", "Connection: Upgrade", "Upgrade: x")
            assert (await client.answer()).status == 101
            client.send(b"echo")
            assert await client.rest() == b"echo"


async def test_an_interim_answer_of_the_candidate_does_not_forbid_the_fallback(worker: Worker) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with Upstream(ok(b"legacy")) as legacy, Upstream(Act(early, "close")) as candidate:
        await worker.apply(migration(legacy, candidate, "hinted", "live", shadow={"sample": "0%"}))
        assert (await worker.ask()).body == b"legacy"


async def test_a_stale_connection_to_the_candidate_is_not_a_fallback(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for first in (True, False):
            message = Message(await reader.readuntil(b"\r\n\r\n"))
            await message.read_body(reader)
            if first:
                writer.write(ok(b"candidate"))

    async with Upstream(ok(b"legacy")) as legacy, Upstream(raw=server) as candidate:
        await worker.apply(migration(legacy, candidate, "stale-candidate", "live", shadow={"sample": "0%"}))
        for _ in range(3):
            assert (await worker.ask()).body == b"candidate"
        counters = await worker.route("stale-candidate")
        assert (counters.fallbacks, counters.retries) == ({}, {"stale-connection": 2})
