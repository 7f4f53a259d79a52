"""How upstreams stand, over workers and over their deaths."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.control import protection as protection_module
from proxy.control.protection import BREAKER_STATES, Breaker, Protection, Upstream
from proxy.control.protection_views import MAX_ENDPOINTS, breakers, upstreams
from proxy.messages import BreakerFigures, EndpointFigures, UpstreamFigures, WorkerStats


def breaker(
    state: str = "closed", route: str = "a", opened: int = 1, refused: int = 2, **more: object
) -> BreakerFigures:
    given = {"purpose": "traffic", "mode": "enforce", "open_seconds": 0.0, **more}
    return BreakerFigures(route=route, upstream="orders", state=state, opened=opened, refused=refused, **given)  # type: ignore[arg-type]  # a helper


def upstream(
    endpoints: dict[str, EndpointFigures] | None = None, limit: int = 100, *, panic: bool = False
) -> UpstreamFigures:
    return UpstreamFigures(3, 1, limit, 2, 5, 1, 4, panic, endpoints or {})


def endpoint(state: str = "fit", ejections: int = 0) -> EndpointFigures:
    return EndpointFigures(1, 2, state, ejections)


def worker(pid: int, *of: BreakerFigures, dropped: int = 0, **named: UpstreamFigures) -> WorkerStats:
    return WorkerStats(
        worker=pid, pid=pid, generation=1, draining=False, connections=1, in_flight=0, lag_seconds=0.0,
        shadows_in_flight=0, routes={}, refused={}, ambiguous=0, breakers=list(of), upstreams=named,
        access_log_dropped=dropped,
    )  # fmt: skip


def only(protection: Protection, now: float = 0.0) -> Breaker:
    (found,) = protection.breakers(now)
    return found


def orders(protection: Protection) -> Upstream:
    (found,) = protection.upstreams()
    return found


def test_worst_state_is_told_with_how_many_workers_are_in_which() -> None:
    protection = Protection()
    for pid, state in enumerate(("closed", "half-open", "closed")):
        protection.update(worker(pid, breaker(state)), 0.0)
    assert only(protection)[3:6] == ("enforce", "half-open", {"closed": 2, "half-open": 1})
    protection.update(worker(2, breaker("open", open_seconds=20.0)), 0.0)
    found = only(protection)
    assert (found.state, found.open_seconds) == ("open", 20.0)
    assert (found.opened, found.refused) == (3, 6)


def test_time_runs_from_when_it_left_closed_over_its_probes_to_when_it_closed() -> None:
    protection = Protection()
    protection.update(worker(1, breaker("open")), 10.0)
    protection.update(worker(1, breaker("half-open")), 20.0)
    protection.update(worker(1, breaker("open")), 30.0)
    protection.update(worker(2, breaker("open")), 35.0)
    assert only(protection, 40.0).seconds == 30.0
    protection.update(worker(1, breaker("closed")), 41.0)
    assert only(protection, 45.0).seconds == 10.0
    protection.update(worker(2, breaker("closed")), 46.0)
    assert only(protection, 50.0).seconds == 0.0


def test_shadow_and_traffic_have_breakers_of_their_own() -> None:
    protection = Protection()
    protection.update(worker(1, breaker("open"), breaker("closed", purpose="shadow")), 0.0)
    assert [(one.purpose, one.state) for one in protection.breakers(0.0)] == [("shadow", "closed"), ("traffic", "open")]


def test_counters_outlive_their_worker_and_states_do_not() -> None:
    protection = Protection()
    protection.update(
        worker(1, breaker("open"), dropped=7, orders=upstream({"http://a:1": endpoint("ejected", 3)})), 0.0
    )
    protection.retire(1)
    assert only(protection) == Breaker("a", "orders", "traffic", "", "", {}, 0.0, 0.0, 1, 2)
    assert breakers(protection) == []
    assert (orders(protection).overflows, orders(protection).in_flight, orders(protection).endpoints) == (5, 0, [])
    protection.update(worker(2, breaker(), dropped=1, orders=upstream({"http://a:1": endpoint("fit", 1)})), 9.0)
    assert (only(protection).opened, only(protection).state, only(protection, 99.0).seconds) == (2, "closed", 0.0)
    found = orders(protection)
    assert (found.overflows, found.retries_refused, found.endpoints[0].ejections) == (10, 8, 4)
    assert protection.access_log_dropped() == 8


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from(BREAKER_STATES), st.booleans())))
def test_counters_never_go_back(steps: list[tuple[int, int, str, bool]]) -> None:
    protection = Protection()
    counted: dict[int, int] = {}
    total, before = 0, 0
    for pid, more, state, dies in steps:
        counted[pid] = counted.get(pid, 0) + more
        total += more
        protection.update(worker(pid, breaker(state, opened=counted[pid])), 0.0)
        if dies:
            protection.retire(pid)
            del counted[pid]
        now = only(protection).opened
        assert now == total >= before
        before = now


def test_bulkheads_of_all_workers_are_added_up() -> None:
    protection = Protection()
    for pid in (1, 2):
        protection.update(worker(pid, orders=upstream(panic=pid == 2)), 0.0)
    found = orders(protection)
    assert (found.in_flight, found.queued, found.limit, found.shadows_in_flight) == (6, 2, 200, 4)
    assert (found.retries_in_flight, found.panic) == (2, True)
    protection.update(worker(2, orders=upstream(limit=0)), 0.0)
    assert orders(protection).limit == 0


def test_endpoint_is_as_fit_as_the_worker_that_thinks_worst_of_it() -> None:
    protection = Protection()
    protection.update(worker(1, orders=upstream({"http://a:1": endpoint("ejected"), "http://b:1": endpoint()})), 0.0)
    protection.update(worker(2, orders=upstream({"http://a:1": endpoint(), "http://b:1": endpoint("draining")})), 0.0)
    found = orders(protection)
    assert [(e.url, e.state, e.in_flight, e.weight) for e in found.endpoints] == [
        ("http://a:1", "ejected", 2, 2), ("http://b:1", "draining", 2, 2),
    ]  # fmt: skip
    assert found.endpoints[0].workers == {"ejected": 1, "fit": 1}
    assert found.endpoint_states() == {"fit": 0, "draining": 1, "ejected": 1, "unhealthy": 0}


def test_endpoints_that_come_and_go_with_workers_are_forgotten_in_the_end() -> None:
    protection = Protection()
    for pid in range(40):
        urls = {f"http://pod-{pid}-{n}:1": endpoint("fit", 1) for n in range(50)}
        protection.update(worker(pid, orders=upstream({**urls, "http://stays:1": endpoint("fit", 1)})), 0.0)
        protection.update(worker(99, orders=upstream({"http://stays:1": endpoint()})), 0.0)
        protection.retire(pid)
        assert len(protection._ejections) <= protection_module.MAX_FORMER_ENDPOINTS
    (stays,) = orders(protection).endpoints
    assert stays.ejections == 40


def test_the_documentation_lists_exactly_the_fields_that_are_shown() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text()

    def documented(name: str) -> list[str]:
        row = re.search(rf"^\| `{re.escape(name)}` \| (.*) \|$", text, re.MULTILINE)
        assert row is not None
        return re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row[1]))

    protection = Protection()
    protection.update(worker(1, breaker("open"), orders=upstream({"http://a:1": endpoint()})), 0.0)
    (shown,) = upstreams(protection)
    assert documented("breakers") == list(breakers(protection)[0])
    assert documented("upstreams") == list(shown)
    assert documented("upstreams[].endpoints") == list(shown["endpoints"][0])


def test_least_fit_endpoints_are_listed_first_and_the_rest_is_counted() -> None:
    protection = Protection()
    urls = {f"http://a:{port}": endpoint() for port in range(1, MAX_ENDPOINTS + 50)}
    protection.update(worker(1, orders=upstream({**urls, "http://z:1": endpoint("unhealthy")})), 0.0)
    (shown,) = upstreams(protection)
    assert shown["endpoints"][0] == {
        "endpoint": "http://z:1", "state": "unhealthy", "workers": {"unhealthy": 1}, "in_flight": 1, "weight": 2,
        "ejections": 0,
    }  # fmt: skip
    assert (len(shown["endpoints"]), shown["endpoints_not_listed"]) == (MAX_ENDPOINTS, 50)
