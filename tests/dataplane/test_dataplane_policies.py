"""What an upstream's settings do in a running worker, where each is also tested by itself in tests/core."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from harness import NO_BREAKER, Act, Upstream, Worker, migration, ok, until
from shadows import settled

from proxy.messages import BreakerFigures

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_SHADOW = {"sample": "0%"}
FAILING = ok(b"no", status="503 Busy")


async def breaker(worker: Worker, route: str, purpose: str = "traffic") -> BreakerFigures:
    figures = (await worker.stats()).breakers
    return next(b for b in figures if (b.route, b.upstream, b.purpose) == (route, "candidate", purpose))


# -- retries ----------------------------------------------------------------------------------------------------------


async def test_a_retry_waits_as_long_as_the_answer_asked_for(worker: Worker) -> None:
    at: list[float] = []

    def busy_once(_: object) -> bytes:
        at.append(time.monotonic())
        return ok(b"no", "Retry-After: 1", status="503 Busy") if len(at) == 1 else ok()

    async with Upstream() as legacy, Upstream(busy_once) as candidate:
        more: dict[str, Any] = {"retries": {"on": [503], "backoff": "1ms"}, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, candidate, "waits", "retired", shadow=NO_SHADOW, **more))
        assert (await worker.ask()).status == 200
        assert at[1] - at[0] >= 1.0
        assert legacy.requests == []


async def test_no_client_waits_for_a_retry_after_when_legacy_can_answer_at_once(worker: Worker) -> None:
    busy = ok(b"no", "Retry-After: 2", status="503 Busy")
    async with Upstream(ok(b"legacy")) as legacy, Upstream(busy) as candidate:
        more: dict[str, Any] = {"retries": {"on": [503]}, "breaker": NO_BREAKER}
        await worker.apply(migration(legacy, candidate, "no-wait", "live", shadow=NO_SHADOW, **more))
        assert (await worker.ask()).body == b"legacy"
        assert len(candidate.requests) == 1
        assert (await worker.route("no-wait")).fallbacks == {"5xx": 1}


async def test_no_retry_if_the_deadline_leaves_no_time_for_the_wait_and_legacy_answers_at_once(worker: Worker) -> None:
    busy = ok(b"no", "Retry-After: 60", status="503 Busy")
    async with Upstream(ok(b"legacy")) as legacy, Upstream(busy) as candidate:
        more: dict[str, Any] = {"retries": {"on": [503]}, "breaker": NO_BREAKER, "timeouts": {"total": "5s"}}
        await worker.apply(migration(legacy, candidate, "no-time", "live", shadow=NO_SHADOW, **more))
        begun = time.monotonic()
        assert (await worker.ask()).body == b"legacy"
        assert time.monotonic() - begun < 2.0
        assert len(candidate.requests) == 1


@pytest.mark.parametrize(
    ("on", "act", "tries"),
    [
        ("timeout", Act(then="hang"), 3),
        ("connect-failure", Act(then="hang"), 1),
        ("invalid-response", Act(b"garbage\r\n\r\n", "close"), 3),
        (429, Act(ok(b"no", status="429 Slow down")), 3),
    ],
)
async def test_only_the_classes_that_are_named_are_tried_again(
    worker: Worker, on: str | int, act: Act, tries: int
) -> None:
    async with Upstream() as legacy, Upstream(act) as candidate:
        more: dict[str, Any] = {
            "retries": {"on": [on], "attempts": 2, "backoff": "1ms"},
            "timeouts": {"first_byte": "200ms"},
            "breaker": NO_BREAKER,
        }
        await worker.apply(migration(legacy, candidate, f"class-{on}", "retired", shadow=NO_SHADOW, **more))
        await worker.ask()
        assert len(candidate.requests) == tries


# -- breakers ---------------------------------------------------------------------------------------------------------


async def test_a_breaker_that_observes_counts_and_tells_and_lets_everything_pass(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(FAILING) as candidate:
        settings = {"mode": "observe", "consecutive_failures": 3}
        await worker.apply(migration(legacy, candidate, "observe", "retired", shadow=NO_SHADOW, breaker=settings))
        assert [(await worker.ask()).status for _ in range(10)] == [503] * 10
        assert len(candidate.requests) == 10
        found = await breaker(worker, "observe")
        assert (found.state, found.opened, found.refused, found.mode) == ("open", 1, 7, "observe")
        await until(lambda: [e.after for e in worker.events if e.route == "observe"] == ["open"])


async def test_an_error_share_opens_it_although_some_succeed(worker: Worker) -> None:
    answers = [FAILING, ok()] * 100  # taken from the end

    async with Upstream(ok(b"legacy")) as legacy, Upstream(lambda _: answers.pop()) as candidate:
        settings = {"consecutive_failures": 0, "error_share": "50%", "min_requests": 10}
        await worker.apply(migration(legacy, candidate, "share", "live", shadow=NO_SHADOW, breaker=settings))
        for _ in range(20):
            assert (await worker.ask()).status == 200
        assert len(candidate.requests) == 10
        assert (await worker.route("share")).fallbacks == {"5xx": 5, "breaker-open": 10}


async def test_the_breaker_of_shadows_stops_shadows_and_nothing_else(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(FAILING) as candidate:
        more: dict[str, Any] = {"breaker": {"consecutive_failures": 3}, "overload": {"shadow_lag": "0s"}}
        await worker.apply(migration(legacy, candidate, "dark", "shadow", **more))
        for n in range(1, 9):
            assert (await worker.ask()).status == 200
            await settled(worker, "dark", n)
        assert len(candidate.requests) == 3
        assert (await worker.route("dark")).shadow_dropped == {"breaker-open": 5}
        assert (await breaker(worker, "dark", "shadow")).state == "open"
        assert (await breaker(worker, "dark")).state == "closed"


# -- bulkheads --------------------------------------------------------------------------------------------------------


async def test_an_adaptive_bound_sheds_what_a_slow_upstream_does_not_bear(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(Act(ok(), delay=0.3)) as candidate:
        more: dict[str, Any] = {
            "adaptive_concurrency": {"min": 4, "max": 4},
            "bulkhead": {"queue": 0},
            "breaker": NO_BREAKER,
        }
        await worker.apply(migration(legacy, candidate, "adaptive", "retired", shadow=NO_SHADOW, **more))
        found = Counter(answer.status for answer in await asyncio.gather(*(worker.ask() for _ in range(20))))
        assert found == {200: 4, 503: 16}
        assert (await worker.stats()).upstreams["candidate"].limit == 4


async def test_shadows_on_one_upstream_have_a_bound_over_all_routes(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(Act(then="hang")) as candidate:
        more: dict[str, Any] = {"bulkhead": {"shadow": 2}, "overload": {"shadow_lag": "0s"}}
        await worker.apply(migration(legacy, candidate, "dim", "shadow", **{"shadow": {"timeout": "1s"}, **more}))
        for _ in range(6):
            assert (await worker.ask()).status == 200
        counters = await settled(worker, "dim", 6)
        assert counters.shadow_dropped == {"bulkhead": 4}


# -- drills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"), [({"abort": 503}, "5xx"), ({"reset": True}, "reset"), ({"delay": "5s"}, "timeout")]
)
async def test_a_drill_is_felt_by_those_who_are_meant_and_legacy_answers_them(
    worker: Worker, fault: dict[str, Any], reason: str
) -> None:
    async with Upstream(ok(b"legacy")) as legacy, Upstream(ok(b"candidate")) as candidate:
        for_staff = {**fault, "cohorts": ["staff"], "header": {"X-Drill": "1"}}
        document = migration(
            legacy, candidate, f"drill-{reason}", "live", shadow=NO_SHADOW, drills="allowed", faults=[for_staff],
            cohorts={"staff": {"header": {"X-Staff": "1"}}}, timeouts={"first_byte": "300ms"},
            breaker={"consecutive_failures": 1},
        )  # fmt: skip
        await worker.apply(document)
        for fields in ((), ("X-Staff: 1",), ("X-Drill: 1",)):
            assert (await worker.ask("/", *fields)).body == b"candidate"
        assert (await worker.ask("/", "X-Staff: 1", "X-Drill: 1")).body == b"legacy"
        assert len(candidate.requests) == 3
        assert (await worker.route(f"drill-{reason}")).fallbacks == {reason: 1}
        assert (await breaker(worker, f"drill-{reason}")).state == "closed"


async def test_a_drill_has_a_share(worker: Worker) -> None:
    async with Upstream(ok(b"legacy")) as legacy, Upstream(ok(b"candidate")) as candidate:
        more: dict[str, Any] = {"drills": "allowed", "faults": [{"abort": 503, "share": "50%"}]}
        await worker.apply(migration(legacy, candidate, "half", "live", shadow=NO_SHADOW, **more))
        found = Counter([(await worker.ask()).body for _ in range(200)])
        assert 50 < found[b"legacy"] < 150
