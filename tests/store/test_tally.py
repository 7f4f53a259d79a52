"""Sums and differences of counters."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.coverage import OTHER
from proxy.messages import DURATION_BUCKETS_SECONDS, CompareCounters, Histogram, RouteCounters
from proxy.store.tally import MAX_KEYS, Tally, add, copy, is_empty, since

counts = st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(1, 10**9), max_size=3)
buckets = len(DURATION_BUCKETS_SECONDS) + 1
histograms = st.dictionaries(
    st.sampled_from(["legacy", "candidate"]),
    st.builds(
        Histogram,
        st.lists(st.integers(0, 10**6), min_size=buckets, max_size=buckets).filter(any),
        st.integers(0, 1000).map(float),
    ),
    max_size=2,
)
tallies = st.builds(
    Tally,
    st.builds(
        RouteCounters,
        requests=counts, durations=histograms, fallbacks=counts, shadow_dropped=counts, matched=st.integers(0, 100),
        unpaired=st.integers(0, 100),
    ),
    st.builds(CompareCounters, verdicts=counts, covered=counts),
)  # fmt: skip


@given(tallies, tallies)
def test_difference_of_a_sum_is_what_was_added(before: Tally, more: Tally) -> None:
    now = copy(before)
    add(now, more)
    assert since(now, before) == more
    assert is_empty(since(now, now))


@given(tallies, tallies)
def test_adding_does_not_depend_on_order_and_leaves_the_addend_alone(a: Tally, b: Tally) -> None:
    one, other, untouched = copy(a), copy(b), copy(b)
    add(one, b)
    add(other, a)
    assert one == other
    assert b == untouched


def test_histogram_with_other_buckets_is_left_out() -> None:
    into = Tally(RouteCounters(durations={"legacy": Histogram()}))
    add(into, Tally(RouteCounters(durations={"legacy": Histogram([1, 2], 3.0)})))
    assert into.traffic.durations["legacy"] == Histogram()


def test_matches_found_by_workers_and_by_the_comparator_are_one_verdict() -> None:
    tally = Tally(RouteCounters(matched=5), CompareCounters(verdicts={"matched": 2, "mismatched": 1}))
    assert tally.verdicts() == {"matched": 7, "ignored": 0, "mismatched": 1, "incomparable": 0}


def test_tables_of_two_columns_are_bounded_and_lose_no_count() -> None:
    total = Tally()
    for process in range(3):
        cells = {f"{process}.{number}": [2, 1] for number in range(MAX_KEYS // 2)}
        add(total, Tally(traffic=RouteCounters(coverage=cells)))
    assert len(total.traffic.coverage) == MAX_KEYS + 1
    assert total.traffic.coverage[OTHER] == [MAX_KEYS, MAX_KEYS // 2]
    assert sum(seen for seen, _ in total.traffic.coverage.values()) == 3 * MAX_KEYS


def test_cells_are_bounded_and_lose_no_count() -> None:
    total = Tally()
    for process in range(3):
        cells = {f"{process}.{number}": 2 for number in range(MAX_KEYS // 2)}
        add(total, Tally(compare=CompareCounters(covered=cells)))
    assert len(total.compare.covered) == MAX_KEYS + 1
    assert total.compare.covered[OTHER] == MAX_KEYS
    assert sum(total.compare.covered.values()) == 3 * MAX_KEYS


def test_the_coverage_is_what_workers_found_equal_and_what_the_comparator_compared() -> None:
    tally = Tally(RouteCounters(coverage={"a": [5, 2], "b": [3, 0]}), CompareCounters(covered={"a": 1, "c": 1}))
    assert tally.coverage() == {"a": [5, 3], "b": [3, 0], "c": [0, 1]}
    assert tally.traffic.coverage["a"] == [5, 2]
