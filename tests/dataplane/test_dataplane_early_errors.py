"""A candidate that fails while the request still comes, or fails in failing: what must not follow from it."""

import asyncio

import pytest
from harness import NO_BREAKER, Act, Upstream, Worker, migration, ok, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_connection_with_half_a_request_on_it_is_never_used_again(worker: Worker) -> None:
    """Else the next client's request would be read as the rest of the first one's body."""
    seen: list[bytes] = []

    async def early_503(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno")
        seen.append(await reader.read())  # to the end of the connection

    async with Upstream(lambda message: ok(b"legacy:" + message.body)) as legacy, Upstream(raw=early_503) as candidate:
        fallback = {"unsafe": "always", "on": ["5xx"]}
        await worker.apply(migration(legacy, candidate, "early", "live", fallback=fallback, shadow={"sample": "0%"}))
        async with await worker.connect() as client:
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nabc")
            await until(lambda: candidate.open == 0 and seen)
            assert (await worker.ask("/next", "Cookie: session=other")).body == b"legacy:"
            client.send(b"defghijkl")
            assert (await client.answer()).body == b"legacy:abcdefghijkl"
        assert not any(b"session=other" in rest for rest in seen)
        assert seen[0] == b"abc"


async def test_a_failure_that_is_broken_itself_still_falls_back_and_leaves_nothing_open(worker: Worker) -> None:
    broken = Act(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    async with Upstream() as legacy, Upstream(broken) as candidate:
        await worker.apply(migration(legacy, candidate, "broken", "live", breaker=NO_BREAKER, shadow={"sample": "0%"}))
        for _ in range(20):
            assert (await worker.ask()).status == 200
        assert (await worker.route("broken")).fallbacks == {"5xx": 20}
        await until(lambda: candidate.open == 0)


async def test_the_testers_key_is_not_in_a_pair(worker: Worker) -> None:
    async with Upstream(ok(b"a")) as legacy, Upstream(ok(b"b")) as candidate:
        await worker.apply(migration(legacy, candidate, "keyed", "shadow"))
        await worker.ask("/", "X-Banyan-Key: 0123456789abcdef", "X-Mine: 1")
        await until(lambda: [p for p in worker.pairs if p.route == "keyed"])
        (pair,) = [p for p in worker.pairs if p.route == "keyed"]
        assert (b"X-Mine", b"1") in pair.fields
        assert not [name for name, _ in pair.fields if b"banyan" in name.lower()]


async def test_an_unsafe_shadow_is_sent_once_also_on_a_connection_that_dies(worker: Worker) -> None:
    answers = 0

    def once(_: object) -> Act:
        nonlocal answers
        answers += 1
        return Act(ok()) if answers == 1 else Act(then="close")

    async with Upstream() as legacy, Upstream(once) as candidate:
        shadow = {"methods": ["POST"], "unsafe": "accepted-by-candidate"}
        await worker.apply(migration(legacy, candidate, "once", "shadow", shadow=shadow))
        await worker.ask("/0", method="POST")
        await worker.route_when("once", lambda counters: counters.shadow.get("compared"))
        await worker.ask("/1", method="POST")
        await worker.route_when("once", lambda counters: counters.shadow.get("sent-to-comparator"))
        assert candidate.targets() == ["/0", "/1"]
