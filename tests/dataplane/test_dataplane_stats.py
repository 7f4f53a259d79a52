"""What a worker counts: figures that go out are what came in."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.stats import RouteStats
from proxy.messages import DELTA_BUCKETS_SECONDS

SECONDS = st.floats(-20, 20) | st.floats(-0.002, 0.002) | st.sampled_from(DELTA_BUCKETS_SECONDS)


@given(st.lists(SECONDS))
def test_differences_are_counted_up_to_and_with_their_bound(found: list[float]) -> None:
    stats = RouteStats()
    expected = [0] * (len(DELTA_BUCKETS_SECONDS) + 1)
    for seconds in found:
        stats.deltas.add(seconds)
        expected[bisect_left(DELTA_BUCKETS_SECONDS, seconds)] += 1
    paired = stats.snapshot().paired
    assert paired.deltas == expected
    assert paired.total == sum(found)


def test_figures_that_went_out_do_not_change_any_more() -> None:
    stats = RouteStats()
    stats.deltas.add(0.5)
    told = stats.snapshot().paired.deltas
    before = told.copy()
    stats.deltas.add(0.5)
    assert told == before
    assert sum(stats.snapshot().paired.deltas) == 2
