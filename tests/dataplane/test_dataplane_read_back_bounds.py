"""Reading back after writes under load and failure: it waits, it is bounded, and nobody ever sees a write twice."""

import asyncio
import random
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Upstream, Worker, ok, running
from read_backs import SAFE, asked_back, kept, read_back, reading, reads, served, writes
from shadows import mine, sides

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_reads_wait_for_their_delay_and_for_the_clients_answer(worker: Worker) -> None:
    times: dict[bytes, float] = {}

    def reply(message: Message) -> bytes:
        times.setdefault(message.target, asyncio.get_running_loop().time())
        return ok(b"state")

    legacy, candidate = Upstream(reply), Upstream(ok(b"state"))
    async with legacy, candidate:
        shadow = reading({"path": "/late", "delay": "700ms"}, {"path": "/soon", "delay": "200ms"}, "/now")
        await worker.apply(asked_back(legacy, candidate, "delays", "shadow", shadow=shadow))
        await worker.ask("/write", method="POST", body=b"{}")
        answered = asyncio.get_running_loop().time()
        assert list(times) == [b"/write"]
        assert (await read_back(worker, "delays", 3))["read-back"] == 3
        assert list(times) == [b"/write", b"/now", b"/soon", b"/late"]
        assert times[b"/soon"] - times[b"/write"] >= 0.2
        assert times[b"/late"] - times[b"/write"] >= 0.7
        assert times[b"/now"] > times[b"/write"]
        assert answered < times[b"/soon"]


@pytest.mark.parametrize("slow", ["legacy", "candidate"])
async def test_reads_of_a_side_that_hangs_hurt_no_client_and_are_bounded(worker: Worker, slow: str) -> None:
    hanging = Upstream(lambda m: Act(then="hang") if m.get("x-banyan-shadow") else ok(b"state"))
    legacy, candidate = (hanging, Upstream(ok(b"state"))) if slow == "legacy" else (Upstream(ok(b"state")), hanging)
    route = f"hangs-{slow}"
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": reading("/state", timeout="800ms", max_in_flight=10)}
        document = asked_back(legacy, candidate, route, "shadow", breaker=NO_BREAKER, **more)
        document["upstreams"]["legacy"]["breaker"] = NO_BREAKER
        await worker.apply(document)
        async with await worker.connect() as client:
            for _ in range(100):
                client.get("/a", method="POST", body=b"{}")
                assert (await client.answer()).body == b"state"
        counters = await worker.route_when(route, lambda c: sum(c.shadow.values()) >= 100)
        assert counters.shadow_dropped["concurrency"] >= 60 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.shadow.get("read-back", 0) + counters.shadow["dropped"] == 100
        assert counters.requests == {"POST 200 legacy": 100}
        for pair in mine(worker, route):
            assert (pair.legacy.failure, pair.candidate.failure) == (
                ("first-byte-timeout", "") if slow == "legacy" else ("", "first-byte-timeout")
            )
        assert (await worker.stats()).shadows_in_flight == 0


async def test_reads_stop_where_the_breaker_of_either_side_is_open(worker: Worker) -> None:
    legacy = Upstream(ok(b"state"))
    async with legacy, Upstream(Act(then="close")) as candidate:
        breaker = {"consecutive_failures": 3, "open": "60s"}
        shadow = reading("/state")
        await worker.apply(asked_back(legacy, candidate, "opened", "shadow", shadow=shadow, breaker=breaker))
        for number in range(1, 9):
            await worker.ask("/a", method="POST", body=b"{}")
            counters = await worker.route_when("opened", lambda c, number=number: sum(c.shadow.values()) >= number)
        assert counters.shadow_dropped["breaker-open"] >= 2
        assert len(reads(legacy)) == counters.shadow["read-back"] <= 6  # legacy is not asked for nothing


async def test_a_waiting_write_holds_no_more_than_its_head_and_is_given_back(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"state"), ok(b"state"))
    async with legacy, candidate:
        shadow = reading({"path": "/state", "delay": "1s"})
        document = asked_back(legacy, candidate, "waiting", "shadow", shadow=shadow, shadow_memory="1MiB")
        await worker.apply(document)
        body = b"x" * 200_000
        answers = await asyncio.gather(*(worker.ask("/a", method="POST", body=body) for _ in range(30)))
        assert {answer.status for answer in answers} == {200}
        found = await read_back(worker, "waiting", 30)
        assert found["memory"] == 0  # the bodies would have been six times that
        assert found["read-back"] >= 10
        assert (await worker.stats()).shadows_in_flight == 0


async def test_writes_that_wait_are_bounded() -> None:
    legacy, candidate = sides(ok(b"state"), ok(b"state"))
    async with legacy, candidate, running() as worker:
        shadow = reading({"path": "/state", "delay": "60s"})
        await worker.apply(asked_back(legacy, candidate, "crowd", "shadow", shadow=shadow))

        async def some(number: int) -> None:
            async with await worker.connect() as client:
                for _ in range(number):
                    client.get("/a", method="POST", body=b"{}")
                    await client.answer()

        await asyncio.gather(*(some(150) for _ in range(8)))
        counters = await worker.route("crowd")
        assert counters.shadow_dropped["concurrency"] == 1200 - 1024
        assert (await worker.stats()).shadows_in_flight == 1024


async def test_long_answers_to_reads_are_compared_by_digest(worker: Worker) -> None:
    legacy = Upstream(lambda m: ok(b"x" * 3_000_000) if m.method in SAFE else ok())
    candidate = Upstream(lambda m: ok(b"x" * (3_000_000 - (m.target == b"/b")) + b"y" * (m.target == b"/b")))
    async with legacy, candidate:
        shadow = reading("/a", "/b", max_body="100KiB")
        await worker.apply(asked_back(legacy, candidate, "long-reads", "shadow", shadow=shadow))
        await worker.ask("/", method="POST", body=b"{}")
        assert (await read_back(worker, "long-reads", 2))["read-back"] == 2
        assert (await worker.route("long-reads")).matched == 1
        (pair,) = mine(worker, "long-reads")
        assert (pair.target, pair.legacy.size, pair.candidate.size) == (b"/b", 3_000_000, 3_000_000)
        assert pair.legacy.digest != pair.candidate.digest


async def test_reads_enter_no_figure_of_the_writes_time(worker: Worker) -> None:
    legacy, candidate = sides(ok(b"state"), lambda m: Act(ok(b"state", status="500 No"), delay=0.1))
    async with legacy, candidate:
        await worker.apply(asked_back(legacy, candidate, "unpaired", "shadow", shadow=reading("/state")))
        await worker.ask("/", method="POST", body=b"{}")
        assert (await read_back(worker, "unpaired"))["read-back"] == 1
        paired = (await worker.route("unpaired")).paired
        assert (sum(paired.deltas), paired.candidate_errors, paired.would_time_out) == (0, 0, 0)


async def test_f17_under_a_thousand_writes_neither_side_sees_one_that_it_would_not_have_seen(worker: Worker) -> None:
    """Half of the customers write to the candidate, half to legacy; both sides fail now and then, clients leave."""
    dice = random.Random(17)

    def moody(message: Message) -> bytes | Act:
        if dice.random() < 0.85:
            return kept({"id": (message.get("x-id") or b"").decode()}) if message.method not in SAFE else ok(b"state")
        return dice.choice([Act(then="reset"), Act(then="close"), ok(status="503 Busy"), Act(ok(b"late"), delay=0.1)])

    legacy, candidate = Upstream(moody), Upstream(moody)
    more: dict[str, Any] = {
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}},
        "canary": {"cohorts": ["staff"]},
        "shadow": reading("/orders/{$.id}", "/orders/{order_id}", methods=["GET"], reverse=True, timeout="1s"),
        "compare": {"noise": {"sample": "50%"}},
        "breaker": NO_BREAKER,
    }
    statuses: dict[bytes, int] = {}
    arms: dict[bytes, int] = {}

    async def customer(number: int) -> None:
        for turn in range(50):
            key = f"{number}-{turn}"
            arms[key.encode()] = number % 2
            fields = [f"X-Id: {key}", f"X-Staff: {number % 2}"]
            method = ("POST", "PUT", "PATCH", "DELETE")[turn % 4]
            async with await worker.connect() as client:
                client.get(f"/orders/{key}", *fields, method=method, body=b"{}")
                if turn % 10 == 9:
                    continue  # it does not wait
                statuses[key.encode()] = (await client.answer()).status
            await worker.ask(f"/orders/{key}", *fields)

    async with legacy, candidate:
        document = asked_back(legacy, candidate, "ledger", "canary", **more)
        await worker.apply(served("ledger", document))
        await asyncio.gather(*(customer(number) for number in range(20)))
        while (await worker.stats()).shadows_in_flight:
            pass
        seen = {side: [m.get("x-id") or b"" for m in writes(side)] for side in (legacy, candidate)}
        assert not any(m.get("x-banyan-shadow") for side in (legacy, candidate) for m in writes(side))
        for staff, side in ((0, legacy), (1, candidate)):
            assert {arms[key] for key in seen[side]} == {staff}  # nobody saw a write of the others
            assert len(seen[side]) == len(set(seen[side]))  # and nothing twice
        assert {key for key, status in statuses.items() if status < 300} <= {*seen[legacy], *seen[candidate]}
        assert sum(1 for m in reads(candidate) if m.get("x-banyan-shadow")) > 100
        assert all(m.method == b"GET" for side in (legacy, candidate) for m in side.heads if m.get("x-banyan-shadow"))
