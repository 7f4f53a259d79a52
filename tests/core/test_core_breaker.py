"""The breaker, rule by rule."""

from itertools import pairwise

import pytest
from breakers import MAX_OPEN, OPEN, PROBES, WINDOW, ask, breaker, half_opened, middle, opened, settled

from proxy.core.breaker import MAX_CHANGES, REFUSED, SLICES, TRANSITIONS, Event

# -- closed -----------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not() -> None:
    machine = breaker()
    ask(machine, [False] * 4 + [True] + [False] * 4)
    assert machine.state == "closed"
    ask(machine, [False])
    assert machine.state == "open"
    assert machine.opened == 1
    assert [tuple(change) for change in machine.changes] == [("closed", "open", "5 failures in a row")]


def test_a_client_that_left_counts_for_nothing() -> None:
    machine = breaker(consecutive_failures=2, error_share=0.5, min_requests=3)
    ask(machine, [False, None, None, None, None])
    assert machine.state == "closed"
    ask(machine, [False])
    assert machine.state == "open"


def test_a_share_of_failures_opens_it_once_there_are_enough_requests() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=20)
    ask(machine, [True, False] * 9 + [False])
    assert machine.state == "closed"  # 19
    ask(machine, [False])
    assert machine.state == "open"
    assert machine.changes[0].why == "11 of 20 requests failed within 10 s"


def test_a_share_just_below_the_bar_does_not_open_it() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.3, min_requests=10)
    ask(machine, [True] * 8 + [False, False])
    assert machine.state == "closed"
    ask(machine, [True, False, True, False])
    assert machine.state == "closed"  # 4 of 14
    ask(machine, [True, False])
    assert machine.state == "open"  # 5 of 16


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_of_exactly_the_bar_opens_it_at_every_whole_percent(percent: int) -> None:
    machine = breaker(consecutive_failures=0, error_share=percent / 100, min_requests=100)
    ask(machine, [True] * (100 - percent) + [False] * percent)
    assert machine.state == "open"


def test_nothing_opens_it_when_both_causes_are_zero() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.0)
    ask(machine, [False] * 1000)
    assert machine.state == "closed"


def test_what_is_older_than_the_window_is_forgotten_without_a_tick() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=10)
    ask(machine, [False] * 9, now=0.0)
    ask(machine, [True] * 9, now=WINDOW)
    ask(machine, [False], now=WINDOW)
    assert machine.state == "closed"


def test_what_is_younger_than_the_window_is_remembered() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=10)
    ask(machine, [False] * 9, now=0.0)
    ask(machine, [False], now=WINDOW * (SLICES - 1) / SLICES - 0.01)
    assert machine.state == "open"


def test_a_late_tick_does_not_count_old_failures() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=10)
    ask(machine, [False] * 9, now=0.0)
    machine.tick(1000.0)
    ask(machine, [False], now=1000.0)
    assert machine.state == "closed"


def test_successes_after_a_long_silence_are_in_the_new_window() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=10)
    ask(machine, [True], now=0.0)
    ask(machine, [True] * 20, now=1000.0)
    ask(machine, [False] * 19, now=1000.0)
    assert machine.state == "closed"  # 19 of 40
    ask(machine, [False, False], now=1000.0)
    assert machine.state == "open"


# -- open -------------------------------------------------------------------------------------------------------------


def test_it_refuses_until_its_time_is_over_and_says_how_long_that_is() -> None:
    machine = opened(now=100.0)
    assert machine.open_seconds(100.0) == pytest.approx(OPEN)
    assert machine.open_seconds(120.0) == pytest.approx(OPEN - 20)
    assert machine.admit(100.0 + OPEN - 0.001, middle) == REFUSED
    assert machine.refused == 1
    assert machine.admit(100.0 + OPEN, middle) != REFUSED
    assert machine.state == "half-open"
    assert machine.open_seconds(100.0 + OPEN) == 0.0


def test_requests_under_way_when_it_opens_change_nothing() -> None:
    machine = breaker(consecutive_failures=1)
    late = [machine.admit(0.0, middle) for _ in range(10)]
    ask(machine, [False])
    before = machine.open_seconds(0.0)
    for permit, ok in zip(late, [False, True, None] * 3, strict=False):
        machine.settle(permit, ok, 5.0, middle)
    assert (machine.state, machine.opened) == ("open", 1)
    assert machine.open_seconds(0.0) == before


def test_settling_a_refusal_does_nothing() -> None:
    machine = opened()
    for ok in (True, False, None):
        machine.settle(REFUSED, ok, 1.0, middle)
    assert machine.state == "open"
    machine, _ = half_opened()
    machine.settle(REFUSED, False, OPEN, middle)
    assert machine.state == "half-open"


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 24.0), (0.5, 30.0), (0.999999, 36.0)])
def test_the_open_time_varies_by_a_fifth(chance: float, seconds: float) -> None:
    machine = breaker(consecutive_failures=1)
    machine.settle(machine.admit(0.0, middle), False, 0.0, lambda: chance)
    assert machine.open_seconds(0.0) == pytest.approx(seconds, rel=1e-4)


def test_the_open_time_doubles_with_each_failed_probe_up_to_its_bound_and_resets_after_closing() -> None:
    machine, now, times = opened(), 0.0, []
    for _ in range(100):
        times.append(machine.open_seconds(now))
        now += times[-1]
        machine.settle(machine.admit(now, middle), False, now, middle)
    assert times[:4] == pytest.approx([30, 60, 100, 100])
    assert max(times) <= MAX_OPEN
    now += MAX_OPEN
    ask(machine, [True] * PROBES, now)
    assert machine.state == "closed"
    ask(machine, [False], now)
    assert machine.open_seconds(now) == pytest.approx(30)


def test_the_bound_of_the_open_time_holds_with_the_worst_chance() -> None:
    machine = breaker(consecutive_failures=1, open=MAX_OPEN)
    machine.settle(machine.admit(0.0, middle), False, 0.0, lambda: 0.999999)
    assert machine.open_seconds(0.0) <= MAX_OPEN


# -- half-open --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probes", [1, 3, 100])
def test_exactly_so_many_probes_pass_when_a_thousand_ask_at_that_moment(probes: int) -> None:
    machine = opened(probes=probes)
    permits = [machine.admit(OPEN, middle) for _ in range(1000)]
    passed = [permit for permit in permits if permit != REFUSED]
    assert len(passed) == len(set(passed)) == probes
    assert machine.refused == 1000 - probes
    for n, permit in enumerate(passed, start=1):
        assert machine.state == "half-open"
        assert machine.admit(OPEN, middle) == REFUSED
        machine.settle(permit, True, OPEN, middle)
        assert machine.state == ("closed" if n == probes else "half-open")


def test_one_failed_probe_opens_it_and_the_others_say_nothing_then() -> None:
    machine, probes = half_opened()
    machine.settle(probes[1], False, OPEN, middle)
    assert machine.state == "open"
    assert machine.open_seconds(OPEN) == pytest.approx(2 * OPEN)
    machine.settle(probes[0], True, OPEN, middle)
    machine.settle(probes[2], False, OPEN, middle)
    assert (machine.state, machine.opened) == ("open", 2)
    assert machine.open_seconds(OPEN) == pytest.approx(2 * OPEN)


def test_a_probe_whose_client_left_is_handed_out_again() -> None:
    machine, probes = half_opened()
    machine.settle(probes[0], None, OPEN, middle)
    again = machine.admit(OPEN, middle)
    assert again not in (REFUSED, *probes)
    assert machine.admit(OPEN, middle) == REFUSED
    assert settled(machine, [again, *probes[1:]], True) == "closed"


@pytest.mark.parametrize("first", [True, None])
def test_a_probe_settled_twice_counts_once(first: bool | None) -> None:
    machine, probes = half_opened()
    for ok in (first, True, True, True, False):
        machine.settle(probes[0], ok, OPEN, middle)
    assert machine.state == "half-open"


def test_probes_of_an_earlier_half_open_state_say_nothing_in_a_later_one() -> None:
    machine, old = half_opened()
    machine.settle(old[0], False, OPEN, middle)
    again = OPEN + 2 * OPEN
    new = [machine.admit(again, middle) for _ in range(PROBES)]
    assert not set(old) & set(new)
    machine.settle(old[1], False, again, middle)
    machine.settle(old[2], True, again, middle)
    assert machine.state == "half-open"


def test_permits_from_before_it_opened_say_nothing_after_it_closed() -> None:
    machine = breaker(consecutive_failures=2)
    old = [machine.admit(0.0, middle) for _ in range(4)]
    ask(machine, [False, False])
    ask(machine, [True] * PROBES, OPEN)
    assert machine.state == "closed"
    assert settled(machine, old, False) == "closed"


def test_it_closes_with_a_clean_record() -> None:
    machine = breaker(consecutive_failures=5, error_share=0.5, min_requests=5)
    ask(machine, [False] * 5)
    ask(machine, [True] * PROBES, OPEN)
    ask(machine, [False] * 4, OPEN)
    assert machine.state == "closed"


def test_probes_that_never_come_back_do_not_keep_everybody_out_for_ever() -> None:
    machine, lost = half_opened()
    assert machine.admit(OPEN + MAX_OPEN - 0.001, middle) == REFUSED
    now = OPEN + MAX_OPEN
    fresh = [permit for _ in range(1000) if (permit := machine.admit(now, middle))]
    assert len(fresh) == PROBES
    assert settled(machine, lost, False, now) == "half-open"
    assert settled(machine, fresh, True, now) == "closed"


# -- changes ----------------------------------------------------------------------------------------------------------


def test_changes_are_bounded_and_taken_once() -> None:
    machine, now = opened(), 0.0
    for _ in range(50):
        now += MAX_OPEN
        ask(machine, [False], now)
    assert len(machine.changes) == MAX_CHANGES
    assert machine.opened == 51
    taken = machine.take_changes()
    assert len(taken) == MAX_CHANGES
    assert all(one.after == other.before for one, other in pairwise(taken))
    assert machine.take_changes() == []


def test_a_change_that_is_not_in_the_table_raises_and_changes_nothing() -> None:
    for state in ("closed", "open", "half-open"):
        for event in Event:
            if (state, event) in TRANSITIONS:
                continue
            machine = breaker()
            machine.state = state
            with pytest.raises(KeyError):
                machine._change(event, "")
            assert (machine.state, machine.changes) == (state, [])
