"""A request of a safe method that names another one in a field may be a write: nobody gets it twice."""

import asyncio

import pytest
from harness import Act, Upstream, Worker, migration, ok

pytestmark = pytest.mark.asyncio(loop_scope="module")

DISGUISES = ("X-HTTP-Method-Override: DELETE", "x_http_method: PUT")


@pytest.mark.parametrize("stage", ["shadow", "live"])
async def test_it_is_copied_to_neither_side(worker: Worker, stage: str) -> None:
    async with Upstream() as legacy, Upstream() as candidate:
        route = f"disguised-{stage}"
        await worker.apply(migration(legacy, candidate, route, stage, compare={"noise": {"sample": "0%"}}))
        for field in DISGUISES:
            assert (await worker.ask("/", field)).status == 200
        assert (await worker.ask("/")).status == 200
        await worker.route_when(route, lambda c: sum(c.shadow.values()) == 1)
        mine, other = (candidate, legacy) if stage == "live" else (legacy, candidate)
        assert len(mine.requests) == 3
        assert [message.get("x-http-method-override") for message in mine.requests] == [b"DELETE", None, None]
        assert len(other.requests) <= 1  # none, if the event loop was late


async def test_legacy_does_not_repeat_what_the_candidate_may_have_done(worker: Worker) -> None:
    async with Upstream() as legacy, Upstream(lambda _: Act(then="close")) as candidate:
        more = {"breaker": {"consecutive_failures": 50, "min_requests": 1000}}
        document = migration(legacy, candidate, "disguised-fallback", "live", shadow={"sample": "0%"})
        document["upstreams"]["candidate"] |= more
        await worker.apply(document)
        assert (await worker.ask("/")).status == 200
        assert len(legacy.requests) == 1
        for field in DISGUISES:
            assert (await worker.ask("/", field)).status == 502
        assert len(legacy.requests) == 1
        assert len(candidate.heads) == 3


async def test_a_kept_connection_that_dies_is_not_replaced_for_it(worker: Worker) -> None:
    def answer(message: object) -> bytes | Act:
        return ok(b"1") if len(legacy.requests) == 1 else Act(then="close")

    async with Upstream(answer) as legacy:
        await worker.apply(migration(legacy, legacy, "disguised-stale", "legacy"))
        assert (await worker.ask("/")).status == 200
        assert (await worker.ask("/", DISGUISES[0])).status == 502
        await asyncio.sleep(0.1)
        assert len(legacy.heads) == 2
