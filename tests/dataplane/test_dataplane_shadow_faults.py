"""A candidate that is slow, silent or mad in the shadow: clients and legacy do not notice."""

import asyncio
import os
import random
import time
from typing import Any

import pytest
from faults import FaultProxy
from harness import NO_BREAKER, Act, Message, Upstream, Worker, migration, ok, running, until
from shadows import settled, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
SOAK_SECONDS = float(os.environ.get("BANYAN_SOAK", "3"))
"""How long a silent candidate is endured; the list of faults says ten minutes."""

NOISE_SECONDS = 0.015
"""What a busy machine adds to a median; the faults below would add hundreds of milliseconds."""

NO_SHADOW = {"sample": "0%"}


async def latencies(worker: Worker, number: int, target: str = "/", *fields: str) -> list[float]:
    """Seconds of so many requests one after the other, in order of size."""
    found = []
    async with await worker.connect() as client:
        for _ in range(number):
            begun = time.monotonic()
            client.get(target, *fields)
            assert (await client.answer()).body == b"same"
            found.append(time.monotonic() - begun)
    return sorted(found)


async def test_f10_a_slow_candidate_does_not_slow_the_client(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate, FaultProxy(candidate.port) as wire:
        wire.down.latency, wire.down.jitter = 0.2, 0.2
        await worker.apply(migration(legacy, wire.url, "unshadowed", "shadow", shadow=NO_SHADOW))
        alone = await latencies(worker, 300)
        await worker.apply(migration(legacy, wire.url, "slow", "shadow"))
        beside = await latencies(worker, 300)
        assert beside[150] < 3 * alone[150] + NOISE_SECONDS
        assert beside[296] < 3 * alone[296] + 10 * NOISE_SECONDS
        counters = await settled(worker, "slow", 300)
        assert counters.matched >= 10


@pytest.mark.timeout(60 + 2 * SOAK_SECONDS)
async def test_f11_a_silent_candidate_costs_nothing_but_its_bound(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate, FaultProxy(candidate.port) as wire:
        wire.up.stalled = wire.down.stalled = True
        await worker.apply(migration(legacy, wire.url, "unshadowed", "shadow", shadow=NO_SHADOW))
        alone = await latencies(worker, 300)
        shadow = {"timeout": "700ms", "max_in_flight": 20}
        await worker.apply(migration(legacy, wire.url, "silent", "shadow", shadow=shadow, breaker=NO_BREAKER))
        beside = await latencies(worker, 300)
        memory, descriptors, asked = worker.rss(), worker.descriptors(), 300
        end = time.monotonic() + SOAK_SECONDS
        while time.monotonic() < end:
            beside += await latencies(worker, 100)
            asked += 100
            assert (await worker.stats()).shadows_in_flight <= 20
            assert worker.descriptors() <= descriptors + 25
        beside.sort()
        assert beside[asked // 2] < 3 * alone[150] + NOISE_SECONDS
        assert beside[asked * 99 // 100] < 3 * alone[296] + 10 * NOISE_SECONDS
        assert worker.rss() - memory < 10 * MIB
        counters = await settled(worker, "silent", asked)
        assert counters.shadow["sent-to-comparator"] >= 20
        assert counters.shadow["sent-to-comparator"] + counters.shadow["dropped"] == asked
        assert counters.matched == 0


@pytest.mark.parametrize("stage", ["shadow", "live"])
async def test_f13_a_mad_candidate_does_not_flood_the_log(worker: Worker, stage: str) -> None:
    legacy, candidate = sides(None, Act(b"\x00\xff\r\ngarbage\r\n\r\n", "close"))
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": {"timeout": "400ms"}, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, candidate, f"mad-{stage}", stage, **more))
        lines, begun = worker.log().count("\n"), time.monotonic()
        await latencies(worker, 300)
        await settled(worker, f"mad-{stage}", 300)
        seconds = time.monotonic() - begun
        assert worker.log().count("\n") - lines <= 3 * (10 * seconds + 10)  # three kinds of event at most
        if stage == "live":
            await asyncio.sleep(1.1)
            await latencies(worker, 1)  # the next line tells of those that were not written
            assert '"suppressed":' in worker.log()


def ids(upstream: Upstream, *, shadow: bool) -> list[bytes]:
    """The ledger of a side: who was asked for, as its own answer or in the shadow."""
    found = [r for r in upstream.requests if (r.get("x-banyan-shadow") is not None) is shadow]
    return [r.get("x-id") or b"" for r in found]


async def test_f17_shadowed_writes_never_count_as_real_ones(worker: Worker) -> None:
    """Half of the customers write to the candidate, which fails now and then; the other half is shadowed there."""
    dice = random.Random(17)
    failures: list[bytes | Act] = [
        Act(then="reset"),
        Act(then="close"),
        ok(status="503 Busy"),
        Act(b"HTTP/1.1 200 OK\r\n", "close"),
    ]

    def moody(message: Message) -> bytes | Act:
        return ok(b"same") if dice.random() < 0.7 else dice.choice(failures)

    legacy, candidate = sides(None, moody)
    more: dict[str, Any] = {
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}},
        "canary": {"cohorts": ["staff"]},
        "shadow": {"methods": ["GET", "POST"], "unsafe": "accepted-by-candidate", "timeout": "1s", "reverse": True},
        "breaker": NO_BREAKER,
    }
    statuses: dict[bytes, int] = {}

    async def customer(n: int) -> None:
        for m in range(20):
            key = f"{n}-{m}"
            method = "GET" if m % 3 == 0 else "POST"
            fields = [f"X-Id: {key}", f"X-Staff: {n % 2}"]
            answer = await worker.ask("/", *fields, method=method, body=b"order" if method == "POST" else b"")
            if method == "POST":
                statuses[key.encode()] = answer.status
            else:
                assert answer.body == b"same"  # every read is rescued

    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "ledgers", "canary", **more))
        await asyncio.gather(*(customer(n) for n in range(10)))
        await settled(worker, "ledgers", 5 * 20 + 5 * 7)
        written = [i for side in (legacy, candidate) for i in ids(side, shadow=False) if i in statuses]
        assert len(written) == len(set(written))  # nothing twice
        assert {i for i, status in statuses.items() if status < 300} <= set(written)  # nothing lost
        shadows = set(ids(candidate, shadow=True))
        assert shadows
        assert not shadows & set(ids(candidate, shadow=False))
        assert shadows <= set(ids(legacy, shadow=False))
        assert not {i for i in ids(legacy, shadow=True) if i in statuses}  # legacy made no promise about writes


@pytest.mark.parametrize("how", ["shadow", "canary"])
async def test_f60_a_candidate_that_holds_all_its_connections_does_not_starve_legacy(worker: Worker, how: str) -> None:
    legacy, candidate = sides()
    more: dict[str, Any] = {
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}},
        "canary": {"cohorts": ["staff"]},
        "shadow": {"timeout": "30s", "max_in_flight": 100} if how == "shadow" else NO_SHADOW,
        "fallback": {"on": []},
    }
    async with legacy, candidate, FaultProxy(candidate.port) as wire:
        document = migration(legacy, wire.url, f"starved-{how}", "canary", **more)
        document["routes"].append({"id": "beside", "match": {"path": "/beside"}})
        for upstream in document["upstreams"].values():
            upstream["bulkhead"] = {"max_concurrent": 100, "queue": 0, "shadow": 100}
        await worker.apply(document)
        alone = await latencies(worker, 300, "/beside")
        wire.up.stalled = True
        hung = [await worker.connect() for _ in range(100)]
        for client in hung:
            client.get("/", f"X-Staff: {int(how == 'canary')}")
        if how == "shadow":
            assert {(await client.answer()).body for client in hung} == {b"same"}
            for _ in range(300):  # in the place of those that a busy machine dropped
                if wire.open >= 90:
                    break
                await latencies(worker, 5)
        await until(lambda: wire.open >= 90)
        for target in ("/beside", "/"):
            beside = await latencies(worker, 300, target)
            assert beside[150] < 3 * alone[150] + NOISE_SECONDS
            assert beside[296] < 3 * alone[296] + 10 * NOISE_SECONDS
        for client in hung:
            await client.close()
        wire.heal()


async def test_an_endless_candidate_in_tiny_chunks_leaves_the_clients_the_event_loop() -> None:
    async def tiny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:  # a few bytes of answer cost as much as thousands
            writer.write(b"2\r\nab\r\n" * 10_000)
            await writer.drain()

    async with Upstream() as legacy, Upstream(raw=tiny) as candidate, running() as worker:
        shadow = {"timeout": "20s", "max_body": "10MiB"}
        await worker.apply(migration(legacy, candidate, "tiny-chunks", "shadow", shadow=shadow, breaker=NO_BREAKER))
        for _ in range(10):
            await worker.ask()
        await until(lambda: candidate.connections)
        for _ in range(50):
            assert (await worker.ask(method="POST", body=b"x")).status == 200
        counters = await worker.route("tiny-chunks")
        assert set(counters.shadow) <= {"dropped"}  # those that began are not over: nobody waited for them
        assert set(counters.shadow_dropped) <= {"loop-lag"}
