"""The arithmetic of a deadline."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deadline import fallback_reserve, longest_pause, try_deadline

seconds = st.floats(min_value=0.001, max_value=1e6)
MAX_ATTEMPTS = 10


def test_the_reserve_is_what_legacy_may_need() -> None:
    assert fallback_reserve(60, connect=1, first_byte=10) == 11


def test_a_slow_legacy_gets_half_of_a_short_deadline() -> None:
    assert fallback_reserve(10, connect=1, first_byte=10) == 5


def test_a_try_is_bounded_by_its_own_time_and_by_what_is_left() -> None:
    assert try_deadline(100, 149, 5) == 105
    assert try_deadline(147, 149, 5) == 149


def test_without_per_try_only_what_is_left_bounds_a_try() -> None:
    assert try_deadline(100, 149, 0) == 149


def test_pauses_double_up_to_the_longest() -> None:
    assert [longest_pause(number, 0.025, 0.25) for number in range(6)] == [0.025, 0.05, 0.1, 0.2, 0.25, 0.25]
    assert longest_pause(3, 0, 0.25) == 0


@given(total=seconds, connect=seconds, first_byte=seconds)
def test_the_candidate_always_has_half_of_the_deadline(total: float, connect: float, first_byte: float) -> None:
    assert 0 < fallback_reserve(total, connect, first_byte) <= total / 2


@given(begins=seconds, ends=seconds, per_try=st.one_of(st.just(0.0), seconds))
def test_no_try_outlasts_the_last_ones_end(begins: float, ends: float, per_try: float) -> None:
    assert try_deadline(begins, ends, per_try) <= ends


@given(number=st.integers(0, MAX_ATTEMPTS), backoff=seconds, longest=seconds)
def test_a_pause_never_shrinks_and_is_never_longer_than_the_longest(
    number: int, backoff: float, longest: float
) -> None:
    assert longest_pause(number, backoff, longest) <= longest_pause(number + 1, backoff, longest) <= longest
