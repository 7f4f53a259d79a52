"""What is known of both answers to one request: time, errors, timeouts; measured alike on both sides."""

import asyncio
from bisect import bisect_left
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok
from shadows import settled, sides

from proxy.messages import DELTA_BUCKETS_SECONDS, Paired, RouteCounters

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


def number(paired: Paired, low: float, high: float) -> int:
    """Pairs whose difference is between two bounds of the buckets."""
    return sum(
        paired.deltas[bisect_left(DELTA_BUCKETS_SECONDS, low) + 1 : bisect_left(DELTA_BUCKETS_SECONDS, high) + 1]
    )


async def asked(worker: Worker, route: str, times: int, *fields: str) -> tuple[RouteCounters, int]:
    """The counters after so many requests, and how many came to a pair."""
    for _ in range(times):
        await worker.ask("/", *fields)
    counters = await settled(worker, route, times)
    return counters, times - counters.shadow.get("dropped", 0)


@pytest.mark.parametrize("stage", ["shadow", "live"])
@pytest.mark.parametrize("slow", ["legacy", "candidate", "neither"])
@pytest.mark.parametrize("body", [b"same", b"other"])
async def test_the_difference_is_the_candidates_time_less_legacys(
    worker: Worker, stage: str, slow: str, body: bytes
) -> None:
    legacy = Upstream(Act(ok(b"same"), delay=0.15 if slow == "legacy" else 0.0))
    candidate = Upstream(Act(ok(body), delay=0.15 if slow == "candidate" else 0.0))
    route = f"delta-{stage}-{slow}-{body.decode()}"
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, route, stage))
        counters, pairs = await asked(worker, route, 4)
        paired = counters.paired
        assert sum(paired.deltas) == pairs
        match slow:
            case "legacy":
                assert number(paired, -1.0, -0.1) == pairs
                assert paired.total <= -0.1 * pairs
            case "candidate":
                assert number(paired, 0.1, 1.0) == pairs
                assert paired.total >= 0.1 * pairs
            case "neither":
                assert number(paired, -0.1, 0.1) == pairs
        assert (paired.would_time_out, paired.legacy_errors, paired.candidate_errors) == (0, 0, 0)


@pytest.mark.parametrize("body", [b"same", b"othe"])
async def test_what_is_held_against_legacys_first_byte_is_the_first_byte_of_the_shadow(
    worker: Worker, body: bytes
) -> None:
    async def slow_to_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(ok(body)[:-1])
            await asyncio.sleep(0.5)
            writer.write(body[-1:])

    legacy, candidate, route = Upstream(ok(b"same")), Upstream(raw=slow_to_end), f"first-byte-{body.decode()}"
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, route, "shadow"))
        counters, pairs = await asked(worker, route, 2)
        assert counters.paired.total >= 0.4 * pairs  # to the end of the answer
        shadows = counters.shadow_durations["candidate"]
        assert sum(shadows.counts) == pairs > 0
        assert shadows.total < 0.5 * pairs  # to its head


async def test_connecting_is_in_neither_sides_time(worker: Worker) -> None:
    """The candidate closes after each answer and is far away; legacy's connection is kept."""
    legacy, candidate = sides(
        None, Act(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsame", "close")
    )
    async with legacy, candidate, await worker.connect() as client:
        await worker.apply(migration(legacy, candidate, "connecting", "shadow"))
        for _ in range(5):
            client.get()
            await client.answer()
        counters = await settled(worker, "connecting", 5)
        assert sum(counters.paired.deltas) == 5 - counters.shadow.get("dropped", 0)
        assert number(counters.paired, -0.1, 0.1) == sum(counters.paired.deltas)


async def test_a_client_that_reads_slowly_makes_no_slow_legacy(worker: Worker) -> None:
    """It holds legacy's answer back; so what legacy took is not known, and nothing is said of the difference."""
    legacy, candidate = sides(ok(b"x" * 40 * MIB), ok(b"x" * 40 * MIB))
    async with legacy, candidate:
        shadow = {"timeout": "30s"}
        await worker.apply(migration(legacy, candidate, "slow-reader", "shadow", shadow=shadow))
        async with await worker.connect(limit=65536) as client:
            client.get()
            await client.head()
            await asyncio.sleep(0.5)
            await client.exactly(40 * MIB)
        counters = await settled(worker, "slow-reader", 1)
        assert sum(counters.paired.deltas) == 0
        assert counters.matched == 1 - counters.shadow.get("dropped", 0)


async def test_a_client_that_reads_a_short_answer_late_changes_nothing(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "late-reader", "shadow"))
        for _ in range(3):
            async with await worker.connect() as client:
                client.get()
                await asyncio.sleep(0.3)
                await client.answer()
        counters = await settled(worker, "late-reader", 3)
        assert number(counters.paired, -0.1, 0.1) == 3 - counters.shadow.get("dropped", 0)


async def test_a_request_that_was_tried_twice_is_not_timed(worker: Worker) -> None:
    tries = iter([Act(ok(status="503 Busy"), delay=0.2), Act(ok(b"same"))] * 10)

    def twice(message: Message) -> Act:
        return next(tries)

    legacy, candidate = Upstream(twice), Upstream(ok(b"same"))
    async with legacy, candidate:
        document = migration(legacy, candidate, "twice", "shadow")
        document["upstreams"]["legacy"]["retries"] = {"attempts": 1, "on": [503], "backoff": "0s"}
        await worker.apply(document)
        counters, pairs = await asked(worker, "twice", 4)
        assert counters.retries == {"503": 4}
        assert counters.matched == pairs
        assert sum(counters.paired.deltas) == 0


@pytest.mark.parametrize(
    ("name", "legacy_reply", "candidate_reply", "expected"),
    [
        ("both", ok(status="500 No"), ok(status="503 No"), (0, 1, 1)),
        ("candidate", ok(), ok(status="500 No"), (0, 0, 1)),
        ("legacy", ok(status="500 No"), ok(), (0, 1, 0)),
        ("reset", ok(), Act(then="close"), (0, 0, 1)),
        ("broken", Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "close"), ok(), (0, 1, 0)),
        ("4xx", ok(status="404 No"), ok(status="400 No"), (0, 0, 0)),
        ("silent", ok(), Act(then="hang"), (1, 0, 1)),
        ("stops", ok(), Act(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "hang"), (1, 0, 1)),
        ("slow", ok(), Act(ok(), delay=0.3), (1, 0, 0)),
    ],
)
async def test_errors_and_timeouts_are_counted_for_the_side_that_had_them(
    worker: Worker, name: str, legacy_reply: Any, candidate_reply: Any, expected: tuple[int, int, int]
) -> None:
    legacy, candidate = sides(legacy_reply, candidate_reply)
    route = f"blame-{name}"
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": {"timeout": "700ms"}, "breaker": NO_BREAKER}
        document = migration(legacy, candidate, route, "shadow", **more)
        document["upstreams"]["candidate"]["timeouts"] = {"first_byte": "200ms"}
        await worker.apply(document)
        counters, pairs = await asked(worker, route, 3)
        paired = counters.paired
        found = (paired.would_time_out, paired.legacy_errors, paired.candidate_errors)
        assert found == tuple(pairs * each for each in expected)
        assert sum(paired.deltas) == (0 if name in ("reset", "broken", "silent", "stops") else pairs)


async def test_at_live_the_sides_are_the_other_way_round(worker: Worker) -> None:
    legacy, candidate = sides(ok(status="500 No"), Act(then="hang"))
    async with legacy, candidate:
        more: dict[str, Any] = {"fallback": {"on": []}, "breaker": NO_BREAKER}
        document = migration(legacy, candidate, "blame-live", "live", **more)
        document["upstreams"]["candidate"]["timeouts"] = {"first_byte": "200ms"}
        document["upstreams"]["legacy"]["timeouts"] = {"first_byte": "1ms"}  # legacy's own clock blames nobody here
        await worker.apply(document)
        counters, pairs = await asked(worker, "blame-live", 3)
        paired = counters.paired
        assert (paired.would_time_out, paired.legacy_errors, paired.candidate_errors) == (pairs, pairs, pairs)


async def test_dropped_shadows_are_not_measured(worker: Worker) -> None:
    legacy, candidate = sides(None, Act(then="hang"))
    async with legacy, candidate:
        shadow = {"max_in_flight": 0}
        await worker.apply(migration(legacy, candidate, "unmeasured", "shadow", shadow=shadow))
        counters, pairs = await asked(worker, "unmeasured", 3)
        assert pairs == 0
        assert counters.paired == Paired()
