"""Thresholds of active checks, against a model that remembers every result."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.health import HealthState


def judged(results: list[bool], unhealthy_after: int, healthy_after: int) -> bool:
    """The model: the state after all of ``results``, from the longest runs at the end of each prefix."""
    healthy = True
    since = 0  # results before this were spent on an earlier change
    for end in range(1, len(results) + 1):
        needed = unhealthy_after if healthy else healthy_after
        last = results[max(since, end - needed) : end]
        if len(last) == needed and all(result is not healthy for result in last):
            healthy, since = not healthy, end
    return healthy


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_the_state_is_the_models_after_every_result(
    results: list[bool], unhealthy_after: int, healthy_after: int
) -> None:
    state = HealthState()
    for number, good in enumerate(results, 1):
        before = state.healthy
        changed = state.note(good=good, unhealthy_after=unhealthy_after, healthy_after=healthy_after)
        assert state.healthy is judged(results[:number], unhealthy_after, healthy_after)
        assert changed is (state.healthy is not before)


class Thresholds(RuleBasedStateMachine):
    """Thresholds that a reload changes between two checks."""

    def __init__(self) -> None:
        super().__init__()
        self.state = HealthState()
        self.run = 0  # equal results in a row, the last ones
        self.last = True

    @rule(good=st.booleans(), unhealthy_after=st.integers(1, 4), healthy_after=st.integers(1, 4))
    def check(self, good: bool, unhealthy_after: int, healthy_after: int) -> None:
        self.run = self.run + 1 if good is self.last else 1
        self.last = good
        before = self.state.healthy
        changed = self.state.note(good=good, unhealthy_after=unhealthy_after, healthy_after=healthy_after)
        needed = healthy_after if good else unhealthy_after
        assert changed is (good is not before and self.run >= needed)
        assert self.state.healthy is (good if changed else before)

    @invariant()
    def what_speaks_against_it_is_the_run_at_the_end(self) -> None:
        assert self.state.contrary == (0 if self.last is self.state.healthy else self.run)


TestThresholds = Thresholds.TestCase


def test_a_new_endpoint_is_healthy_and_one_bad_check_of_three_does_not_change_that() -> None:
    state = HealthState()
    assert state.healthy
    for good in (False, False, True, False, False):
        assert not state.note(good=good, unhealthy_after=3, healthy_after=2)
    assert state.healthy
    assert state.note(good=False, unhealthy_after=3, healthy_after=2)
    assert not state.healthy
    assert not state.note(good=True, unhealthy_after=3, healthy_after=2)
    assert state.note(good=True, unhealthy_after=3, healthy_after=2)
    assert state.healthy
