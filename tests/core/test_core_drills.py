from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import Drill, Settings
from proxy.core.drills import Drills, drills_of
from proxy.core.request import Request

COHORTS = {"staff": {"header": {"X-Staff": "1"}}, "pilots": {"users": ["u-1"]}, "testers": {"cookie": {"t": "1"}}}


def settings(*faults: dict[str, Any], drills: str = "allowed") -> Settings:
    return Settings.model_validate(
        {
            "legacy": "m",
            "upstreams": {"m": {"endpoints": ["http://a:1"]}, "n": {"endpoints": ["http://b:1"]}},
            "identity": [{"header": "X-User-Id"}],
            "cohorts": COHORTS,
            "drills": drills,
            "routes": [{"id": "r", "match": {"path": "/r"}, "candidate": "n", "faults": list(faults)}],
        }
    )


def drills(*faults: dict[str, Any]) -> Drills:
    whole = settings(*faults)
    made = drills_of(whole.routes[0], whole)
    assert made is not None
    return made


def request(**headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("GET", b"/r", "shop.example", fields, {name.lower(): value for name, value in fields})


def no_chance() -> float:
    raise AssertionError("chance is asked only for a share below 100 %")


def always(value: float) -> Callable[[], float]:
    return lambda: value


def status(drill: Drill | None) -> int | None:
    return None if drill is None else drill.abort


@pytest.mark.parametrize("whole", [settings(), settings({"abort": 503}, drills="forbidden")])
def test_route_without_faults_or_where_drills_are_forbidden_has_no_drills(whole: Settings) -> None:
    assert drills_of(whole.routes[0], whole) is None


def test_drill_without_conditions_is_for_everybody() -> None:
    assert status(drills({"abort": 503}).choose(request(), None, no_chance)) == 503


@pytest.mark.parametrize(
    ("headers", "user", "expected"),
    [
        ({}, None, None),
        ({"X_Staff": "1"}, None, 503),
        ({"x_staff": "1"}, "u-9", 503),
        ({"X_Staff": "2"}, None, None),
        ({}, "u-1", 503),
        ({}, "u-2", None),
        ({"X_User_Id": "u-1"}, None, 503),  # only stage canary asks who it is, so the drill asks itself
        ({"X_User_Id": "u-2"}, None, None),
        ({"X_User_Id": "u-1"}, "u-2", None),  # but it does not doubt the decision
        ({"Cookie": "t=1"}, None, None),
    ],
)
def test_drill_for_cohorts_is_for_users_in_one_of_them(
    headers: dict[str, str], user: str | None, expected: int | None
) -> None:
    chosen = drills({"abort": 503, "cohorts": ["staff", "pilots"]}).choose(request(**headers), user, no_chance)
    assert status(chosen) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X_Drill": "outage"}, None),
        ({"X_Drill": "outage", "X_Staff": "1"}, 503),
        ({"x_drill": "outage", "X_Staff": "1"}, 503),
        ({"X_Drill": "Outage", "X_Staff": "1"}, None),
        ({"X_Staff": "1"}, None),
    ],
)
def test_header_and_cohort_must_both_hold(headers: dict[str, str], expected: int | None) -> None:
    fault = {"abort": 503, "header": {"X-Drill": "outage"}, "cohorts": ["staff"]}
    assert status(drills(fault).choose(request(**headers), None, no_chance)) == expected


def test_first_entry_that_fits_is_used() -> None:
    made = drills(
        {"abort": 500, "cohorts": ["testers"]},
        {"abort": 501, "header": {"X-Drill": "2"}},
        {"abort": 502},
        {"abort": 503},
    )
    assert status(made.choose(request(Cookie="t=1", X_Drill="2"), None, no_chance)) == 500
    assert status(made.choose(request(X_Drill="2"), None, no_chance)) == 501
    assert status(made.choose(request(), None, no_chance)) == 502


def test_share_is_of_the_requests_that_fit_and_the_rest_goes_to_the_next_entry() -> None:
    made = drills({"abort": 500, "share": "0%"}, {"abort": 501, "share": "25%"}, {"delay": "1s", "share": "50%"})
    assert status(made.choose(request(), None, always(0.2499))) == 501
    chosen = made.choose(request(), None, always(0.25))
    assert chosen is not None
    assert chosen.delay == 1.0
    assert made.choose(request(), None, always(0.5)) is None


def test_chance_is_not_asked_for_who_does_not_fit() -> None:
    assert drills({"reset": True, "share": "1%", "cohorts": ["staff"]}).choose(request(), None, no_chance) is None


@given(st.integers(1, 99), st.integers(0, 2**32))
def test_share_falls_to_that_many_requests(percent: int, seed: int) -> None:
    made = drills({"reset": True, "share": f"{percent}%"})
    throws = [(number + (seed % 997) / 997) / 1000 for number in range(1000)]
    hit = sum(made.choose(request(), None, always(throw)) is not None for throw in throws)
    assert abs(hit - percent * 10) <= 1
