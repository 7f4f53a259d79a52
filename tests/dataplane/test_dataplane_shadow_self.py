"""Legacy compared with itself: a share of the shadows goes there, within legacy's bounds, and says nothing of the
candidate."""

import asyncio
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Message, Worker, migration, ok
from shadows import mine, sides

from proxy.messages import RouteCounters

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALWAYS = {"noise": {"sample": "100%"}}


def marked(message: Message) -> bool:
    return message.get("x-banyan-shadow") == b"1"


async def done(worker: Worker, route: str, number: int) -> RouteCounters:
    """The counters when so many requests have come to their one end."""
    counters = await worker.route_when(route, lambda c: sum(c.shadow.values()) >= number)
    assert sum(counters.shadow.values()) == number
    assert counters.shadow.get("dropped", 0) == sum(counters.shadow_dropped.values())
    return counters


async def test_equal_answers_of_legacy_are_counted_apart_and_go_nowhere(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "itself", "shadow", compare=ALWAYS))
        for method in ("GET", "HEAD", "OPTIONS") * 3:
            assert (await worker.ask(method=method)).status == 200
        counters = await done(worker, "itself", 9)
        lagged = counters.shadow_dropped.get("loop-lag", 0)
        assert (counters.matched, counters.self_matched) == (0, 9 - lagged)
        assert counters.shadow.get("self", 0) == 9 - lagged
        assert candidate.connections == 0
        assert sum(map(marked, legacy.requests)) == 9 - lagged
        assert len(legacy.requests) == 18 - lagged
        assert mine(worker, "itself") == []


async def test_unequal_answers_of_legacy_make_a_pair_of_their_own_kind(worker: Worker) -> None:
    legacy, candidate = sides(lambda m: ok(b"copy") if marked(m) else ok(b"real"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "noisy", "shadow", compare=ALWAYS))
        for _ in range(5):
            await worker.ask("/a?b")
        counters = await done(worker, "noisy", 5)
        pairs = mine(worker, "noisy")
        assert len(pairs) == counters.shadow.get("self", 0) == 5 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.self_matched == counters.matched == 0
        for pair in pairs:
            assert (pair.purpose, pair.arm, pair.target) == ("self", "legacy", b"/a?b")
            assert (pair.legacy.body, pair.candidate.body) == (b"real", b"copy")


async def test_legacy_with_itself_enters_no_figure_of_the_candidate(worker: Worker) -> None:
    legacy, candidate = sides(lambda m: ok(b"slow", status="500 No") if marked(m) else ok(b"same"))
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "apart", "shadow", compare=ALWAYS))
        for _ in range(5):
            await worker.ask()
        counters = await done(worker, "apart", 5)
        paired = counters.paired
        assert (sum(paired.deltas), paired.would_time_out, paired.legacy_errors, paired.candidate_errors) == (0,) * 4
        assert all(compared == 0 for _, compared in counters.coverage.values())


async def test_the_share_is_of_the_shadowed_requests(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        compare = {"noise": {"sample": "50%"}}
        await worker.apply(migration(legacy, candidate, "half", "shadow", compare=compare))
        async with await worker.connect() as client:
            for _ in range(80):
                client.get()
                await client.answer()
        counters = await done(worker, "half", 80)
        assert counters.matched == len(candidate.requests) >= 10
        assert counters.self_matched == sum(map(marked, legacy.requests)) >= 10


@pytest.mark.parametrize("more", [{}, {"X-HTTP-Method-Override": "DELETE"}, {"X_Http_Method": "PUT"}])
async def test_legacy_is_never_asked_twice_for_what_may_write(worker: Worker, more: dict[str, str]) -> None:
    legacy, candidate = sides()
    route = f"once-{len(''.join(more))}"
    methods = ("GET",) if more else ("POST", "PUT", "PATCH", "DELETE", "PROPFIND")
    async with legacy, candidate:
        shadow = {"methods": ["GET", "POST", "PUT", "PATCH", "DELETE"], "unsafe": "accepted-by-candidate"}
        await worker.apply(migration(legacy, candidate, route, "shadow", shadow=shadow, compare=ALWAYS))
        for method in methods * 2:
            fields = [f"{name}: {value}" for name, value in more.items()]
            await worker.ask("/", *fields, method=method, body=b"x" if method != "GET" else b"")
        await asyncio.sleep(0.2)
        assert len(legacy.requests) == 2 * len(methods)
        assert not any(map(marked, legacy.requests))
        assert (await worker.route(route)).self_matched == 0


@pytest.mark.parametrize("stage", ["live", "retired", "legacy"])
async def test_only_what_legacy_answers_is_compared_with_itself(worker: Worker, stage: str) -> None:
    legacy, candidate = sides()
    route = f"itself-at-{stage}"
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, route, stage, compare=ALWAYS))
        for _ in range(4):
            await worker.ask()
        await asyncio.sleep(0.2)
        counters = await worker.route(route)
        assert (counters.self_matched, counters.shadow.get("self", 0)) == (0, 0)


async def test_a_legacy_that_hangs_in_the_shadow_hurts_no_client_and_is_bounded(worker: Worker) -> None:
    legacy, candidate = sides(lambda m: Act(then="hang") if marked(m) else ok(b"same"))
    async with legacy, candidate:
        more: dict[str, Any] = {"shadow": {"timeout": "1s", "max_in_flight": 50}, "compare": ALWAYS}
        document = migration(legacy, candidate, "itself-hangs", "shadow", **more)
        document["upstreams"]["legacy"] |= {"bulkhead": {"shadow": 3}, "breaker": NO_BREAKER}
        await worker.apply(document)
        async with await worker.connect() as client:
            for _ in range(100):
                client.get()
                assert (await client.answer()).body == b"same"
            assert (await worker.stats()).shadows_in_flight <= 3
        assert sum(map(marked, legacy.heads)) <= 6  # three at once, and perhaps three more a second later
        counters = await done(worker, "itself-hangs", 100)
        assert counters.shadow_dropped["bulkhead"] >= 90 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.requests == {"GET 200 legacy": 100}
        assert {pair.candidate.failure for pair in mine(worker, "itself-hangs")} == {"first-byte-timeout"}


async def test_a_legacy_that_fails_in_the_shadow_is_left_alone_and_still_serves(worker: Worker) -> None:
    legacy, candidate = sides(lambda m: Act(then="close") if marked(m) else ok(b"same"))
    async with legacy, candidate:
        document = migration(legacy, candidate, "itself-fails", "shadow", compare=ALWAYS)
        document["upstreams"]["legacy"]["breaker"] = {"consecutive_failures": 3, "open": "60s"}
        await worker.apply(document)
        for _ in range(12):
            assert (await worker.ask()).body == b"same"
        counters = await done(worker, "itself-fails", 12)
        assert counters.shadow_dropped["breaker-open"] >= 1
        assert sum(map(marked, legacy.heads)) <= 8
        assert counters.fallbacks == {}


async def test_no_shadow_goes_to_an_upstream_for_which_clients_queue(worker: Worker) -> None:
    legacy, candidate = sides(lambda m: ok(b"same") if marked(m) else Act(ok(b"same"), delay=0.1))
    async with legacy, candidate:
        document = migration(legacy, candidate, "queued", "shadow", compare=ALWAYS)
        document["upstreams"]["legacy"]["bulkhead"] = {"max_concurrent": 1, "queue": 50, "queue_timeout": "10s"}
        await worker.apply(document)
        answers = await asyncio.gather(*(worker.ask() for _ in range(12)))
        assert {answer.status for answer in answers} == {200}
        counters = await done(worker, "queued", 12)
        assert counters.shadow_dropped["bulkhead"] >= 8 - counters.shadow_dropped.get("loop-lag", 0)


@pytest.mark.parametrize("noise", ["0%", "100%"])
async def test_a_contract_that_changed_is_compared_by_the_comparator_also_when_the_bytes_are_the_same(
    worker: Worker, noise: str
) -> None:
    legacy, candidate = sides()
    route = f"renamed-{noise[:-1]}"
    async with legacy, candidate:
        compare = {"rename": {"$.a": "$.b"}, "noise": {"sample": noise}}
        await worker.apply(migration(legacy, candidate, route, "shadow", compare=compare))
        for _ in range(4):
            await worker.ask()
        counters = await done(worker, route, 4)
        came = 4 - counters.shadow_dropped.get("loop-lag", 0)
        assert counters.matched == 0
        if noise == "0%":
            assert len(mine(worker, route)) == counters.shadow.get("sent-to-comparator", 0) == came
        else:
            assert counters.self_matched == came  # legacy's contract with itself did not change
