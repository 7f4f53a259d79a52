"""The arithmetic of routes: deadlines, tries, pauses, fallback."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import Settings
from proxy.core.profile import (
    Path,
    RouteProfile,
    Step,
    about,
    effective_breaker,
    profile,
    queue_seconds,
    try_seconds,
)

NO_QUEUE = {"queue": 0}


def settings(
    candidate: dict[str, Any], *, stage: str = "live", legacy: dict[str, Any] | None = None, **route: Any
) -> Settings:
    """One route ``r`` whose candidate ``c`` and legacy ``m`` are written so; nobody waits in a queue by default."""
    return Settings.model_validate(
        {
            "upstreams": {
                "m": {"endpoints": ["http://a:1"], "bulkhead": NO_QUEUE, **(legacy or {})},
                "c": {"endpoints": ["http://b:1"], "bulkhead": NO_QUEUE, **candidate},
            },
            "legacy": "m",
            "routes": [{"id": "r", "match": {}, "candidate": "c", "stage": stage, **route}],
        }
    )


def route(*args: Any, **more: Any) -> RouteProfile:
    return profile(settings(*args, **more))[0]


def path(*args: Any, **more: Any) -> Path:
    found = route(*args, **more).candidate
    assert found is not None
    return found


def times(found: Path) -> list[tuple[str, float, float]]:
    return [(step.what, round(step.begins, 6), round(step.ends, 6)) for step in found.steps]


def test_a_slow_candidate_and_then_a_slow_legacy_is_the_slowest_way() -> None:
    found = path({})
    assert times(found) == [("try", 0, 11), ("fallback", 11, 22)]
    assert (found.total, found.reserve, found.tries_end, found.fallback_begins) == (60, 11, 49, 11)
    assert route({}).worst_case == 22


def test_retries_pauses_and_queues_add_up() -> None:
    bulkhead = {"max_concurrent": 5, "queue": 5, "queue_timeout": "500ms"}
    found = path({"retries": {"attempts": 2, "backoff": "100ms", "max_backoff": "150ms"}, "bulkhead": bulkhead})
    assert times(found) == [
        ("try 1", 0, 11.5),
        ("pause", 11.5, 11.6),
        ("try 2", 11.6, 23.1),
        ("pause", 23.1, 23.25),
        ("try 3", 23.25, 34.75),
        ("fallback", 34.75, 45.75),
    ]
    assert not found.cut


def test_per_try_bounds_each_try_with_its_queue() -> None:
    found = path({"timeouts": {"per_try": "2s"}, "retries": {"backoff": "0s"}, "bulkhead": {}})
    assert times(found)[:2] == [("try 1", 0, 2), ("try 2", 2, 4)]
    assert try_seconds(settings({"timeouts": {"per_try": "2s"}}).upstreams["c"]) == 2


def test_the_reserve_cuts_the_tries_and_leaves_the_rest_to_legacy() -> None:
    found = path({"timeouts": {"total": "15s"}})
    assert found.steps == (Step("try", "c", 0, 7.5, cut=True), Step("fallback", "m", 7.5, 15, cut=True))
    assert not found.cut  # there was no retry that could be


def test_a_retry_for_which_no_time_is_left_is_not_begun() -> None:
    found = path({"timeouts": {"total": "15s"}, "retries": {}})
    assert times(found) == [("try 1", 0, 7.5), ("fallback", 7.5, 15)]
    assert found.cut


def test_a_retry_that_is_cut_short_says_so() -> None:
    found = path({"timeouts": {"total": "30s"}, "retries": {}})
    assert found.tries_end == 19
    assert found.steps[2] == Step("try 2", "c", 11.025, 19, cut=True)
    assert found.cut


def test_a_try_that_is_repeated_lasts_only_as_long_as_its_reason() -> None:
    assert times(path({"retries": {"on": ["connect-failure"], "backoff": "0s"}}))[0] == ("try 1", 0, 1)
    assert times(path({"retries": {"on": ["overflow"], "backoff": "0s"}}))[0] == ("try 1", 0, 0)
    assert times(path({"retries": {"on": ["overflow", 503], "backoff": "0s"}}))[0] == ("try 1", 0, 11)


def test_a_fallback_that_needs_a_refused_connection_begins_early() -> None:
    found = path({"timeouts": {"first_byte": "30s"}}, fallback={"on": ["connect-failure"]})
    assert times(found) == [("try", 0, 31)]  # slower than a refused connection and legacy
    assert found.fallback_begins == 1
    found = path({}, fallback={"on": ["connect-failure", "breaker-open"]})
    assert times(found) == [("try", 0, 1), ("fallback", 1, 12)]


def test_legacy_tries_again_too() -> None:
    found = path({}, legacy={"retries": {"backoff": "0s"}})
    assert [step[0] for step in times(found)] == ["try", "fallback try 1", "fallback try 2"]
    assert found.seconds == 33


@pytest.mark.parametrize(
    ("stage", "answers", "worst", "paths"),
    [
        ("legacy", "legacy", 11, ["m"]),
        ("shadow", "legacy", 11, ["m"]),
        ("canary", "chosen", 22, ["c", "m"]),
        ("live", "candidate", 22, ["c"]),
        ("retired", "candidate", 11, ["c"]),
    ],
)
def test_the_stage_says_which_paths_there_are(stage: str, answers: str, worst: float, paths: list[str]) -> None:
    found = route({}, stage=stage)
    assert (found.answers, found.worst_case) == (answers, worst)
    assert [one.upstream for one in found.paths] == paths
    assert (found.legacy is None) == (stage == "retired")


def test_before_canary_the_candidates_path_is_as_it_will_be() -> None:
    assert path({}, stage="shadow") == path({}, stage="live")
    assert path({}, stage="retired").reserve == 0


def test_a_killed_route_and_what_no_route_names_are_legacys() -> None:
    assert route({}, kill_switch=True).answers == "legacy"
    rest = profile(settings({}))[-1]
    assert (rest.id, rest.stage, rest.candidate, rest.worst_case) == ("-", None, None, 11)


def test_without_fallback_the_candidate_has_the_whole_deadline() -> None:
    found = path({}, fallback={"on": []})
    assert (found.reserve, found.tries_end, times(found)) == (0, 60, [("try", 0, 11)])


@pytest.mark.parametrize(
    ("bulkhead", "seconds"),
    [
        ({}, 0.25),
        ({"queue_timeout": "2s"}, 2),
        ({"queue": 0}, 0),
        ({"queue_timeout": "0s"}, 0),
        ({"max_concurrent": 0}, 0),
    ],
)
def test_who_cannot_wait_does_not_wait(bulkhead: dict[str, Any], seconds: float) -> None:
    assert queue_seconds(settings({"bulkhead": bulkhead}).upstreams["c"]) == seconds


def test_an_adaptive_bound_is_a_bound() -> None:
    written = {"bulkhead": {"max_concurrent": 0}, "adaptive_concurrency": {}}
    assert queue_seconds(settings(written).upstreams["c"]) == 0.25


def test_a_candidate_has_a_breaker_and_legacy_has_none_unless_written() -> None:
    assert [effective_breaker(settings({}), name).mode for name in ("c", "m")] == ["enforce", "off"]
    written = settings({"breaker": {"mode": "off"}}, legacy={"breaker": {}})
    assert [effective_breaker(written, name).mode for name in ("c", "m")] == ["off", "enforce"]


def test_times_are_shown_as_they_could_be_written() -> None:
    assert [about(seconds) for seconds in (0, 0.025, 0.25, 1, 11.25, 33.775, 600)] == [
        "0s", "25ms", "250ms", "1s", "11.25s", "33.78s", "600s",
    ]  # fmt: skip


clock = st.integers(1, 120_000).map(lambda ms: f"{ms}ms")


@given(
    clocks=st.fixed_dictionaries({"connect": clock, "first_byte": clock, "total": clock, "per_try": clock}),
    slow=st.fixed_dictionaries({"connect": clock, "first_byte": clock}),
    retries=st.fixed_dictionaries(
        {
            "attempts": st.integers(0, 10),
            "backoff": st.just("25ms"),
            "max_backoff": clock.filter(lambda text: int(text[:-2]) >= 25),
            "on": st.lists(st.sampled_from(["connect-failure", "timeout", "overflow", 503]), min_size=1),
        }
    ),
    reasons=st.lists(st.sampled_from(["connect-failure", "timeout", "5xx", "breaker-open", "overflow"])),
)
def test_no_path_passes_the_deadline_and_its_steps_join(
    clocks: dict[str, str], slow: dict[str, str], retries: dict[str, Any], reasons: list[str]
) -> None:
    written = {"timeouts": clocks, "retries": retries}
    found = path(written, legacy={"timeouts": slow, "retries": retries}, fallback={"on": reasons})
    assert found.steps[0].begins == 0
    assert all(one.ends == two.begins for one, two in zip(found.steps, found.steps[1:], strict=False))
    assert all(step.begins <= step.ends for step in found.steps)
    assert all(step.ends <= found.tries_end for step in found.steps if step.upstream == "c")
    assert found.seconds <= found.total
    assert found.tries_end == found.total - found.reserve
    assert found.reserve <= found.total / 2
    assert sum(step.upstream == "c" for step in found.steps) <= retries["attempts"] + 1
