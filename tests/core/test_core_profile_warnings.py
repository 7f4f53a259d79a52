"""What works badly, where it stands, and what to write instead."""

import re
from typing import Any

import pytest

from proxy.config.model import Settings
from proxy.core.profile_warnings import Warn, warnings

Written = dict[str, Any]


def settings(candidate: Written | None = None, legacy: Written | None = None, **whole: Any) -> Settings:
    """A route ``r`` at live, whose candidate is ``c``; ``whole`` may name other routes."""
    document = {
        "upstreams": {
            "m": {"endpoints": ["http://a:1"], **(legacy or {})},
            "c": {"endpoints": ["http://b:1"], **(candidate or {})},
        },
        "legacy": "m",
        "routes": [route()],
        **whole,
    }
    return Settings.model_validate(document)


def route(name: str = "r", **more: Any) -> Written:
    return {"id": name, "match": {"path": f"/{name}"}, "candidate": "c", "stage": "live", **more}


def only(found: list[Warn]) -> Warn:
    assert len(found) == 1, found
    return found[0]


def test_the_defaults_work_well() -> None:
    assert warnings(settings()) == []
    assert warnings(settings({"retries": {}, "health": {"path": "/h"}, "adaptive_concurrency": {}})) == []


CANDIDATE: list[tuple[Written, tuple[Any, ...], str]] = [
    ({"timeouts": {"per_try": "60s"}}, ("timeouts", "per_try"), "per_try 60s bounds nothing, for total is 60s"),
    ({"timeouts": {"per_try": "50s"}}, ("timeouts", "per_try"), "'c' has 49s in all (11s of 60s are kept"),
    ({"timeouts": {"per_try": "200ms"}}, ("timeouts", "per_try"), "may pass in the queue alone"),
    ({"timeouts": {"connect": "60s"}}, ("timeouts", "connect"), "connect 60s never runs out"),
    ({"timeouts": {"first_byte": "2m"}}, ("timeouts", "first_byte"), "first_byte 120s never runs out"),
    ({"timeouts": {"total": "15s"}}, ("timeouts", "total"), "the fallback has 7.5s, and legacy may need 11s"),
    ({"timeouts": {"total": "200ms"}, "bulkhead": {"queue": 0}}, ("timeouts", "total"), "may not be reached"),
    ({"bulkhead": {"queue_timeout": "60s"}}, ("bulkhead", "queue_timeout"), "not below the deadline, total 60s"),
    ({"bulkhead": {"queue_timeout": "50s"}}, ("bulkhead", "queue_timeout"), "one may wait 50s in the queue, but 'c'"),
    ({"bulkhead": {"queue": 5, "max_concurrent": 0}}, ("bulkhead", "queue"), "nobody ever waits"),
    ({"bulkhead": {"queue": 0, "queue_timeout": "1s"}}, ("bulkhead", "queue_timeout"), "says nothing with queue 0"),
    ({"bulkhead": {"max_concurrent": 2}}, ("bulkhead",), "3 probes pass at once, but the bulkhead only 2"),
    ({"breaker": {"probes": 9}, "bulkhead": {"max_concurrent": 8}}, ("breaker",), "but the bulkhead only 8"),
    ({"retries": {"attempts": 5}}, ("retries",), "the deadline cuts the retries: there are 6 tries"),
    ({"outliers": {"ejection": "1s"}}, ("outliers",), "with one endpoint nothing is ever ejected"),
    ({"slow_start": "5s"}, ("slow_start",), "with one endpoint"),
    ({"endpoints": ["http://b:1", "http://b:1"]}, ("endpoints", 1), "http://b:1 stands twice"),
    (
        {"endpoints": ["http://b:1", "http://b:2"], "outliers": {"max_ejected": "40%"}},
        ("outliers",),
        "40% of 2 endpoints is less than one",
    ),
    ({"health": {"path": "/h", "interval": "500ms"}}, ("health", "interval"), "may take 1s, longer than the interval"),
    (
        {"adaptive_concurrency": {"min": 50}, "bulkhead": {"max_concurrent": 20}},
        ("adaptive_concurrency", "min"),
        "nothing adapts",
    ),
]


@pytest.mark.parametrize(("candidate", "place", "words"), CANDIDATE, ids=lambda value: str(value)[:60])
def test_an_upstream_that_works_badly_is_warned_about(candidate: Written, place: tuple[Any, ...], words: str) -> None:
    found = [warn for warn in warnings(settings(candidate)) if words in warn.what]
    assert only(found).loc == ("upstreams", "c", *place)
    assert found[0].hint


def test_what_nobody_wrote_is_not_warned_about() -> None:
    """A short deadline cuts the default clocks: that is what it is for."""
    assert warnings(settings({"timeouts": {"total": "25s"}})) == []
    assert warnings(settings(legacy={"timeouts": {"total": "5s"}})) == []


def test_the_hint_on_retries_is_a_cure() -> None:
    warn = only(warnings(settings({"retries": {"attempts": 5}})))
    found = re.search(r"per_try: (\S+),", warn.hint)
    assert found
    assert warnings(settings({"retries": {"attempts": 5}, "timeouts": {"per_try": found[1]}})) == []


def test_legacy_is_never_ejected_and_its_breaker_leaves_nobody() -> None:
    ejecting = {"endpoints": ["http://a:1", "http://a:2"], "outliers": {"ejection": "1s"}}
    warn = only(warnings(settings(legacy=ejecting)))
    assert (warn.loc, "never ejected" in warn.what) == (("upstreams", "m", "outliers"), True)
    warn = only(warnings(settings(legacy={"breaker": {}})))
    assert (warn.loc, "clients get 503" in warn.what) == (("upstreams", "m", "breaker"), True)
    assert warnings(settings(legacy={"breaker": {"mode": "observe"}})) == []


def test_retries_of_legacy_are_cut_by_its_own_deadline() -> None:
    warn = only(warnings(settings(legacy={"retries": {"attempts": 6}})))
    assert warn.loc == ("upstreams", "m", "retries")
    assert warn.what.startswith("what no route names: ")


@pytest.mark.parametrize(
    ("candidate", "on", "words"),
    [
        ({}, ["timeout", "overflow"], "while the breaker is open clients get 503"),
        ({}, ["timeout", "breaker-open"], "while the bulkhead is full clients get 503"),
        (
            {"breaker": {"mode": "off"}, "bulkhead": {"max_concurrent": 0}},
            ["breaker-open"],
            "the fallback can never run",
        ),
        ({"breaker": {"mode": "off"}, "bulkhead": {"max_concurrent": 0}}, ["overflow"], "the fallback can never run"),
    ],
)
def test_a_fallback_that_leaves_something_out_is_warned_about(candidate: Written, on: list[str], words: str) -> None:
    warn = only(warnings(settings(candidate, routes=[route(fallback={"on": on})])))
    assert (warn.loc, words in warn.what) == (("routes", 0, "fallback", "on"), True)


def test_no_fallback_at_all_is_a_choice() -> None:
    assert warnings(settings(routes=[route(fallback={"on": []})])) == []
    assert warnings(settings(routes=[route(stage="retired", fallback={"on": ["timeout"]})])) == []


def test_shadows_that_an_upstream_does_not_take_are_warned_about() -> None:
    closed = {"bulkhead": {"shadow": 0}}
    warn = only(warnings(settings(closed, routes=[route(stage="shadow")])))
    assert warn.loc == ("upstreams", "c", "bulkhead", "shadow")
    warn = only(warnings(settings(legacy=closed)))  # live: the reverse shadow goes to legacy
    assert warn.loc == ("upstreams", "m", "bulkhead", "shadow")
    assert warnings(settings(closed, routes=[route(stage="shadow", shadow={"sample": "0%"})])) == []
    assert warnings(settings(closed, routes=[route(stage="shadow", kill_switch=True)])) == []
    warn = only(warnings(settings(routes=[route(stage="shadow", shadow={"max_in_flight": 65})])))
    assert warn.loc == ("routes", 0, "shadow", "max_in_flight")


def test_one_warning_stands_for_all_routes_that_it_is_about() -> None:
    routes = [route(f"r{number}") for number in range(5)]
    warn = only(warnings(settings({"timeouts": {"per_try": "50s"}}, routes=routes)))
    assert warn.what.startswith("routes 'r0', 'r1', 'r2' and 2 more: per_try 50s")


def test_refusing_connections_before_shadows_is_warned_about() -> None:
    warn = only(warnings(settings(overload={"refuse_lag": "20ms"})))
    assert (warn.loc, "shadow_lag is 50ms" in warn.hint) == (("overload", "refuse_lag"), True)
    assert warnings(settings(overload={"refuse_lag": "0s"})) == []
