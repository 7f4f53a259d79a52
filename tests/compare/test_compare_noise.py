"""Noise: decided on rates, and what it looks like."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.noise import Rates, decayed, is_noise, look
from proxy.config.comparing import Noise

RULE = Noise()


def rates(seen: float, self_seen: float, compared: float = 1000, selfs: float = 100) -> Rates:
    return Rates(seen, compared, self_seen, selfs)


@pytest.mark.parametrize(
    ("found", "noise"),
    [
        (rates(1000, 100), True),  # always, on both
        (rates(500, 50), True),
        (rates(700, 50), True),  # 70 % against 50 %: a sixth of the sum
        (rates(800, 50), False),  # 80 % against 50 %: more than a fifth
        (rates(1000, 1), False),  # always, but only once within legacy: a regression in a noisy place
        (rates(0, 100), True),  # never any more between the sides
        (rates(10, 100), True),  # less often than within legacy
        (rates(1000, 0), False),  # never within legacy
        (rates(1, 0, compared=10_000), False),  # nor is the rarest then
        (rates(0, 0), False),
        (rates(1, 1, compared=10_000, selfs=100), True),
        (rates(2, 1, compared=10_000, selfs=10_000), True),  # twice as often, but of hardly any pairs
        (rates(5, 1, compared=10_000, selfs=10_000), False),
        (rates(29, 29, compared=29, selfs=29), False),  # too few to say
        (rates(30, 30, compared=30, selfs=30), True),
        (rates(0, 30, compared=0, selfs=30), True),
    ],
)
def test_a_place_is_noise_by_both_rates(found: Rates, noise: bool) -> None:
    assert is_noise(found, RULE) is noise


def test_the_thresholds_are_the_routes() -> None:
    assert is_noise(rates(800, 50), Noise(relative="50%"))
    assert is_noise(rates(1000, 20, selfs=20), Noise(min_samples=20))
    assert not is_noise(rates(700, 50), Noise(relative="10%"))


def test_no_rates_without_pairs() -> None:
    assert (Rates(0, 0, 0, 0).rate, Rates(0, 0, 0, 0).noise_rate) == (None, None)
    assert Rates(3, 2, 1, 2).rate == 1.0  # weights that fade apart never make more than all


@given(st.floats(0, 1e6), st.floats(-1e9, 1e9), st.floats(1, 1e9))
def test_a_weight_never_grows_with_age(weight: float, age: float, half_life: float) -> None:
    assert 0 <= decayed(weight, age, half_life) <= weight


def test_a_weight_halves_with_each_half_life() -> None:
    assert [decayed(8, age, 10) for age in (-5, 0, 10, 20, 30)] == [8, 8, 4, 2, 1]


def test_the_samples_that_are_asked_for_are_enough_for_a_while() -> None:
    faded = [decayed(30, age, Noise().half_life) for age in (0.0, 1.0, 1800.0, 3600.0)]
    found = [is_noise(Rates(weight, weight, weight, weight), Noise(min_samples=30)) for weight in faded]
    assert found == [True, True, True, False]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", "timestamp"),
        ("2026-01-02T03:04:05.123+01:00", "2026-01-02T03:04:06.456+01:00", "timestamp"),
        (1760000000, 1760000001, "timestamp"),
        ("5f0c3d1e-8a52-4b57-9b1f-2f6d1d0a7c11", "9a0c3d1e-8a52-4b57-9b1f-2f6d1d0a7c12", "uuid"),
        (12.5, 13.5, "number"),
        (12, 15, "number"),
        ("https://a.example/x?y=1", "https://b.example/x?y=1", "url-without-host"),
        ("kR3nq8Zb1xVt9w2s", "pL5mq1Yc7uWt3e8d", "opaque"),
        ("kim", "lee-anne", "other"),
        (True, False, "other"),
        (None, 1, "other"),
        ("2026-01-02T03:04:05Z", "yesterday", "other"),
    ],
)
def test_values_look_like_the_matcher_that_would_call_them_equal(one: object, two: object, expected: str) -> None:
    assert look(orjson.dumps(one).decode(), orjson.dumps(two).decode()) == expected


def test_masked_values_are_opaque_and_other_text_is_read_as_it_is() -> None:
    assert look("«masked string, 20 characters»", "«masked string, 20 characters»") == "opaque"
    assert look("«masked string, 20 characters»", "absent") == "other"
    assert look("list of 3", "list of 4") == "other"
    assert look('"cut off…', '"cut off also…') == "other"


@given(st.text(), st.text())
def test_looking_never_fails(one: str, two: str) -> None:
    assert look(one, two)
