"""Who is fit, who is used: ejection, panic, slow start, draining."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.upstreams import Upstream
from proxy.core.endpoints import EndpointSet, EndpointState
from proxy.messages import EndpointFigures, EndpointWord

HALF = 0.5


def settings(**keys: Any) -> Upstream:
    return Upstream.model_validate({"endpoints": ["http://unused:1"], **keys})


def words(*names: str) -> list[EndpointWord]:
    """``a``: an endpoint; ``a*3``: of weight 3; ``-a``: an unhealthy one."""
    made = []
    for name in names:
        url, _, weight = name.removeprefix("-").partition("*")
        made.append(EndpointWord(f"http://{url}", int(weight or 1), not name.startswith("-")))
    return made


def endpoint_set(*names: str, now: float = 0.0, ejects: bool = True, **keys: Any) -> EndpointSet:
    made = EndpointSet(settings(**keys), now, ejects=ejects)
    made.update(words(*names), now)
    return made


def pick(made: EndpointSet, now: float = 0.0, **how: Any) -> str | None:
    one = made.pick(now, lambda: HALF, **how)
    return None if one is None else one.url.removeprefix("http://")


def used(made: EndpointSet, now: float = 0.0, count: int = 60) -> dict[str, int]:
    """Who is picked how often, of ``count``."""
    return dict(Counter(url for url in (pick(made, now) for _ in range(count)) if url))


def state(made: EndpointSet, name: str) -> EndpointState:
    return made._states[f"http://{name}"]


def fail(made: EndpointSet, name: str, now: float = 0.0, times: int = 5) -> bool:
    """So many failures; True if the last one ejected. No other may."""
    *before, last = [made.failed(state(made, name), now) for _ in range(times)]
    assert not any(before)
    return last


# The list


def test_set_is_empty_until_it_is_told() -> None:
    made = EndpointSet(settings(), 0.0)
    assert pick(made) is None
    assert (made.panic, made.figures(), list(made.urls)) == (False, {}, [])


def test_endpoints_of_weight_zero_get_nothing_and_none_is_picked_if_all_have_it() -> None:
    assert used(endpoint_set("a", "b*0")) == {"a": 60}
    assert pick(endpoint_set("a*0", "b*0")) is None
    assert pick(endpoint_set("a*0", "-b")) == "b"  # weight 0 does not count as fit


def test_url_that_stands_twice_counts_with_both_weights() -> None:
    assert used(endpoint_set("a", "b", "a")) == {"a": 40, "b": 20}


def test_known_endpoint_keeps_what_is_known_of_it() -> None:
    made = endpoint_set("a", "b")
    known = state(made, "a")
    known.in_flight = 3
    fail(made, "a", times=4)
    made.update(words("c", "a*2"), 1.0)
    assert state(made, "a") is known
    assert (known.in_flight, known.consecutive_failures, known.weight) == (3, 4, 2)
    assert fail(made, "a", 1.0, times=1)


def test_endpoint_that_left_drains_until_its_last_request_is_done() -> None:
    made = endpoint_set("a", "b")
    state(made, "a").in_flight = 1
    made.update(words("b"), 1.0)
    assert used(made, 1.0) == {"b": 60}
    made.tick(1.1)
    assert made.figures()["http://a"] == EndpointFigures(1, 1, "draining", 0)
    assert set(made.urls) == {"http://a", "http://b"}
    assert not fail(made, "a", 1.2, times=20)
    state(made, "a").in_flight = 0
    made.tick(1.3)
    assert set(made.urls) == {"http://b"}


def test_endpoint_that_comes_back_while_it_drains_is_the_same_one() -> None:
    made = endpoint_set("a", "b")
    known = state(made, "a")
    known.in_flight = 1
    made.update(words("b"), 1.0)
    made.update(words("b", "a"), 2.0)
    assert state(made, "a") is known
    assert used(made, 2.0) == {"a": 30, "b": 30}


def test_list_may_become_empty_and_fill_again() -> None:
    made = endpoint_set("a", slow_start="10s")
    made.update([], 1.0)
    assert pick(made, 1.0) is None
    made.update(words("b", "c*2"), 2.0)
    assert used(made, 2.0) == {"b": 20, "c": 40}


def test_pick_counts_requests_but_not_what_is_in_flight() -> None:
    made = endpoint_set("a")
    pick(made)
    pick(made)
    assert (state(made, "a").requests, state(made, "a").in_flight) == (2, 0)


def test_avoided_endpoint_is_taken_only_if_no_other_is_in_service() -> None:
    made = endpoint_set("a", "b", "-c")
    a, b = state(made, "a"), state(made, "b")
    assert {pick(made, avoid=a) for _ in range(9)} == {"b"}
    made.update(words("a", "-b", "-c"), 0.0)
    assert made.panic
    assert a.url not in {f"http://{pick(made, avoid=a)}" for _ in range(9)}
    made.configure(settings(panic="0%"), 0.0)
    assert pick(made, avoid=a) == "a"
    assert pick(made, avoid=b) == "a"


def test_key_stays_with_its_endpoint_over_reload_and_others_failures() -> None:
    made = endpoint_set("a", "b", "c", balance="hash")
    homes = {key: pick(made, key=key) for key in "abcdefghijkl"}
    assert set(homes.values()) == {"a", "b", "c"}
    assert fail(made, "a")
    for key, home in homes.items():
        assert (pick(made, key=key) == home) == (home != "a")
    made.tick(30.0)
    made.configure(settings(balance="hash", max_idle=1), 30.0)
    assert {key: pick(made, 30.0, key=key) for key in homes} == homes


def test_reload_may_change_the_strategy() -> None:
    made = endpoint_set("a", "b", "c")
    made.configure(settings(balance="hash"), 0.0)
    assert len({pick(made, key="same") for _ in range(6)}) == 1


# Active checks and panic


def test_unhealthy_endpoint_gets_nothing_while_enough_others_are_fit() -> None:
    made = endpoint_set("a", "-b")
    assert used(made) == {"a": 60}
    assert not made.panic
    assert [figures.state for figures in made.figures().values()] == ["fit", "unhealthy"]


def test_below_the_panic_share_all_are_used() -> None:
    made = endpoint_set("a", "-b", "-c")
    assert made.panic
    assert used(made) == {"a": 20, "b": 20, "c": 20}
    made.update(words("a", "b", "-c"), 1.0)
    assert not made.panic
    assert used(made) == {"a": 30, "b": 30}


def test_panic_counts_endpoints_exactly() -> None:
    for fit in range(1, 101):
        names = [f"e{n}" if n < fit else f"-e{n}" for n in range(100)]
        assert endpoint_set(*names, panic="7%").panic == (fit < 7)
        assert endpoint_set(*names, panic="29%").panic == (fit < 29)


def test_without_panic_nobody_is_picked_when_nobody_is_fit_but_legacy_always() -> None:
    made = endpoint_set("-a", "-b", panic="0%")
    assert pick(made) is None
    assert not made.panic
    legacy = endpoint_set("-a", "-b", panic="0%", ejects=False)
    assert pick(legacy) in ("a", "b")
    assert legacy.panic
    assert pick(endpoint_set("-a")) == "a"


# Ejection


def test_so_many_failures_in_a_row_eject_for_a_time() -> None:
    made = endpoint_set("a", "b")
    assert not fail(made, "a", 100.0, times=4)
    assert fail(made, "a", 100.0, times=1)
    assert state(made, "a").ejected_until == 130.0
    assert made.figures()["http://a"] == EndpointFigures(0, 1, "ejected", 1)
    assert used(made, 129.9) == {"b": 60}
    assert used(made, 130.0) == {"a": 30, "b": 30}  # without a tick
    assert made.figures()["http://a"].state == "fit"


def test_success_between_failures_ejects_nothing() -> None:
    made = endpoint_set("a", "b")
    for _ in range(5):
        assert not fail(made, "a", times=4)
        made.succeeded(state(made, "a"))


def test_single_endpoint_is_never_ejected_nor_the_last_one_left() -> None:
    made = endpoint_set("a", outliers={"max_ejected": "100%"})
    assert not fail(made, "a", times=50)
    made.update(words("a", "b*0"), 0.0)
    assert not fail(made, "a", times=50)


def test_legacy_is_never_ejected() -> None:
    made = endpoint_set("a", "b", ejects=False)
    assert not fail(made, "a", times=50)
    made.ejects = True
    made.tick(1.0)
    assert fail(made, "a", 1.0, times=1)
    made.ejects = False
    made.tick(2.0)
    assert used(made, 2.0) == {"a": 30, "b": 30}


@pytest.mark.parametrize("outliers", [{"consecutive_failures": 0}, {"max_ejected": "0%"}])
def test_ejection_can_be_switched_off(outliers: dict[str, Any]) -> None:
    assert not fail(endpoint_set("a", "b", outliers=outliers), "a", times=50)


def test_failures_of_an_ejected_endpoint_do_not_prolong_it_and_it_returns_with_a_clean_sheet() -> None:
    made = endpoint_set("a", "b", "c")
    assert fail(made, "a")
    assert not fail(made, "a", 10.0, times=20)
    made.tick(30.0)
    assert not fail(made, "a", 30.0, times=4)
    assert fail(made, "a", 30.0, times=1)


def test_each_ejection_in_a_row_is_longer_up_to_the_cap() -> None:
    made = endpoint_set("a", "b", outliers={"ejection": "10s", "max_ejection": "35s"})
    now, lengths = 1000.0, []
    for _ in range(6):
        assert fail(made, "a", now)
        lengths.append(state(made, "a").ejected_until - now)
        now = state(made, "a").ejected_until
        made.tick(now)
    assert lengths == [10, 20, 30, 35, 35, 35]
    assert state(made, "a").ejections == 6


@pytest.mark.parametrize(("good", "length"), [(9.9, 40), (10, 30), (25, 20), (30, 10), (1e6, 10)])
def test_each_ejection_time_that_it_stays_good_makes_the_next_ejection_shorter(good: float, length: float) -> None:
    made = endpoint_set("a", "b", outliers={"ejection": "10s"})
    now = 1000.0
    for _ in range(3):
        assert fail(made, "a", now)
        now = state(made, "a").ejected_until
        made.tick(now)
    assert fail(made, "a", now + good)
    assert state(made, "a").ejected_until - (now + good) == pytest.approx(length)


def test_long_outage_is_forgiven_as_fast_as_the_longest_ejection_is_long() -> None:
    made = endpoint_set("a", "b", outliers={"ejection": "10s", "max_ejection": "40s"})
    now = 0.0
    for _ in range(100):
        assert fail(made, "a", now)
        now = state(made, "a").ejected_until
        made.tick(now)
    assert fail(made, "a", now + 40)
    assert state(made, "a").ejected_until == now + 50


@given(st.integers(1, 12), st.integers(0, 100))
def test_never_more_than_the_share_is_ejected(count: int, percent: int) -> None:
    made = endpoint_set(*(f"e{n}" for n in range(count)), outliers={"max_ejected": f"{percent}%"}, panic="0%")
    for n in range(count):
        fail(made, f"e{n}")
    ejected = [figures.state for figures in made.figures().values()].count("ejected")
    assert ejected == (count * percent // 100 if count > 1 else 0)


def test_when_a_place_among_the_ejected_is_free_the_next_failure_ejects() -> None:
    made = endpoint_set("a", "b")
    assert fail(made, "a", 0.0)
    assert not fail(made, "b", 1.0, times=50)
    made.tick(30.0)
    assert fail(made, "b", 30.0, times=1)


def test_when_the_list_shrinks_those_who_are_due_first_come_back() -> None:
    made = endpoint_set("a", "b", "c", "d")
    assert fail(made, "b", 0.0)
    assert fail(made, "a", 1.0)
    made.update(words("a", "b", "c"), 2.0)
    assert [figures.state for figures in made.figures().values()][:3] == ["ejected", "fit", "fit"]
    made.update(words("a"), 3.0)
    assert pick(made, 3.0) == "a"
    assert made.figures()["http://a"].state == "fit"


def test_ejected_endpoints_are_used_in_panic() -> None:
    made = endpoint_set("a", "b", "c", outliers={"max_ejected": "100%"})
    assert fail(made, "a")
    assert not made.panic
    assert fail(made, "b")
    assert made.panic
    assert used(made) == {"a": 20, "b": 20, "c": 20}


def test_reload_changes_the_settings_and_nothing_that_is_known() -> None:
    made = endpoint_set("a", "b", "c")
    assert fail(made, "a", 0.0)
    fail(made, "b", 0.0, times=2)
    made.configure(settings(outliers={"consecutive_failures": 3, "max_ejected": "70%"}), 1.0)
    assert state(made, "a").ejected_until == 30.0
    assert fail(made, "b", 1.0, times=1)
    made.configure(settings(outliers={"consecutive_failures": 0}), 2.0)
    assert used(made, 2.0) == {"a": 20, "b": 20, "c": 20}


# Slow start


def share_of(made: EndpointSet, name: str, now: float) -> float:
    made.tick(now)
    return used(made, now, 2000).get(name, 0) / 2000


def test_endpoint_that_came_back_grows_linearly_from_a_tenth() -> None:
    made = endpoint_set("a", "-b", slow_start="10s")
    made.update(words("a", "b"), 100.0)
    for age in (0.0, 1.0, 2.5, 5.0, 7.5, 10.0, 50.0):
        weight = min(0.1 + 0.09 * age, 1)
        assert share_of(made, "b", 100.0 + age) == pytest.approx(weight / (1 + weight), abs=0.001), age


@given(st.floats(0.5, 100), st.lists(st.floats(0, 150), min_size=2, max_size=10))
def test_slow_start_never_falls_and_ends(slow_start: float, ages: list[float]) -> None:
    made = endpoint_set("a*3", "-b*3", slow_start=f"{slow_start:.3f}s")
    made.update(words("a*3", "b*3"), 7.0)
    shares = []
    for age in sorted(ages):
        made.tick(7.0 + age)
        shares.append(state(made, "b").share)
    assert all(one <= two for one, two in pairwise(shares))
    assert all(300 <= one <= 3000 for one in shares)
    made.tick(7.0 + slow_start + 0.01)
    assert state(made, "b").share == state(made, "a").share == 3000


@pytest.mark.parametrize("balance", ["least-request", "hash"])
def test_slow_start_holds_for_every_strategy(balance: str) -> None:
    made = endpoint_set("a", "-b", slow_start="10s", balance=balance, panic="0%")
    made.update(words("a", "b"), 0.0)
    throws = [(n + HALF) / 1000 for n in range(1000)]
    chosen: Counter[str] = Counter()
    for number, throw in enumerate(throws):
        one = made.pick(0.0, lambda throw=throw: throw, key=str(number))  # type: ignore[misc] # mypy cannot infer a lambda with a default
        assert one is not None
        chosen[one.url] += 1
    assert 60 <= chosen["http://b"] <= 125  # a tenth of a share beside a whole one: 91


def test_endpoint_that_was_ejected_starts_slowly() -> None:
    made = endpoint_set("a", "b", slow_start="10s")
    assert fail(made, "a", 0.0)
    assert share_of(made, "a", 30.0) == pytest.approx(0.1 / 1.1, abs=0.001)


def test_endpoint_that_joins_starts_slowly_but_those_from_the_beginning_do_not() -> None:
    made = endpoint_set("a", "b*3", slow_start="10s", now=5.0)
    assert used(made, 5.0) == {"a": 15, "b": 45}
    made.update(words("a", "c"), 6.0)
    assert share_of(made, "c", 6.0) == pytest.approx(0.1 / 1.1, abs=0.001)


def test_without_slow_start_it_has_its_full_share_at_once() -> None:
    made = endpoint_set("a", "-b")
    made.update(words("a", "b"), 1.0)
    assert used(made, 1.0) == {"a": 30, "b": 30}


def test_endpoint_that_starts_slowly_alone_gets_everything() -> None:
    made = endpoint_set("a", "-b", slow_start="10s", panic="0%")
    made.update(words("-a", "b"), 1.0)
    assert used(made, 1.0) == {"b": 60}
