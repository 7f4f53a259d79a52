"""The breaker's modes, and settings that change while it is at work."""

import pytest
from breakers import OPEN, PROBES, ask, breaker, built, half_opened, middle, opened, settled

from proxy.core.breaker import REFUSED


def test_observe_lets_everything_pass_and_counts_what_it_would_have_refused() -> None:
    machine = breaker(mode="observe", consecutive_failures=1)
    ask(machine, [False])
    assert machine.state == "open"
    assert REFUSED not in [machine.admit(0.0, middle) for _ in range(10)]
    assert machine.refused == 10
    permits = [machine.admit(OPEN, middle) for _ in range(1000)]
    assert REFUSED not in permits
    assert machine.refused == 10 + 1000 - PROBES


def test_observe_is_moved_by_its_probes_only() -> None:
    machine = breaker(mode="observe", consecutive_failures=1)
    ask(machine, [False])
    probes = [machine.admit(OPEN, middle) for _ in range(PROBES)]
    others = [machine.admit(OPEN, middle) for _ in range(10)]
    assert settled(machine, others, False) == "half-open"
    assert settled(machine, probes, True) == "closed"
    assert settled(machine, others, False) == "closed"


def test_off_always_admits_and_never_changes() -> None:
    machine = breaker(mode="off", consecutive_failures=1, error_share=0.01, min_requests=1)
    assert REFUSED not in ask(machine, [False] * 100)
    assert (machine.state, machine.refused, machine.opened, machine.changes) == ("closed", 0, 0, [])


def test_a_reload_keeps_the_state_and_takes_the_new_settings() -> None:
    machine = opened()
    left = machine.open_seconds(0.0)
    machine.configure(built(probes=1, open=7.0, consecutive_failures=2))
    assert machine.state == "open"
    assert machine.open_seconds(0.0) == left
    ask(machine, [True], OPEN)
    assert machine.state == "closed"
    ask(machine, [False, False], OPEN)
    assert machine.open_seconds(OPEN) == pytest.approx(7)


def test_a_reload_does_not_forget_failures_or_permits() -> None:
    machine = breaker()
    permit = machine.admit(0.0, middle)
    ask(machine, [False] * 3)
    machine.configure(built(consecutive_failures=4))
    machine.settle(permit, False, 0.0, middle)
    assert machine.state == "open"


def test_a_reload_to_fewer_probes_than_have_succeeded_closes_it() -> None:
    machine, probes = half_opened()
    for permit in probes[:2]:
        machine.settle(permit, True, OPEN, middle)
    machine.settle(probes[2], None, OPEN, middle)
    machine.configure(built(probes=2))
    assert machine.state == "closed"


def test_turned_off_it_closes_and_turned_on_again_it_begins_anew() -> None:
    machine = opened()
    machine.configure(built(mode="off"))
    assert machine.state == "closed"
    assert machine.changes[-1].why == "it was turned off"
    careless = machine.admit(0.0, middle)
    ask(machine, [False] * 100)
    machine.configure(built(consecutive_failures=1))
    machine.settle(careless, False, 0.0, middle)
    assert machine.state == "closed"
    ask(machine, [False])
    assert machine.state == "open"


def test_between_observe_and_enforce_the_state_stays() -> None:
    machine = opened(mode="observe")
    assert machine.admit(0.0, middle) != REFUSED
    machine.configure(built(mode="enforce"))
    assert machine.admit(0.0, middle) == REFUSED
    machine.configure(built(mode="observe"))
    assert machine.admit(0.0, middle) != REFUSED


def test_a_new_window_begins_empty() -> None:
    machine = breaker(consecutive_failures=0, error_share=0.5, min_requests=10)
    ask(machine, [False] * 9)
    machine.configure(built(consecutive_failures=0, error_share=0.5, min_requests=10, window=20.0))
    ask(machine, [False])
    assert machine.state == "closed"
