import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import Cohort, Identity
from proxy.core.identity import CohortTester, bucket, identify
from proxy.core.request import Request


def request(target: str = "/", *fields: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in fields]
    lower: dict[bytes, bytes] = {}
    for name, value in raw:
        lower.setdefault(name.lower(), value)
    return Request("GET", target.encode(), "shop.example", raw, lower)


@pytest.mark.parametrize(("salt", "user", "expected"), [("gr1", "123", 73), ("groupX", "999", 25)])
def test_bucket_is_unleashs(salt: str, user: str, expected: int) -> None:
    assert bucket(salt, user) == expected


@given(st.text(), st.text())
def test_bucket_is_from_1_to_100_and_repeatable(salt: str, user: str) -> None:
    try:
        f"{salt}{user}".encode()
    except UnicodeEncodeError:
        return
    assert 1 <= bucket(salt, user) <= 100
    assert bucket(salt, user) == bucket(salt, user)


def test_first_source_that_yields_a_value_wins_and_empty_is_none() -> None:
    sources = [Identity(header="X-User-Id"), Identity(cookie="user"), Identity(query="u")]
    assert identify(sources, request("/?u=q", ("X-User-Id", "h"), ("Cookie", "user=c"))) == "h"
    assert identify(sources, request("/?u=q", ("X-User-Id", ""), ("Cookie", "a=b; user=c"))) == "c"
    assert identify(sources, request("/?u=q%20r")) == "q r"
    assert identify(sources, request("/")) is None
    assert identify([], request("/?u=q")) is None


def test_cohort_takes_listed_users_or_those_who_show_everything() -> None:
    tester = CohortTester("staff", Cohort(users=["u-1"], header={"X-Staff": "1"}, cookie={"beta": "yes"}))
    assert tester.holds(request(), "u-1")
    assert not tester.holds(request(), "u-2")
    assert not tester.holds(request(), None)
    assert not tester.holds(request("/", ("x-staff", "1")), None)
    assert tester.holds(request("/", ("x-staff", "1"), ("Cookie", "beta=yes")), None)
    assert not CohortTester("listed", Cohort(users=["u-1"])).holds(request(), None)
