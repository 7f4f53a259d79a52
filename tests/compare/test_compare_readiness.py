"""Verdicts: never ready for want of data, and never turned by more of the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.compare.evidence import Evidence
from proxy.compare.readiness import Criterion, Readiness, assess
from proxy.config.comparing import ReadyWhen
from proxy.messages import DELTA_BUCKETS_SECONDS, DURATION_BUCKETS_SECONDS, Histogram, Paired

WANTED = ReadyWhen()


def took(seconds: float, times: int) -> Histogram:
    """So many answers after about so long."""
    histogram = Histogram()
    histogram.counts[sum(bound < seconds for bound in DURATION_BUCKETS_SECONDS)] = times
    return histogram


def paired(times: int, **more: int) -> Paired:
    deltas = [0] * (len(DELTA_BUCKETS_SECONDS) + 1)
    deltas[13] = times
    return Paired(deltas, **more)


def good(**more: Any) -> Evidence:
    """A route that meets every criterion."""
    known = {
        "route": "orders-read", "stage": "shadow", "equal": 4000, "requests": 4000, "pairs": 4000,
        "paired": paired(4000),
        "legacy_seconds": took(0.02, 4000), "candidate_seconds": took(0.02, 4000), "coverage": 0.95,
    }  # fmt: skip
    return Evidence(**(known | more))


def criterion(found: Readiness, name: str) -> Criterion:
    return next(each for each in found.criteria if each.name == name)


def test_all_criteria_met_is_ready() -> None:
    found = assess(good(), WANTED)
    assert found.verdict == "ready"
    assert found.summary == "Ready: every criterion is met by 4,000 comparisons."
    assert found.reasons == []
    assert found.more == 0
    assert {each.state for each in found.criteria} == {"met", "not-asked"}


def test_a_verdict_on_pairs_that_are_equal_by_rules_says_so() -> None:
    found = assess(good(by_rules=3999), WANTED).summary
    assert found == "Ready: every criterion is met by 4,000 comparisons, 99.97 % of them equal only by the rules."
    assert assess(good(by_rules=2000), WANTED).summary == "Ready: every criterion is met by 4,000 comparisons."


def test_no_data_is_inconclusive() -> None:
    found = assess(Evidence(route="r", stage="shadow"), WANTED)
    assert found.verdict == "inconclusive"
    assert found.reasons == ["No request came in this time."]
    assert found.summary == "Inconclusive: no request came in this time."
    assert found.bound is None
    assert not any(each.state == "met" for each in found.criteria)


@pytest.mark.parametrize("stage", ["legacy", "shadow", "canary", "live", "retired"])
def test_no_data_is_inconclusive_at_any_stage(stage: str) -> None:
    assert assess(Evidence(route="r", stage=stage), WANTED).verdict == "inconclusive"  # type: ignore[arg-type]


def test_few_equal_pairs_are_inconclusive_and_say_how_many_more() -> None:
    found = assess(good(equal=400, pairs=400), WANTED)
    assert found.verdict == "inconclusive"
    assert found.more == 2995 - 400
    assert criterion(found, "compared").sentence == "Only 400 of 1,000 pairs compared so far."
    assert criterion(assess(good(equal=0), WANTED), "compared").sentence == "None of 1,000 pairs compared so far."
    assert "which 2,595 more without a mismatch would show" in criterion(found, "mismatch_below").sentence
    assert assess(good(equal=2994), WANTED).verdict == "inconclusive"
    assert assess(good(equal=2995), WANTED).verdict == "ready"


def test_an_open_difference_is_not_ready_however_rare() -> None:
    found = assess(good(equal=10**6, mismatched=1, open=("0123456789ab",)), WANTED)
    assert found.verdict == "not-ready"
    assert found.summary == "Not ready: 1 kind of difference is open: fix or accept it."
    assert found.open == ["0123456789ab"]
    assert found.more is None


def test_open_differences_may_be_allowed_but_count_as_mismatches_still() -> None:
    wanted = ReadyWhen(open_fingerprints=2)
    assert assess(good(equal=10**6, mismatched=5, open=("a", "b")), wanted).verdict == "ready"
    assert assess(good(equal=10**6, mismatched=5, open=("a", "b", "c")), wanted).verdict == "not-ready"
    assert assess(good(equal=900, mismatched=100, open=("a", "b")), wanted).verdict == "not-ready"


def test_pairs_of_accepted_differences_are_compared_and_expected() -> None:
    found = assess(good(equal=1000, expected=3000), WANTED)
    assert found.verdict == "ready"
    assert found.compared == 4000


def test_mismatches_of_nothing_open_still_count() -> None:
    """More differences than were kept: no fingerprint is open, and yet they differ."""
    found = assess(good(mismatched=100), WANTED)
    assert found.verdict == "not-ready"
    assert "100 of 4,100 pairs differ: at least 2.1 % of all do" in found.reasons[0]


def test_one_mismatch_in_a_few_thousand_is_neither_ready_nor_not() -> None:
    found = assess(good(equal=3999, mismatched=1), WANTED)
    assert found.verdict == "inconclusive"
    assert found.more == 4742 - 4000


@pytest.mark.parametrize("stage", ["legacy", "retired"])
def test_a_stage_at_which_nothing_is_compared_is_never_ready(stage: str) -> None:
    found = assess(good(stage=stage, candidate_requests=5000), WANTED)
    assert found.verdict == "inconclusive"
    assert f"At stage {stage} nothing is compared" in found.reasons[0]


def test_a_route_without_a_candidate_is_inconclusive() -> None:
    found = assess(Evidence(route="r", stage="legacy", candidate=False, requests=7), WANTED)
    assert found.verdict == "inconclusive"
    assert "no candidate" in found.reasons[0]
    assert assess(Evidence(route="r", stage="legacy", candidate=False, requests=7, writes=7), WANTED).bias == []


def test_the_kill_switch_is_not_ready() -> None:
    assert assess(good(kill_switch=True), WANTED).summary.startswith("Not ready: the kill switch is on")
    both = assess(good(kill_switch=True, coverage=0.1), WANTED)
    assert both.summary.endswith("legacy answers at any stage. And 1 more reason.")


def test_a_lost_store_is_inconclusive_whatever_else_is_known() -> None:
    found = assess(Evidence(route="r", stage="shadow", requests=5, lost="The store is lost."), WANTED)
    assert found.verdict == "inconclusive"
    assert found.reasons[0] == "The store is lost."


def test_a_route_of_writes_is_inconclusive() -> None:
    writes = Evidence(route="r", stage="shadow", requests=500, writes=500, coverage=0.0)
    assert assess(writes, WANTED).reasons[0].startswith("Every request is a write")
    reads = msgspec.structs.replace(writes, reads_after_writes=True)
    said = "Every request is a write: reads after them are compared, how the candidate writes is not."
    assert assess(reads, WANTED).reasons == [said]
    many = good(requests=5000, writes=5000, reads_after_writes=True)
    assert (assess(many, WANTED).verdict, assess(many, WANTED).reasons) == ("inconclusive", [said])


def test_pairs_that_were_all_lost_are_named_as_the_cause() -> None:
    lost = Evidence(
        route="r", stage="shadow", requests=9, dropped={"memory": 3}, incomparable=6, incomparable_by={"budget": 6}
    )
    assert assess(lost, WANTED).reasons == ["No pair was compared to the end, all were lost: budget 6, memory 3."]


def test_evidence_that_began_anew_is_named_as_the_cause() -> None:
    anew = Evidence(route="r", stage="shadow", requests=9, restarted="the rules of comparing changed")
    found = assess(anew, WANTED)
    assert found.reasons == ["Evidence began anew, and no pair counts yet."]
    assert found.bias[0].sentence == "Earlier evidence does not count: the rules of comparing changed."


def test_no_sampling_is_named_as_the_cause() -> None:
    unsampled = Evidence(route="r", stage="shadow", requests=9, sample=0.0)
    assert assess(unsampled, WANTED).reasons == ["No request is shadowed: shadow.sample is 0 %."]


def test_writes_beside_reads_are_named_as_bias() -> None:
    (found, *_) = assess(good(requests=5000, writes=1000), WANTED).bias
    assert found.name == "writes"
    assert found.share == 0.2
    assert "1,000 of 5,000 requests (20 %)" in found.sentence
    assert "never compared" in found.sentence


def test_every_bias_is_named() -> None:
    evidence = good(
        sample=0.1, writes=5, unpaired=7, candidate_requests=200, selfs=40, dropped={"loop-lag": 3, "memory": 9},
        incomparable=11, incomparable_by={"too-large": 11}, records_lost=2, restarted="ann changed the rules",
        by_rules=2000, expected=4, mode="schema",
    )  # fmt: skip
    found = {bias.name: bias.sentence for bias in assess(evidence, WANTED).bias}
    assert set(found) == {
        "restarted", "sampling", "writes", "unpaired", "self", "dropped", "incomparable", "records-lost", "marked",
        "rules", "expected", "mode",
    }  # fmt: skip
    assert "memory 9, loop-lag 3" in found["dropped"]
    assert "too-large 11" in found["incomparable"]
    assert "Only 10 %" in found["sampling"]
    assert found["rules"] == "2,000 pairs (50 %) count as equal only by the rules of compare."
    assert found["mode"] == "Names and types are compared, values are not (compare.mode: schema)."


def test_pairs_that_were_lost_keep_the_verdict_open() -> None:
    found = assess(good(equal=4000, incomparable=200, dropped={"loop-lag": 300}), WANTED)
    assert found.verdict == "inconclusive"
    assert "500 of 4,500 sampled pairs (11.1 %)" in found.reasons[0]
    assert assess(good(equal=4000, incomparable=200), WANTED).verdict == "ready"


@pytest.mark.parametrize(
    ("legacy", "candidate", "verdict"),
    [(0, 0, "ready"), (0, 4, "ready"), (0, 5, "not-ready"), (100, 104, "ready"), (100, 105, "not-ready"),
     (50, 0, "ready")],
)  # fmt: skip
def test_errors_are_held_against_those_of_legacy(legacy: int, candidate: int, verdict: str) -> None:
    both = paired(4000, legacy_errors=legacy, candidate_errors=candidate)
    assert assess(good(paired=both), WANTED).verdict == verdict


def test_errors_that_users_of_the_candidate_got_count_too() -> None:
    served = good(stage="live", candidate_requests=1000, candidate_errors=30)
    found = assess(served, WANTED)
    assert found.verdict == "not-ready"
    assert "30 of 1,000 requests that" in found.reasons[0]
    found = assess(good(candidate_requests=20, candidate_errors=20), WANTED)
    assert found.verdict == "not-ready"
    assert "20 of 20 requests that" in found.reasons[0]
    assert assess(good(candidate_requests=99, candidate_errors=0), WANTED).verdict == "ready"
    both = paired(4000, legacy_errors=40)
    found = assess(good(stage="live", candidate_requests=1000, candidate_errors=30, paired=both), WANTED)
    assert criterion(found, "error_delta_below").value == pytest.approx(0.02)  # 3 % against legacy's 1 %


@pytest.mark.parametrize(
    ("legacy", "candidate", "state"),
    [
        (0.02, 0.02, "met"),
        (0.02, 0.04, "not-met"),
        (0.08, 0.02, "met"),  # faster
        (0.0005, 0.004, "met"),  # eight times as slow, and nobody can tell
        (0.3, 11.0, "not-met"),
        (11.0, 0.3, "met"),
        (11.0, 11.0, "unknown"),
        (7.0, 11.0, "unknown"),  # 9.95 s against 10 s or more
    ],
)
def test_slowness_is_claimed_as_far_as_the_buckets_can_tell(legacy: float, candidate: float, state: str) -> None:
    evidence = good(legacy_seconds=took(legacy, 500), candidate_seconds=took(candidate, 500))
    assert criterion(assess(evidence, WANTED), "p99_ratio_below").state == state


def test_two_times_in_one_bucket_are_not_told_apart() -> None:
    legacy, candidate = took(0.02, 0), took(0.02, 0)
    legacy.counts[4:6] = [989, 11]
    candidate.counts[4:6] = [0, 1000]
    found = criterion(assess(good(legacy_seconds=legacy, candidate_seconds=candidate), WANTED), "p99_ratio_below")
    assert found.state == "unknown"
    assert "between 25 ms and 50 ms they are not told apart" in found.sentence


def test_few_answers_have_no_p99() -> None:
    found = criterion(assess(good(candidate_seconds=took(0.02, 99)), WANTED), "p99_ratio_below")
    assert (found.state, found.more) == ("unknown", 1)


@pytest.mark.parametrize(
    ("stage", "requests", "fallen", "state"),
    [
        ("shadow", 0, 0, "not-asked"),
        ("canary", 0, 0, "unknown"),
        ("canary", 99, 0, "unknown"),
        ("canary", 100, 0, "met"),
        ("canary", 100, 1, "not-met"),
        ("live", 10_000, 9, "met"),
        ("live", 10_000, 10, "not-met"),
        ("shadow", 100, 1, "not-met"),  # back from a canary within the window
        ("shadow", 50, 50, "not-met"),
        ("shadow", 99, 1, "not-asked"),
        ("canary", 3, 3, "not-met"),
        ("canary", 40, 90, "not-met"),
    ],
)
def test_fallbacks(stage: str, requests: int, fallen: int, state: str) -> None:
    evidence = good(stage=stage, candidate_requests=requests, fallbacks={"timeout": fallen})
    assert criterion(assess(evidence, WANTED), "fallbacks_below").state == state


def test_coverage_below_the_threshold_is_missing_data() -> None:
    found = assess(good(coverage=0.89, never=3), WANTED)
    assert found.verdict == "inconclusive"
    assert found.reasons == [
        "Only 89 % of the traffic is of kinds that were compared, 90 % is asked for: 3 kinds never."
    ]
    assert assess(good(coverage=None), WANTED).verdict == "inconclusive"
    assert assess(good(coverage=None), ReadyWhen.model_construct(coverage=0.0)).verdict == "ready"


def test_the_worst_comes_first() -> None:
    found = assess(good(equal=10, coverage=0.1, mismatched=3, open=("aa",)), WANTED)
    assert found.verdict == "not-ready"
    states = [each.state for each in found.criteria if each.sentence in found.reasons]
    by_reason = [next(each.state for each in found.criteria if each.sentence == reason) for reason in found.reasons]
    assert sorted(states, key=["not-met", "unknown"].index) == by_reason


# -- what must hold of any evidence ---------------------------------------------------------------------------------

counts = st.integers(0, 5000)
histograms = st.builds(took, st.sampled_from([0.0005, 0.004, 0.02, 0.03, 0.4, 12.0]), counts)
wanted = st.builds(
    ReadyWhen.model_construct,
    compared=st.sampled_from([1, 100, 1000]),
    mismatch_below=st.sampled_from([0.0005, 0.001, 0.05, 0.5]),
    confidence=st.sampled_from([0.5, 0.95, 0.99]),
    error_delta_below=st.sampled_from([0.0, 0.001, 0.1]),
    p99_ratio_below=st.sampled_from([1.0, 1.5, 10.0]),
    coverage=st.sampled_from([0.0, 0.5, 0.9]),
    open_fingerprints=st.integers(0, 2),
    fallbacks_below=st.sampled_from([0.001, 0.1, 1.0]),
)
evidences = st.builds(
    Evidence,
    route=st.just("r"),
    stage=st.sampled_from(["legacy", "shadow", "canary", "live", "retired"]),
    candidate=st.sampled_from([True, True, True, False]),
    kill_switch=st.sampled_from([False, False, False, True]),
    equal=counts,
    expected=st.sampled_from([0, 0, 3, 700]),
    mismatched=st.sampled_from([0, 0, 0, 1, 2, 40]),
    incomparable=st.sampled_from([0, 0, 5, 2000]),
    open=st.sampled_from([(), (), ("a",), ("a", "b"), ("a", "b", "c")]),
    requests=counts,
    candidate_requests=st.sampled_from([0, 50, 100, 5000]),
    candidate_errors=st.sampled_from([0, 0, 1, 50]),
    fallbacks=st.sampled_from([{}, {}, {"reset": 1}, {"reset": 1, "timeout": 50}]),
    dropped=st.sampled_from([{}, {"loop-lag": 20}, {"memory": 3000}]),
    pairs=counts,
    paired=st.builds(
        paired, counts, legacy_errors=st.sampled_from([0, 0, 3]), candidate_errors=st.sampled_from([0, 0, 3])
    ),
    legacy_seconds=histograms,
    candidate_seconds=histograms,
    coverage=st.sampled_from([None, 0.0, 0.5, 0.95, 1.0]),
    lost=st.sampled_from(["", "", "", "Lost."]),
)


@settings(max_examples=400)
@given(evidences, wanted, st.integers(1, 10**6))
def test_more_equal_pairs_never_turn_ready_into_anything_else(evidence: Evidence, wanted: ReadyWhen, more: int) -> None:
    before = assess(evidence, wanted).verdict
    grown = msgspec.structs.replace(evidence, equal=evidence.equal + more)
    after = assess(grown, wanted).verdict
    assert (before, after) not in {("ready", "not-ready"), ("ready", "inconclusive"), ("inconclusive", "not-ready")}


@settings(max_examples=400)
@given(evidences, wanted)
def test_one_open_difference_more_never_makes_ready(evidence: Evidence, wanted: ReadyWhen) -> None:
    before = assess(evidence, wanted).verdict
    worse = msgspec.structs.replace(evidence, open=(*evidence.open, "new"), mismatched=evidence.mismatched + 1)
    after = assess(worse, wanted).verdict
    assert after != "ready" or before == "ready"
    if len(worse.open) > wanted.open_fingerprints:
        assert after == "not-ready"


@settings(max_examples=400)
@given(evidences, wanted)
def test_ready_means_that_everything_was_seen(evidence: Evidence, wanted: ReadyWhen) -> None:
    found = assess(evidence, wanted)
    if found.verdict == "ready":
        assert evidence.compared >= wanted.compared
        assert found.bound is not None
        assert found.bound <= wanted.mismatch_below
        assert evidence.pairs >= min(100, wanted.compared)
        assert not evidence.lost
        assert evidence.stage in ("shadow", "canary", "live")
    assert bool(found.reasons) == (found.verdict != "ready")


@settings(max_examples=200)
@given(evidences, wanted)
def test_as_many_more_as_it_says_answer_what_pairs_can_answer(evidence: Evidence, wanted: ReadyWhen) -> None:
    found = assess(evidence, wanted)
    if found.verdict != "inconclusive" or not found.more:
        return
    grown = assess(msgspec.structs.replace(evidence, equal=evidence.equal + found.more), wanted)
    assert criterion(grown, "compared").state == "met"
    assert criterion(grown, "mismatch_below").state == "met"
