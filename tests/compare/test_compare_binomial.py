"""Bounds against exact sums of fractions, and what must hold of any bound."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.binomial import lower, needed, upper

CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
confidences = st.sampled_from(CONFIDENCES)


def at_most(k: int, n: int, p: Fraction) -> Fraction:
    """The probability of at most ``k`` hits among ``n``."""
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 33])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_upper_bound_is_where_so_few_hits_become_too_unlikely(n: int, confidence: float) -> None:
    for k in range(n):
        left = at_most(k, n, Fraction(upper(k, n, confidence)))
        assert float(left) == pytest.approx(1 - confidence, rel=1e-6)
    assert upper(n, n, confidence) == 1.0


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 33])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_lower_bound_is_where_so_many_hits_become_too_unlikely(n: int, confidence: float) -> None:
    for k in range(1, n + 1):
        left = 1 - at_most(k - 1, n, Fraction(lower(k, n, confidence)))
        assert float(left) == pytest.approx(1 - confidence, rel=1e-6)
    assert lower(0, n, confidence) == 0.0


def test_a_bound_covers_in_exactly_the_samples_that_it_promises() -> None:
    """Of all samples of a known share, those whose upper bound lies below it come at most once in twenty."""
    n = 60
    for share in (Fraction(1, 100), Fraction(1, 7), Fraction(1, 2)):
        missed = [k for k in range(n + 1) if upper(k, n, 0.95) < share]
        chance = at_most(max(missed), n, share) if missed else Fraction(0)
        assert chance <= Fraction(5, 100)


@pytest.mark.parametrize(
    ("k", "n", "confidence", "expected"),
    [
        (0, 0, 0.95, 1.0),  # nothing seen, nothing known
        (0, 1, 0.95, 0.95),
        (0, 10, 0.95, 1 - 0.05**0.1),
        (1, 10, 0.95, 0.394163),  # these and the next: tables of Clopper and Pearson
        (5, 10, 0.975, 0.812914),
        (10, 100, 0.975, 0.176223),
    ],
)
def test_known_upper_bounds(k: int, n: int, confidence: float, expected: float) -> None:
    assert upper(k, n, confidence) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("k", "n", "confidence", "expected"),
    [(5, 10, 0.975, 0.187086), (10, 100, 0.975, 0.049005), (10, 10, 0.95, 0.05**0.1)],
)
def test_known_lower_bounds(k: int, n: int, confidence: float, expected: float) -> None:
    assert lower(k, n, confidence) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [300, 3000, 10**6, 10**9])
def test_the_rule_of_three(n: int) -> None:
    """None among n: at 95 % at most 3 / n, nearly; and never more."""
    assert 0.98 * 3 / n < upper(0, n, 0.95) <= 3 / n


@pytest.mark.parametrize(("k", "n"), [(10**6, 10**9), (5 * 10**8, 10**9), (10**4, 10**8), (10**9 - 10**5, 10**9)])
@pytest.mark.parametrize(("confidence", "deviations"), [(0.95, 1.6448536), (0.999, 3.0902323)])
def test_large_samples_meet_the_normal_distribution(k: int, n: int, confidence: float, deviations: float) -> None:
    share = k / n
    width = deviations * math.sqrt(share * (1 - share) / n)
    assert upper(k, n, confidence) - share == pytest.approx(width, rel=0.02)
    assert share - lower(k, n, confidence) == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize(("k", "mean"), [(1, 4.743865), (10, 16.962219), (100, 118.07870)])
def test_few_hits_among_very_many_meet_the_poisson_distribution(k: int, mean: float) -> None:
    n = 10**9
    assert upper(k, n, 0.95) * n == pytest.approx(mean, rel=1e-4)


samples = st.integers(0, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=300)
@given(samples, confidences)
def test_the_bounds_hold_the_share_between_them(sample: tuple[int, int], confidence: float) -> None:
    k, n = sample
    low, high = lower(k, n, confidence), upper(k, n, confidence)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high or confidence == 0.5  # at 50 % the median may lie beside the mean


@settings(max_examples=300)
@given(samples, confidences)
def test_one_more_hit_raises_and_one_more_sample_lowers_the_bounds(sample: tuple[int, int], confidence: float) -> None:
    k, n = sample
    slack = 1 + 1e-9
    assert upper(k, n + 1, confidence) <= upper(k, n, confidence) * slack
    assert lower(k, n + 1, confidence) <= lower(k, n, confidence) * slack
    assert upper(k + 1, n + 1, confidence) * slack >= upper(k, n + 1, confidence)
    assert lower(k + 1, n + 1, confidence) * slack >= lower(k, n + 1, confidence)


@given(samples)
def test_to_be_surer_costs_width(sample: tuple[int, int]) -> None:
    k, n = sample
    bounds = [upper(k, n, confidence) for confidence in CONFIDENCES]
    assert bounds == sorted(bounds)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(1e-6, 1.0), confidences)
def test_needed_is_the_smallest_number_that_is_enough(k: int, threshold: float, confidence: float) -> None:
    n = needed(k, threshold, confidence)
    assert upper(k, n, confidence) <= threshold
    assert n == k or upper(k, n - 1, confidence) > threshold


def test_needed_without_a_hit_is_the_logarithm() -> None:
    assert needed(0, 0.001, 0.95) == math.ceil(math.log(0.05) / math.log(0.999)) == 2995


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_no_number_shows_a_share_of_nothing(threshold: float) -> None:
    with pytest.raises(ValueError, match="no number of samples"):
        needed(0, threshold, 0.95)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 0.0), (1, 3, 1.0)])
def test_what_is_no_sample_is_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="is no"):
        upper(k, n, confidence)
