"""Figures in words: little is not nothing, and a bound never looks better than it is."""

from __future__ import annotations

import pytest

from proxy.compare.wording import percent, seconds, share, times, until


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0 %"), (0.00001, "< 0.1 %"), (0.0413, "4.1 %"), (0.99999, "> 99.9 %"), (1.0, "100 %")],
)
def test_little_is_not_nothing_and_almost_all_is_not_all(value: float | None, shown: str) -> None:
    assert share(value) == shown


@pytest.mark.parametrize(
    ("value", "near", "above"),
    [
        (0.0, "0 %", "0 %"),
        (0.001, "0.1 %", "0.1 %"),
        (0.0010041, "0.1 %", "0.11 %"),
        (0.00000123, "0.00012 %", "0.00013 %"),
        (0.12345, "12.3 %", "12.4 %"),
        (0.99996, "99.99 %", "100 %"),
        (1.0, "100 %", "100 %"),
    ],
)
def test_a_bound_is_rounded_to_the_worse_side(value: float, near: str, above: str) -> None:
    assert percent(value) == near
    assert percent(value, up=True) == above


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0125, "12.5 ms"), (1.5, "1.5 s"), (10.0, "≥ 10 s"), (0.9996, "1 s"), (-1.5, "-1.5 s")]
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("2027-01-01T00:00:00.000Z", "2026-12-31"),
        ("2027-01-01T00:30:00.000Z", "2027-01-01 00:30 UTC"),
        ("2027-01-01T00:00:30.000Z", "2027-01-01 00:00:30 UTC"),
        ("2026-12-31T18:00:00+01:00", "2026-12-31 17:00 UTC"),
        ("some day", "some day"),
    ],
)
def test_an_end_is_shown_as_it_was_typed(end: str, shown: str) -> None:
    assert until(end) == shown


@pytest.mark.parametrize(
    ("ratio", "shown"), [(1099.2, "1,100"), (53.4, "53"), (2.04, "2"), (1.25, "1.2"), (0.00001, "0.00001")]
)
def test_ratios_have_no_exponent(ratio: float, shown: str) -> None:
    assert times(ratio, 1.5) == f"{shown} times"


@pytest.mark.parametrize(
    ("ratio", "shown"), [(1.516, "1.52"), (1.5003, "1.5003"), (1.5, "1.5"), (1.4996, "1.5"), (2, "2")]
)
def test_a_ratio_above_the_limit_is_seen_to_be_above_it(ratio: float, shown: str) -> None:
    assert times(ratio, 1.5) == f"{shown} times"
