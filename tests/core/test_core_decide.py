from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import STAGES, Settings
from proxy.core.decide import decide
from proxy.core.explain import explain
from proxy.core.fields import shape_of
from proxy.core.identity import bucket
from proxy.core.request import Request
from proxy.core.snapshot import NO_ROUTE_ID, Decision, Snapshot, build_snapshot
from proxy.errors import ExchangeError, FailureKind
from proxy.messages import Override

KEY = "0123456789abcdef"


def snapshot(overrides: tuple[Override, ...] = (), whole: dict[str, Any] | None = None, **route: Any) -> Snapshot:
    document = {
        "legacy": "m",
        "upstreams": {"m": {"endpoints": ["http://a:1"]}, "n": {"endpoints": ["http://b:1"]}},
        "identity": [{"header": "X-User-Id"}],
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}, "pilots": {"users": ["u-1"]}},
        "tester_key": KEY,
        "defaults": {"compare": {"noise": {"sample": "0%"}}},
        "routes": [{"id": "r", "match": {"path": "/r"}, "candidate": "n", **route}],
        **(whole or {}),
    }
    return build_snapshot(Settings.model_validate(document), 7, overrides)


def request(method: str = "GET", target: str = "/r", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asked = Request(method, target.encode(), "shop.example", fields, {name.lower(): value for name, value in fields})
    asked.kinds = shape_of(tuple(name for name, _ in fields)).kinds
    return asked


def no_chance() -> float:
    raise AssertionError("chance is asked only to sample")


def decided(snap: Snapshot, asked: Request, chance: Callable[[], float] = no_chance) -> Decision:
    return decide(snap, asked, chance)


@pytest.mark.parametrize(
    ("stage", "arm", "reason", "shadow", "fallback"),
    [
        ("legacy", "legacy", "stage-legacy", False, False),
        ("shadow", "legacy", "stage-shadow", True, False),
        ("canary", "legacy", "not-chosen", True, False),
        ("live", "candidate", "stage-live", True, True),
        ("retired", "candidate", "stage-retired", False, False),
    ],
)
def test_stage_says_who_answers(stage: str, arm: str, reason: str, *, shadow: bool, fallback: bool) -> None:
    decision = decided(snapshot(stage=stage), request())
    assert decision[2:5] == ("r", arm, reason)
    assert (decision.generation, decision.shadow, decision.fallback, decision.replayable) == (7, shadow, fallback, True)


def test_no_route_is_one_decision_for_all() -> None:
    snap = snapshot()
    decision = decided(snap, request(target="/other"))
    assert decision is decided(snap, request("POST", "/another"))
    assert (decision.plan, decision.route_id, decision.arm, decision.reason) == (
        None,
        NO_ROUTE_ID,
        "legacy",
        "no-route",
    )
    assert not decision.shadow
    assert not decision.fallback


def test_ambiguous_path_goes_to_legacy_or_is_rejected() -> None:
    assert decided(snapshot(stage="live"), request(target="/x/../r")).reason == "ambiguous-path"
    with pytest.raises(ExchangeError) as caught:
        decided(snapshot(stage="live", whole={"ambiguous_paths": "reject"}), request(target="/x/../r"))
    assert caught.value.kind is FailureKind.AMBIGUOUS_PATH


@pytest.mark.parametrize("stage", ["legacy", "shadow", "canary", "live"])
def test_kill_switch_wins_over_everything_and_keeps_the_candidate_quiet(stage: str) -> None:
    snap = snapshot(stage=stage, kill_switch=True, canary={"percent": "100%", "cohorts": ["staff"]})
    decision = decided(snap, request(X_User_Id="u-1", X_Staff="1", X_Banyan_Arm="candidate", X_Banyan_Key=KEY))
    assert (decision.arm, decision.reason, decision.shadow, decision.fallback) == (
        "legacy",
        "kill-switch",
        False,
        False,
    )


def test_canary_order_is_tester_cohort_percent_legacy() -> None:
    snap = snapshot(stage="canary", canary={"percent": "100%", "cohorts": ["pilots", "staff"]})
    tester = {"X_Banyan_Arm": "legacy", "X_Banyan_Key": KEY}
    assert decided(snap, request(X_User_Id="u-1", **tester))[3:5] == ("legacy", "tester")
    staff = decided(snap, request(X_User_Id="u-2", X_Staff="1"))
    assert (staff.arm, staff.reason, staff.user, staff.cohort) == ("candidate", "cohort", "u-2", "staff")
    assert decided(snap, request(X_User_Id="u-1")).cohort == "pilots"
    assert decided(snap, request(X_User_Id="u-2"))[3:6] == ("candidate", "percent", "u-2")
    assert decided(snap, request())[3:6] == ("legacy", "no-identity", None)


@pytest.mark.parametrize("headers", [{}, {"X_Banyan_Key": "wrong"}, {"X_Banyan_Key": KEY + "0"}])
def test_tester_without_the_key_is_ignored(headers: dict[str, str]) -> None:
    asked = request(X_Banyan_Arm="candidate", **headers)
    assert decided(snapshot(stage="canary"), asked).reason == "not-chosen"


def test_tester_with_an_unknown_arm_or_without_a_configured_key_is_ignored() -> None:
    odd = request(X_Banyan_Arm="both", X_Banyan_Key=KEY)
    assert decided(snapshot(stage="canary"), odd).reason == "not-chosen"
    keyless = snapshot(stage="canary", whole={"tester_key": None})
    assert decided(keyless, request(X_Banyan_Arm="candidate", X_Banyan_Key="")).reason == "not-chosen"


def test_tester_counts_at_canary_only() -> None:
    asked = request(X_Banyan_Arm="candidate", X_Banyan_Key=KEY)
    assert decided(snapshot(stage="shadow"), asked).arm == "legacy"
    assert decided(snapshot(stage="canary"), asked).arm == "candidate"


@given(st.integers(0, 99), st.text("abc123", min_size=1))
def test_ramp_never_moves_a_user_back(percent: int, user: str) -> None:
    lower = decided(snapshot(stage="canary", canary={"percent": f"{percent}%"}), request(X_User_Id=user))
    higher = decided(snapshot(stage="canary", canary={"percent": f"{percent + 1}%"}), request(X_User_Id=user))
    assert lower.arm == "legacy" or higher.arm == "candidate"
    assert (lower.arm == "candidate") == (bucket("r", user) <= percent)


def test_salt_moves_users_of_several_routes_together() -> None:
    for user in map(str, range(50)):
        one = decided(snapshot(stage="canary", canary={"percent": "50%", "salt": "s"}), request(X_User_Id=user))
        assert (one.arm == "candidate") == (bucket("s", user) <= 50)


def test_chance_samples_shadows_and_is_not_asked_when_nothing_depends_on_it() -> None:
    half = snapshot(stage="shadow", shadow={"sample": "50%"})
    assert decided(half, request(), lambda: 0.49).shadow
    assert not decided(half, request(), lambda: 0.5).shadow
    assert not decided(half, request("POST")).shadow
    assert not decided(snapshot(stage="shadow", shadow={"sample": "0%"}), request()).shadow
    assert decided(snapshot(stage="shadow"), request()).shadow


def test_unsafe_methods_are_shadowed_only_towards_the_candidate() -> None:
    shadow = {"methods": ["POST"], "unsafe": "accepted-by-candidate", "reverse": True}
    assert decided(snapshot(stage="shadow", shadow=shadow), request("POST")).shadow
    assert not decided(snapshot(stage="live", shadow=shadow), request("POST")).shadow
    chosen = snapshot(stage="canary", shadow=shadow, canary={"cohorts": ["staff"]})
    assert not decided(chosen, request("POST", X_Staff="1")).shadow
    assert decided(chosen, request("POST")).shadow


def test_candidate_served_canary_is_shadowed_only_with_reverse() -> None:
    canary = {"cohorts": ["staff"]}
    asked = request(X_Staff="1")
    assert not decided(snapshot(stage="canary", canary=canary), asked).shadow
    assert decided(snapshot(stage="canary", canary=canary, shadow={"reverse": True}), asked).shadow


@pytest.mark.parametrize(
    ("unsafe", "method", "headers", "replayable"),
    [
        ("not-sent", "GET", {}, True),
        ("not-sent", "OPTIONS", {}, True),
        ("not-sent", "PUT", {"Idempotency_Key": "k"}, False),
        ("idempotency-key", "POST", {}, False),
        ("idempotency-key", "POST", {"Idempotency_Key": "k"}, True),
        ("always", "DELETE", {}, True),
    ],
)
def test_replay_after_sending(unsafe: str, method: str, headers: dict[str, str], *, replayable: bool) -> None:
    for stage in ("live", "canary"):
        decision = decided(snapshot(stage=stage, fallback={"unsafe": unsafe}), request(method, **headers))
        assert decision.replayable is replayable


def test_empty_fallback_list_means_no_fallback() -> None:
    decision = decided(snapshot(stage="live", fallback={"on": []}), request())
    assert not decision.fallback


def test_override_is_folded_into_the_snapshot() -> None:
    snap = snapshot((Override("r", "live", None, 1, "ada", "because", 0.0),), stage="legacy")
    assert snap.settings.routes[0].stage == "live"
    assert decided(snap, request()).arm == "candidate"


def test_plan_holds_what_the_worker_needs() -> None:
    snap = snapshot(
        stage="canary",
        compare={"headers": ["Content-Type", "content-type", "ETag"]},
        fallback={"on": ["5xx"], "max_replay_body": "1KiB"},
        whole={"limits": {"body": "2MiB"}},
    )
    plan = snap.plans[0]
    assert (plan.legacy, plan.candidate, plan.salt) == ("m", "n", "r")
    assert plan.compare_headers == (b"content-type", b"etag")
    assert plan.fallback_reasons == {"5xx"}
    assert (plan.max_replay_body, plan.max_body) == (1024, 2 * 1024**2)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("headers", [{}, {"X_User_Id": "u-1"}, {"X_Staff": "1"}])
def test_explanation_agrees_with_the_decision(stage: str, headers: dict[str, str]) -> None:
    snap = snapshot(stage=stage, canary={"percent": "50%", "cohorts": ["staff"]})
    asked = request(**headers)
    decision = decided(snap, asked)
    explanation = explain(snap, asked)
    assert (explanation.route, explanation.arm, explanation.reason) == ("r", decision.arm, decision.reason)
    assert explanation.upstream == ("m" if decision.arm == "legacy" else "n")
    assert explanation.shadow.startswith("none") is not decision.shadow
    assert explanation.fallback.startswith("none") is not decision.fallback
    assert explanation.others == ()


def test_explanation_names_the_first_thing_that_fails_for_every_other_route() -> None:
    routes = [
        {"id": "here", "match": {"path": "/a/b"}},
        {"id": "host", "match": {"path": "/a/b", "host": "other.example"}},
        {"id": "path", "match": {"path": "/a/{x}/c"}},
        {"id": "method", "match": {"path": "/a/b", "methods": ["POST"]}},
        {"id": "header", "match": {"path": "/a/b", "headers": {"X-Beta": "1"}, "cookies": {"c": "*"}}},
        {"id": "lower", "match": {"path_prefix": "/a"}},
    ]
    explanation = explain(snapshot(whole={"routes": routes}), request(target="/a/b"))
    assert explanation.route == "here"
    assert {other.route: other.why for other in explanation.others} == {
        "host": "host is not other.example",
        "path": "path does not fit path /a/{x}/c",
        "method": "not so: method is POST",
        "header": "not so: header X-Beta is '1'",
        "lower": "fits too, but here stands above it by path",
    }


def test_explanation_without_a_route() -> None:
    explanation = explain(snapshot(), request(target="/a//b"))
    assert (explanation.route, explanation.reason, explanation.bucket) == (None, "ambiguous-path", None)
    assert explanation.others[0].why == "the path could be read in two ways"
