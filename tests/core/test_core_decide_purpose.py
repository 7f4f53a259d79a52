"""What a shadow is for: decided with the request, once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_core_decide import no_chance, request, snapshot

from proxy.config.model import SAFE_METHODS, STAGES
from proxy.core.decide import decide
from proxy.core.explain import explain
from proxy.core.request import Request
from proxy.core.snapshot import Snapshot

HALF = {"noise": {"sample": "50%"}}
READS = {"unsafe": "read-after-write", "reads": [{"path": "/state"}]}


def purpose(snap: Snapshot, asked: Request, *chances: float) -> str:
    """The decision's purpose; chance gives these numbers and no more."""
    left = list(chances)
    decision = decide(snap, asked, lambda: left.pop(0))
    assert not left
    assert decision.shadow is (decision.purpose != "")
    return decision.purpose


def test_a_share_of_the_sampled_goes_to_legacy_itself() -> None:
    snap = snapshot(stage="shadow", compare=HALF)
    assert purpose(snap, request(), 0.49) == "self"
    assert purpose(snap, request(), 0.5) == "compare"
    sampled = snapshot(stage="shadow", compare=HALF, shadow={"sample": "10%"})
    assert purpose(sampled, request(), 0.1) == ""
    assert purpose(sampled, request(), 0.09, 0.49) == "self"
    assert purpose(sampled, request(), 0.09, 0.5) == "compare"


@pytest.mark.parametrize("stage", ["legacy", "live", "retired"])
def test_what_legacy_does_not_answer_or_nobody_shadows_never_goes_to_legacy_itself(stage: str) -> None:
    snap = snapshot(stage=stage, compare={"noise": {"sample": "100%"}})
    assert decide(snap, request(), no_chance).purpose == ("compare" if stage == "live" else "")


def test_at_canary_it_depends_on_who_answers() -> None:
    snap = snapshot(stage="canary", canary={"cohorts": ["staff"]}, compare=HALF, shadow={"reverse": True})
    assert purpose(snap, request(X_Staff="1")) == "compare"
    assert purpose(snap, request(), 0.0) == "self"


def test_what_may_write_never_goes_to_legacy_itself() -> None:
    shadow = {"methods": ["GET", "POST"], "unsafe": "accepted-by-candidate"}
    snap = snapshot(stage="shadow", compare={"noise": {"sample": "100%"}}, shadow=shadow)
    assert purpose(snap, request("POST"), 0.0) == "compare"
    assert purpose(snap, request(), 0.0) == "self"


@pytest.mark.parametrize("name", ["X_HTTP_Method_Override", "x_http_method", "X_METHOD_OVERRIDE"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_read_that_names_another_method_is_neither_copied_nor_sent_again(stage: str, name: str) -> None:
    shadow = {"methods": ["GET", "POST"], "unsafe": "accepted-by-candidate", "reverse": True}
    snap = snapshot(stage=stage, shadow=shadow, canary={"cohorts": ["staff"]}, compare=HALF)
    for more in ({}, {"X_Staff": "1"}):
        decision = decide(snap, request(**more, **{name: "DELETE"}), no_chance)
        assert (decision.purpose, decision.shadow, decision.replayable) == ("", False, False)
    assert purpose(snapshot(stage=stage, shadow=READS, canary={}), request(**{name: "DELETE"})) == ""


def test_a_write_that_names_another_method_is_copied_where_writes_are() -> None:
    shadow = {"methods": ["POST"], "unsafe": "accepted-by-candidate"}
    asked = request("POST", X_HTTP_Method_Override="GET")
    assert purpose(snapshot(stage="shadow", shadow=shadow), asked) == "compare"
    assert purpose(snapshot(stage="shadow"), asked) == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_writes_that_legacy_answers_are_read_back(method: str) -> None:
    assert purpose(snapshot(stage="shadow", shadow=READS), request(method)) == "read-back"
    assert purpose(snapshot(stage="shadow", shadow=READS), request()) == "compare"
    assert purpose(snapshot(stage="shadow", shadow={**READS, "methods": []}), request(method)) == "read-back"
    half = snapshot(stage="shadow", shadow={**READS, "sample": "50%"})
    assert purpose(half, request(method), 0.49) == "read-back"
    assert purpose(half, request(method), 0.5) == ""
    for more in (
        {"stage": "legacy"},
        {"stage": "live"},
        {"stage": "retired"},
        {"stage": "shadow", "kill_switch": True},
    ):
        assert purpose(snapshot(**more, shadow=READS), request(method)) == ""
    canary = snapshot(stage="canary", canary={"cohorts": ["staff"]}, shadow={**READS, "reverse": True})
    assert purpose(canary, request(method)) == "read-back"
    assert purpose(canary, request(method, X_Staff="1")) == ""
    off = snapshot(stage="shadow", shadow={**READS, "sample": "0%"})
    assert purpose(off, request(method)) == ""


@given(
    st.sampled_from(STAGES),
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "DELETE"]),
    st.booleans(),
    st.sampled_from([{}, READS, {"methods": ["GET", "POST"], "unsafe": "accepted-by-candidate"}]),
    st.floats(0, 1, exclude_max=True),
)
def test_legacy_is_asked_a_second_time_for_safe_requests_alone(
    stage: str, method: str, staff: bool, shadow: dict[str, Any], chance: float
) -> None:
    snap = snapshot(stage=stage, shadow={**shadow, "reverse": True}, canary={"cohorts": ["staff"]}, compare=HALF)
    decision = decide(snap, request(method, **({"X_Staff": "1"} if staff else {})), lambda: chance)
    to_legacy = decision.purpose == "self" or (decision.purpose == "compare" and decision.arm == "candidate")
    assert not to_legacy or method in SAFE_METHODS
    copied = decision.purpose in ("self", "compare")
    assert not (copied and method not in SAFE_METHODS) or shadow.get("unsafe") == "accepted-by-candidate"
    if decision.purpose in ("self", "read-back"):
        assert decision.arm == "legacy"


def test_explaining_tells_of_both() -> None:
    snap = snapshot(stage="shadow", compare=HALF, shadow=READS)
    assert explain(snap, request()).shadow == "n is asked too, for 100% of such requests (m itself, for 50% of these)"
    disguised = request(X_HTTP_Method_Override="DELETE")
    assert explain(snap, disguised).shadow.startswith("none: a field of it names another method")
    assert explain(snap, request("POST")).shadow == "one read is asked of both sides after 100% of such requests"
