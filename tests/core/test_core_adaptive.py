"""The adaptive limit: within its bounds whatever comes, and near the capacity of an upstream that has one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.upstreams import AdaptiveConcurrency as Settings
from proxy.core.adaptive import LISTEN_AFTER, LISTEN_WINDOWS, MIN_SAMPLES, AdaptiveLimit

LEAST = 8


def built(least: int = LEAST, most: int = 1000, tolerance: float = 1.5, window: float = 1.0) -> Settings:
    return Settings.model_construct(min=least, max=most, tolerance=tolerance, window=window)


def adaptive(least: int = LEAST, most: int = 1000, tolerance: float = 1.5) -> AdaptiveLimit:
    return AdaptiveLimit(built(least, most, tolerance))


class Clock:
    """Windows, one after the other."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        self.limit, self.now = limit, 0.0

    def window(self, seconds: float, in_flight: int | None = None, samples: int = MIN_SAMPLES) -> int:
        """Requests that took ``seconds`` with so many under way (None: as many as allowed); the limit after it."""
        for _ in range(samples):
            self.limit.observe(seconds, self.limit.limit if in_flight is None else in_flight)
        self.now += 1.0
        self.limit.tick(self.now)
        return self.limit.limit

    def upstream(self, capacity: int, service: float, demand: int) -> int:
        """A window of an upstream that serves ``capacity`` at once and lets the others wait; it gets what it is let."""
        load = min(demand, self.limit.limit)
        return self.window(service * max(1.0, load / capacity), load)


def test_it_begins_at_its_lower_bound() -> None:
    assert adaptive().limit == LEAST


def test_nothing_observed_changes_nothing() -> None:
    limit = adaptive()
    for second in range(100):
        limit.tick(float(second))
    assert limit.limit == LEAST


def test_a_few_requests_are_no_window() -> None:
    clock = Clock(adaptive())
    for _ in range(MIN_SAMPLES - 1):
        assert clock.window(0.1, samples=1) == LEAST
    assert clock.window(0.1, samples=1) > LEAST


def test_it_is_set_once_per_window() -> None:
    limit = adaptive()
    for tick in range(1, 11):
        for _ in range(MIN_SAMPLES):
            limit.observe(0.1, 1000)
        limit.tick(tick / 10)
    assert limit.limit == 2 * LEAST


def test_it_rises_fast_at_the_start_and_reaches_its_bound() -> None:
    clock = Clock(adaptive(most=200))
    assert [clock.window(0.1) for _ in range(5)] == [16, 32, 64, 128, 200]


def test_it_does_not_grow_while_not_half_of_it_is_used() -> None:
    clock = Clock(adaptive())
    for _ in range(100):
        assert clock.window(0.1, LEAST // 2 - 1) == LEAST
    assert clock.window(0.1, LEAST // 2) > LEAST


def test_it_falls_by_half_at_most_and_not_below_its_bound() -> None:
    clock = Clock(adaptive(least=8))
    while clock.window(0.1) < 1000:
        pass
    before = 1000
    for _ in range(20):
        after = clock.window(60.0)
        assert max(8, before / 2) <= after <= before
        before = after
    assert before <= 10


def test_latency_within_the_tolerance_does_not_lower_it() -> None:
    clock = Clock(adaptive(tolerance=2.0))
    before = clock.window(0.1)
    for _ in range(50):
        after = clock.window(0.19)
        assert after >= before
        before = after


@pytest.mark.parametrize("capacity", [10, 50, 200])
def test_it_settles_near_what_an_upstream_can_serve(capacity: int) -> None:
    clock = Clock(adaptive(least=4))
    limits = [clock.upstream(capacity, 0.05, demand=5000) for _ in range(600)][-300:]
    assert sorted(limits)[2 * LISTEN_WINDOWS * 300 // LISTEN_AFTER] >= capacity  # it listens in the others
    assert max(limits) <= 2.5 * capacity


def test_it_follows_when_the_capacity_changes() -> None:
    clock = Clock(adaptive(least=4))
    for _ in range(100):
        high = clock.upstream(200, 0.05, demand=5000)
    for _ in range(100):
        low = clock.upstream(20, 0.05, demand=5000)
    for _ in range(300):
        again = clock.upstream(200, 0.05, demand=5000)
    assert low < 60 < 200 <= min(high, again)


def test_an_upstream_that_is_slower_for_good_becomes_the_measure() -> None:
    clock = Clock(adaptive(least=4))
    for _ in range(50):
        clock.upstream(200, 0.01, demand=5000)
    for _ in range(2 * LISTEN_AFTER):
        limit = clock.upstream(200, 0.1, demand=5000)
    assert limit >= 200


def test_an_upstream_that_is_overloaded_for_hours_does_not_become_the_measure() -> None:
    clock = Clock(adaptive(least=4))
    limits = [clock.upstream(100, 0.05, demand=5000) for _ in range(10_000)]
    assert max(limits[10:]) <= 200  # the start goes over it once


def test_it_listens_with_a_quarter_of_its_limit_for_a_moment() -> None:
    clock = Clock(adaptive(least=4))
    limits = [clock.upstream(100, 0.05, demand=5000) for _ in range(1000)]
    settled = limits[200:]
    listening = [limit for limit in settled if limit < 100]
    assert 0 < len(listening) <= LISTEN_WINDOWS * (len(settled) // LISTEN_AFTER + 1)
    assert min(listening) >= min(limit for limit in settled if limit >= 100) // 4


def test_an_upstream_that_got_slower_while_hardly_used_keeps_its_limit() -> None:
    clock = Clock(adaptive())
    for _ in range(3):
        limit = clock.window(0.01)
    assert limit == 64
    for _ in range(200):
        assert clock.window(0.1, 5) == limit
    assert clock.window(0.1) >= limit


def test_one_fast_window_does_not_throttle_what_follows() -> None:
    clock = Clock(adaptive())
    for _ in range(5):
        limit = clock.window(0.1)
    clock.window(0.0001)
    assert clock.window(0.1) >= limit


def test_a_reload_keeps_the_limit_within_the_new_bounds() -> None:
    limit = adaptive()
    limit.configure(built(least=30))
    assert limit.limit == 30
    limit.configure(built(least=1, most=10))
    assert limit.limit == 10


@given(
    least=st.integers(1, 50),
    span=st.integers(0, 2000),
    tolerance=st.floats(1, 10),
    windows=st.lists(
        st.tuples(
            st.one_of(st.just(0.0), st.floats(1e-9, 1e6)),  # seconds
            st.integers(0, 5000),  # in flight
            st.integers(0, 2 * MIN_SAMPLES),  # samples
            st.floats(0, 100),  # until the next tick
        ),
        max_size=60,
    ),
)
def test_whatever_is_observed_it_stays_within_its_bounds(
    least: int, span: int, tolerance: float, windows: list[tuple[float, int, int, float]]
) -> None:
    limit, now = adaptive(least, least + span, tolerance), 0.0
    pending = peak = 0
    for seconds, in_flight, samples, pause in windows:
        for _ in range(samples):
            limit.observe(seconds, in_flight)
        pending += samples
        peak = max(peak, in_flight if samples else 0)
        before, now = limit.limit, now + pause
        limit.tick(now)
        assert least <= limit.limit <= least + span
        assert isinstance(limit.limit, int)
        if pending < MIN_SAMPLES or 2 * peak < before:
            assert limit.limit == before
        assert limit.limit <= max(2 * before + 1, least)
        if limit._count == 0:
            pending = peak = 0
