"""Where a shadow is dropped: every bound has a reason, and every sampled request one end."""

import asyncio
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Upstream, Worker, chunked, migration, ok, reset, running
from ports import free_port
from shadows import mine, settled, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


async def test_memory_held_for_shadows_is_bounded(worker: Worker) -> None:
    legacy, candidate = sides(Act(ok(b"x" * MIB), delay=0.1), Act(then="hang"))
    async with legacy, candidate:
        document = migration(legacy, candidate, "memory", "shadow", shadow={"timeout": "2s"}, shadow_memory="2MiB")
        await worker.apply(document)
        before = worker.rss()
        await asyncio.gather(*(worker.ask() for _ in range(4)))
        assert all(len(a.body) == MIB for a in await asyncio.gather(*(worker.ask() for _ in range(60))))
        assert worker.rss() - before < 30 * MIB
        counters = await settled(worker, "memory", 64)
        assert counters.shadow_dropped["memory"] >= 50 - counters.shadow_dropped.get("loop-lag", 0)
        candidate.reply = ok(b"x" * MIB)  # the memory is given back
        for _ in range(30):
            await worker.ask()
            if (await worker.route("memory")).matched:
                break
        else:
            raise AssertionError("no shadow came through any more")


async def test_many_answers_at_once_stay_within_the_memory_for_shadows(worker: Worker) -> None:
    """All of them begin while nothing is held yet."""
    legacy, candidate = sides(Act(ok(b"x" * MIB), delay=0.5), Act(then="hang"))
    async with legacy, candidate, running() as fresh:
        more: dict[str, Any] = {"shadow": {"timeout": "3s"}, "shadow_memory": "2MiB"}
        await fresh.apply(migration(legacy, candidate, "at-once", "shadow", **more))
        await asyncio.gather(*(fresh.ask(method="POST") for _ in range(60)))  # connections and buffers are warm
        before = fresh.rss()
        await asyncio.gather(*(fresh.ask() for _ in range(60)))
        assert fresh.rss() - before < 30 * MIB


async def test_a_comparator_that_is_away_is_a_reason(worker: Worker) -> None:
    legacy, candidate = sides(None, ok(b"other"))
    async with legacy, candidate, running(comparator=False) as lonely:
        await lonely.apply(migration(legacy, candidate, "lonely", "shadow"))
        for _ in range(5):
            await lonely.ask()
        counters = await settled(lonely, "lonely", 5)
        assert counters.shadow_dropped["comparator-down"] >= 1
        assert set(counters.shadow_dropped) <= {"comparator-down", "loop-lag"}
        await lonely.comparator_up()
        await asyncio.sleep(0.8)
        for _ in range(5):
            await lonely.ask()
        await settled(lonely, "lonely", 10)
        assert lonely.pairs
        await lonely.comparator_down()
        await asyncio.sleep(0.1)
        before = len(lonely.pairs)
        for _ in range(5):
            assert (await lonely.ask()).status == 200
        await settled(lonely, "lonely", 15)
        assert len(lonely.pairs) == before


async def test_a_request_body_over_the_cap_is_a_reason(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        shadow = {"methods": ["POST"], "unsafe": "accepted-by-candidate", "max_body": "10KiB"}
        await worker.apply(migration(legacy, candidate, "large", "shadow", shadow=shadow))
        for _ in range(4):
            assert (await worker.ask(method="POST", body=b"x" * 10_241)).status == 200
        async with await worker.connect() as client:
            client.send(chunked(b"x" * 9000, b"x" * 9000, head="POST / HTTP/1.1\r\nHost: a\r\n"))
            assert (await client.answer()).status == 200
        counters = await settled(worker, "large", 5)
        assert counters.shadow_dropped["body-too-large"] == 5 - counters.shadow_dropped.get("loop-lag", 0)
        assert candidate.connections == 0


async def test_f18_a_client_that_leaves_makes_no_difference(worker: Worker) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        while True:
            writer.write(b"x" * 100)
            await asyncio.sleep(0.01)

    async with Upstream(raw=half) as legacy, Upstream(ok(b"x" * 1000)) as candidate:
        await worker.apply(migration(legacy, candidate, "left-early", "shadow"))
        for _ in range(6):
            client = await worker.connect()
            client.get()
            await client.head()
            reset(client.writer)
        counters = await settled(worker, "left-early", 6)
        assert set(counters.shadow_dropped) <= {"client-left", "loop-lag"}
        assert mine(worker, "left-early") == []


async def test_a_legacy_that_fails_is_recorded_or_counted(worker: Worker) -> None:
    legacy, candidate = sides(Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "close"))
    refused = free_port()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "legacy-fails", "shadow"))
        for _ in range(4):
            assert not (await worker.ask()).whole
        counters = await settled(worker, "legacy-fails", 4)
        assert {p.legacy.failure for p in mine(worker, "legacy-fails")} <= {"truncated"}
        await worker.apply(migration(f"http://127.0.0.1:{refused}", candidate, "legacy-refuses", "shadow"))
        for _ in range(4):
            assert (await worker.ask()).status == 502
        counters = await settled(worker, "legacy-refuses", 4)
        assert counters.shadow_dropped == {"not-sent": 4}


async def test_a_fallback_is_a_reason(worker: Worker) -> None:
    legacy, candidate = sides(None, ok(status="500 No"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "fell-back", "live"))
        for _ in range(4):
            assert (await worker.ask()).status == 200
        counters = await settled(worker, "fell-back", 4)
        assert counters.shadow_dropped.get("fallback", 0) == 4 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.fallbacks == {"5xx": 4}


async def test_an_upgrade_is_a_reason(worker: Worker) -> None:
    legacy, candidate = sides(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    async with legacy, candidate, await worker.connect() as client:
        await worker.apply(migration(legacy, candidate, "upgrade-shadow", "shadow"))
        client.get("/", "Connection: upgrade", "Upgrade: x")
        assert (await client.answer()).status == 101
        await client.close()
        counters = await settled(worker, "upgrade-shadow", 1)
        assert set(counters.shadow_dropped) <= {"upgrade", "loop-lag"}
        assert candidate.connections == 0


async def test_every_sampled_request_ends_in_one_place_whatever_happens(worker: Worker) -> None:
    acts: list[Any] = [
        ok(b"same"), ok(b"other"), Act(then="close"), Act(ok(b"same"), delay=0.05), Act(then="reset"), Act(then="hang"),
        Act(chunked(b"sa", end=b""), "close"), ok(b"x" * 100_000), Act(b"junk\r\n\r\n", "close"), ok(status="500 No"),
    ]  # fmt: skip
    legacy = Upstream(lambda m: acts[int(m.target[1:]) % len(acts)])
    candidate = Upstream(lambda m: acts[int(m.target[1:]) // len(acts) % len(acts)])
    more: dict[str, Any] = {
        "shadow": {"timeout": "300ms", "max_in_flight": 10, "max_body": "50KiB"},
        "timeouts": {"first_byte": "300ms", "total": "800ms"},
        "breaker": NO_BREAKER,
    }

    async def visit(n: int) -> None:
        async with await worker.connect() as client:
            client.get(f"/{n}")
            if n % 7 == 0:
                await asyncio.sleep(0.01)
                reset(client.writer)
            else:
                client.writer.write_eof()
                await client.rest()

    async with legacy, candidate:
        for stage in ("shadow", "live"):
            await worker.apply(migration(legacy, candidate, f"chaos-{stage}", stage, **more))
            for begin in range(0, 100, 20):
                await asyncio.gather(*(visit(n) for n in range(begin, begin + 20)))
            counters = await settled(worker, f"chaos-{stage}", 100)
            assert sum(counters.requests.values()) == 100
            assert len(mine(worker, f"chaos-{stage}")) == counters.shadow.get("sent-to-comparator", 0)
        assert (await worker.stats()).shadows_in_flight == 0
        assert (await worker.stats()).in_flight == 0
    assert "internal-error" not in worker.log()
