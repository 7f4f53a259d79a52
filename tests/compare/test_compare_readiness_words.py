"""What a verdict says of its evidence, in words that fit the numbers."""

from __future__ import annotations

import pytest

from proxy.compare.evidence import Evidence
from proxy.compare.readiness import assess
from proxy.config.comparing import ReadyWhen
from proxy.messages import Paired

WANTED = ReadyWhen()


def test_beside_errors_of_pairs_stands_where_requests_that_fell_back_are_counted() -> None:
    def errors(**more: int) -> str:
        evidence = Evidence(
            route="r", stage="live", pairs=4000, paired=Paired(), candidate_requests=1000, fallbacks=more
        )
        return next(each.sentence for each in assess(evidence, WANTED).criteria if each.name == "error_delta_below")

    assert "of 4,000 pairs (14 requests that fell back count under fallbacks);" in errors(connect=13, reset=1)
    assert "of 4,000 pairs (1 request that fell back counts under fallbacks);" in errors(connect=1)
    assert "of 4,000 pairs;" in errors()


def test_one_is_spoken_of_as_one_and_more_as_more() -> None:
    def said(number: int) -> dict[str, str]:
        known = Evidence(
            route="r", stage="canary", equal=4000 - number, expected=number, mismatched=number, by_rules=number,
            writes=number, requests=4000, candidate_requests=number, candidate_errors=number,
            fallbacks={"reset": number}, pairs=4000,
        )  # fmt: skip
        found = assess(known, WANTED)
        return {each.name: each.sentence for each in (*found.bias, *found.criteria)}

    one, two = said(1), said(2)
    assert one["mismatch_below"].startswith("1 of 4,001 pairs differs: ")
    assert two["mismatch_below"].startswith("2 of 4,002 pairs differ: ")
    assert one["expected"] == "1 pair (0.025 %) differs in what was accepted or is noise."
    assert one["rules"] == "1 pair (0.025 %) counts as equal only by the rules of compare."
    assert one["writes"] == "1 of 4,000 requests (0.025 %) has a method that is not shadowed: it is never compared."
    assert two["writes"].endswith(" have methods that are not shadowed: they are never compared.")
    assert one["fallbacks_below"].startswith("Legacy had to answer 1 of 1 request that the candidate was to answer, ")
    assert one["error_delta_below"].startswith("1 of 1 request that the candidate was to answer ended in 5xx; ")


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ({"budget": 1, "too-large": 2}, "3 pairs could not be compared (too-large 2, budget 1)."),
        ({"budget": 1, "too-large": 40}, "3 pairs could not be compared (too-large, budget)."),
        ({}, "3 pairs could not be compared."),
    ],
)
def test_reasons_have_numbers_where_they_are_of_the_same_pairs(reasons: dict[str, int], said: str) -> None:
    found = assess(Evidence(route="r", stage="shadow", equal=9, incomparable=3, incomparable_by=reasons), WANTED)
    assert [each.sentence for each in found.bias if each.name == "incomparable"] == [said]


def test_one_that_is_lost_is_spoken_of_as_one() -> None:
    found = assess(
        Evidence(route="r", stage="live", equal=4000, requests=4000, unpaired=1, dropped={"memory": 1}), WANTED
    )
    said = {each.name: each.sentence for each in (*found.bias, *found.criteria)}
    assert said["dropped"] == "1 shadow was dropped (memory 1): it is missing, and not by chance."
    assert said["unpaired"].startswith("1 request that the candidate answered was not compared")
    assert said["judged"].startswith("1 of 4,001 sampled pairs (0.025 %) was dropped")
