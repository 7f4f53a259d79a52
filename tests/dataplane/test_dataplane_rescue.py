"""What the client of a failing candidate sees, and what the ledgers hold afterwards."""

import asyncio

import pytest
from faults import FaultProxy
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok, request, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = {"connect": "1s", "first_byte": "1s", "idle": "1s"}
"""Short enough to wait for, and long enough for an answer of a busy machine."""
NO_SHADOW = {"sample": "0%"}


@pytest.mark.parametrize("fault", ["refused", "reset", "5xx", "timeout", "garbage"])
async def test_f29_a_rescued_answer_is_legacys_byte_for_byte_and_only_the_log_tells(worker: Worker, fault: str) -> None:
    fields = ("Date: Sun, 06 Nov 1994 08:49:37 GMT", "sET-cookie:  a=\u00e9 ", "Set-Cookie: b=c", "X-Empty:")
    legacy = Upstream(ok(bytes(range(256)) * 40, *fields, status="203 Such"))
    candidate = Upstream({"5xx": ok(status="503 No"), "garbage": Act(b"junk\r\n\r\n", "close")}.get(fault))
    async with legacy, candidate, FaultProxy(candidate.port) as wire:
        if fault == "refused":
            await wire.refuse()
        elif fault == "reset":
            wire.down.limit, wire.down.then = 0, "reset"
        elif fault == "timeout":
            wire.down.stalled = True
        got = []
        for stage in ("legacy", "live"):
            await worker.apply(
                migration(legacy, wire.url, f"rescue-{fault}-{stage}", stage, timeouts=SHORT, shadow=NO_SHADOW)
            )
            async with await worker.connect() as client:
                client.send(request("/a?b", "X-A: 1", "Connection: close"))
                got.append(await client.rest())
        assert got[0] == got[1]
        assert got[0].startswith(b"HTTP/1.1 203 Such\r\n")
        assert b"anyan" not in got[1]
        told = [line for line in worker.log().splitlines() if f"rescue-{fault}-live" in line]
        assert any('"event":"fallback"' in line for line in told)


@pytest.mark.parametrize(
    ("fault", "status", "ledgers"),
    [("timeout", 504, (0, 1)), ("reset", 502, (0, 1)), ("cut", 502, (0, 1)), ("refused", 200, (1, 0))],
)
async def test_f31_f32_a_write_is_in_the_ledgers_exactly_once(
    worker: Worker, fault: str, status: int, ledgers: tuple[int, int]
) -> None:
    async with Upstream() as legacy, Upstream() as candidate, FaultProxy(candidate.port) as wire:
        route = f"once-{fault}"
        more = {"timeouts": SHORT, "shadow": NO_SHADOW, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, wire.url, route, "live", **more))
        for n in range(5):
            assert (await worker.ask(f"/warm/{n}")).status == 200  # kept connections are there to be used
        if fault == "refused":
            await wire.refuse()
            await wire.cut()
        elif fault == "timeout":
            wire.down.stalled = True
        else:
            wire.down.limit, wire.down.then = 0 if fault == "reset" else 9, "reset"

        async def order(n: int) -> int:
            fields = ("X-Id: 1", "Idempotency-Key: 1")  # which nobody has declared to mean anything
            return (await worker.ask(f"/{n}", *fields, method="POST", body=b"order")).status

        assert set(await asyncio.gather(*(order(n) for n in range(10)))) == {status}
        for n in range(10):
            found = [sum(r.target == b"/%d" % n for r in side.requests) for side in (legacy, candidate)]
            assert tuple(found) == ledgers


async def test_f31_with_a_declared_key_a_write_that_timed_out_is_repeated_once(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream() as candidate, FaultProxy(candidate.port) as wire:
        wire.down.stalled = True
        more = {"timeouts": SHORT, "shadow": NO_SHADOW, "fallback": {"unsafe": "idempotency-key"}}
        await worker.apply(migration(legacy, wire.url, "declared", "live", **more))
        for key, status in ((), 504), (("Idempotency-Key: 1",), 200):
            assert (await worker.ask("/", *key, method="POST", body=b"order")).status == status
        assert [r.get("idempotency-key") for r in legacy.requests] == [b"1"]
        await until(lambda: len(candidate.requests) == 2)


@pytest.mark.parametrize("then", ["close", "reset", "stall"])
async def test_f30_an_answer_that_the_wire_cuts_is_not_rescued(worker: Worker, then: str) -> None:
    body = b"0123456789" * 1000

    async with Upstream() as legacy, Upstream(ok(body)) as candidate, FaultProxy(candidate.port) as wire:
        wire.down.limit, wire.down.then = 5_000, then  # type: ignore[assignment]  # one of three
        more = {"timeouts": SHORT, "shadow": NO_SHADOW}
        await worker.apply(migration(legacy, wire.url, f"cut-{then}", "live", **more))
        answers: list[Message] = await asyncio.gather(*(worker.ask() for _ in range(5)))
        for answer in answers:
            assert (answer.status, answer.whole) == (200, False)
            assert body.startswith(answer.body)
        assert not legacy.connections
        assert (await worker.route(f"cut-{then}")).fallbacks == {}
