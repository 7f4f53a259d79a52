"""Whether a route may be cut over.

Law: three-valued, and never ``ready`` for want of data. ``not-ready`` is said when the evidence shows that a criterion
does not hold, ``inconclusive`` when it does not show yet that all of them do; what is missing and what may mislead is
named. Sentences hold no recorded text: names of the configuration, numbers and fingerprints only.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.compare.binomial import lower, needed, upper
from proxy.compare.evidence import Bias, Evidence, biases, counts
from proxy.compare.histograms import INFINITE, Quantile, quantile
from proxy.compare.wording import number, percent, plural, seconds, times
from proxy.config.comparing import ReadyWhen
from proxy.messages import DURATION_BUCKETS_SECONDS, Histogram

Word = Literal["ready", "not-ready", "inconclusive"]
State = Literal["met", "not-met", "unknown", "not-asked"]

ENOUGH = 100
"""Fewer answers than this say nothing of a p99, an error share or a share of fallbacks; unless ``compared`` asks for
fewer, then that is enough here too."""
MAX_UNJUDGED = 0.1
"""When more than this share of the sampled pairs was dropped or incomparable, the others say too little: what is lost
is not lost by chance."""
NOTICEABLE_SECONDS = 0.01
"""A p99 that is worse by less than this is no violation, whatever the ratio: 1 ms against 3 ms harms nobody."""
MOST = 0.5
"""When more than this share of the pairs is equal only by the rules of ``compare``, the verdict says so itself."""
MAX_OPEN = 100
GAUGE: dict[Word, int] = {"ready": 1, "not-ready": 0, "inconclusive": -1}
"""The verdict as ``banyan_route_ready`` tells it."""


class Criterion(msgspec.Struct, frozen=True):
    """One thing that has to hold. ``value`` is what was found (None: nothing), ``threshold`` what was asked for."""

    name: str
    state: State
    sentence: str
    value: float | None = None
    threshold: float | None = None
    more: int | None = None  # comparisons that are missing; None when no number of them would do


class Readiness(msgspec.Struct, frozen=True):
    """The verdict of one route. ``reasons`` are the sentences of all criteria that are not met, the worst first;
    ``more`` is how many further comparisons are needed, if nothing unexpected differs (None: it is not that)."""

    route: str
    verdict: Word
    summary: str
    reasons: list[str]
    criteria: list[Criterion]
    bias: list[Bias]
    more: int | None
    compared: int
    equal: int
    expected: int
    mismatched: int
    incomparable: int
    open: list[str]
    """Fingerprints that are neither accepted, fixed nor noise, the heaviest first, at most 100."""
    bound: float | None
    """The upper confidence bound of the real share of mismatches, 0..1."""
    since: float
    """Seconds since the epoch: older evidence does not count."""
    window: float
    """Seconds; how far back evidence may count."""
    first: float | None = None
    """Seconds since the epoch: the time of the first pair that counts, exact to its bucket; None without a pair."""


def assess(evidence: Evidence, wanted: ReadyWhen) -> Readiness:
    """The verdict on what is known of a route."""
    criteria = [
        *_standing(evidence),
        _open(evidence, wanted),
        _compared(evidence, wanted),
        _mismatches(evidence, wanted),
        _judged(evidence),
        _errors(evidence, wanted),
        _slower(evidence, wanted),
        _fallbacks(evidence, wanted),
        _coverage(evidence, wanted),
    ]
    violated = [each for each in criteria if each.state == "not-met"]
    open_still = [each for each in criteria if each.state == "unknown"]
    verdict: Word = "not-ready" if violated else "inconclusive" if open_still else "ready"
    missing = [each.more for each in open_still if each.more]
    if not evidence.compared and (causes := [each for each in open_still if each.name == "evidence"]):
        open_still = causes  # that nothing is known of anything else follows from it
    reasons = [each.sentence for each in violated + open_still]
    return Readiness(
        route=evidence.route,
        verdict=verdict,
        summary=_summary(evidence, verdict, reasons),
        reasons=reasons,
        criteria=criteria,
        bias=biases(evidence),
        more=max(missing) if missing and not violated else 0 if verdict == "ready" else None,
        compared=evidence.compared,
        equal=evidence.equal,
        expected=evidence.expected,
        mismatched=evidence.mismatched,
        incomparable=evidence.incomparable,
        open=list(evidence.open[:MAX_OPEN]),
        bound=upper(evidence.mismatched, evidence.compared, wanted.confidence) if evidence.compared else None,
        since=evidence.since,
        window=wanted.window,
        first=evidence.first,
    )


def _summary(evidence: Evidence, verdict: Word, reasons: list[str]) -> str:
    if verdict == "ready":
        by_rules = evidence.by_rules / max(1, evidence.compared)
        but = f", {percent(by_rules)} of them equal only by the rules" if by_rules > MOST else ""
        return f"Ready: every criterion is met by {number(evidence.compared, 'comparison')}{but}."
    also = f" And {number(len(reasons) - 1, 'more reason')}." if len(reasons) > 1 else ""
    word = "Not ready" if verdict == "not-ready" else "Inconclusive"
    return f"{word}: {reasons[0][0].lower()}{reasons[0][1:]}{also}"


# -- the criteria ---------------------------------------------------------------------------------------------------


def _standing(evidence: Evidence) -> list[Criterion]:
    """What stands against a verdict before any figure."""
    found = []
    if evidence.kill_switch:
        what = "The kill switch is on in the file: legacy answers at any stage."
        found.append(Criterion("kill_switch", "not-met", what))
    if why := _no_evidence(evidence):
        found.append(Criterion("evidence", "unknown", why))
    return found


def _no_evidence(evidence: Evidence) -> str:
    if evidence.lost:
        return evidence.lost
    if not evidence.candidate:
        return "The route names no candidate: there is nothing to compare."
    if evidence.stage == "legacy":
        return "At stage legacy nothing is compared: legacy answers alone."
    if evidence.stage == "retired":
        return "At stage retired nothing is compared: the candidate answers alone."
    only_writes = 0 < evidence.writes == evidence.requests
    if only_writes and evidence.reads_after_writes:
        return "Every request is a write: reads after them are compared, how the candidate writes is not."
    if evidence.compared:
        return ""
    if not evidence.requests:
        return "No request came in this time."
    if only_writes:
        return "Every request is a write, and writes are not compared: see shadow.unsafe for what can be done."
    if not evidence.sample:
        return "No request is shadowed: shadow.sample is 0 %."
    if evidence.restarted:
        return "Evidence began anew, and no pair counts yet."
    if lost := {**evidence.dropped, **evidence.incomparable_by}:
        return f"No pair was compared to the end, all were lost: {counts(lost)}."
    return f"None of {number(evidence.requests, 'request')} was compared so far."


def _open(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    count, allowed = len(evidence.open), wanted.open_fingerprints
    name, asked = "open_fingerprints", float(allowed)
    if count > allowed:
        is_open = f"{number(count, 'kind')} of difference {plural(count, 'is', 'are')} open"
        limit = "" if not allowed else f"; at most {allowed:,} may be"
        return Criterion(
            name, "not-met", f"{is_open}{limit}: fix or accept {plural(count, 'it', 'them')}.", count, asked
        )
    if not evidence.compared:
        return Criterion(name, "unknown", "No difference is known, for nothing was compared.", None, asked)
    what = "No kind of difference is open." if not count else f"{number(count, 'kind')} of difference may stay open."
    return Criterion(name, "met", what, count, asked)


def _compared(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    name, n, asked = "compared", evidence.compared, float(wanted.compared)
    if n >= wanted.compared:
        return Criterion(name, "met", f"{number(n, 'pair')} compared; {wanted.compared:,} were asked for.", n, asked)
    seen = f"{f'Only {n:,}' if n else 'None'} of {number(wanted.compared, 'pair')}"
    return Criterion(name, "unknown", f"{seen} compared so far.", n, asked, wanted.compared - n)


def _mismatches(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    name, limit, sure = "mismatch_below", wanted.mismatch_below, wanted.confidence
    n, k = evidence.compared, evidence.mismatched
    if not n:
        more = needed(0, limit, sure)
        what = f"Nothing was compared: {more:,} pairs without a mismatch would show less than {percent(limit)}."
        return Criterion(name, "unknown", what, None, limit, more)
    high, low = upper(k, n, sure), lower(k, n, sure)
    seen = (
        f"{k:,} of {number(n, 'pair')} {plural(k, 'differs', 'differ')}"
        if k
        else f"None of {number(n, 'pair')} differs"
    )
    at_most = f"at most {percent(high, up=True)} of all may, with {percent(sure)} confidence"
    asked = f"below {percent(limit)} is asked for"
    if high <= limit:
        return Criterion(name, "met", f"{seen}: {at_most}; {asked}.", high, limit, 0)
    if low > limit:
        return Criterion(
            name, "not-met", f"{seen}: at least {percent(low)} of all do, with {percent(sure)} confidence; {asked}.",
            high, limit,
        )  # fmt: skip
    more = needed(k, limit, sure) - n
    what = f"{seen}: {at_most}; {asked}, which {more:,} more without a mismatch would show."
    return Criterion(name, "unknown", what, high, limit, more)


def _judged(evidence: Evidence) -> Criterion:
    """Pairs that were lost are not lost by chance: what is slow, large or odd goes first."""
    name, lost = "judged", sum(evidence.dropped.values()) + evidence.unjudged + evidence.incomparable
    sampled = lost + evidence.compared
    if not sampled:
        return Criterion(name, "unknown", "No pair was sampled.", None, MAX_UNJUDGED)
    share = lost / sampled
    were = plural(lost, "was", "were")
    seen = (
        f"{lost:,} of {number(sampled, 'sampled pair')} ({percent(share)}) {were} dropped, incomparable or not judged"
    )
    if share > MAX_UNJUDGED:
        return Criterion(name, "unknown", f"{seen}: what is left says too little.", share, MAX_UNJUDGED)
    seen = seen if lost else "No sampled pair was lost"
    return Criterion(name, "met", f"{seen}; at most {percent(MAX_UNJUDGED)} may be.", share, MAX_UNJUDGED)


def _errors(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    """Errors of both sides in pairs; and what the candidate's own clients got, held against legacy's share."""
    name, limit = "error_delta_below", wanted.error_delta_below
    n, paired, enough = evidence.pairs, evidence.paired, min(ENOUGH, wanted.compared)
    answered, failed = evidence.candidate_requests, evidence.candidate_errors
    if n < enough:
        what = f"Errors are told apart from {number(enough, 'pair')} on; there {plural(n, 'is', 'are')} {n:,}."
        return Criterion(name, "unknown", what, None, limit, enough - n)
    legacy = paired.legacy_errors / n
    delta = paired.candidate_errors / n - legacy
    fails = f"The candidate fails on {paired.candidate_errors:,} and legacy on {paired.legacy_errors:,}"
    what = f"{fails} of {number(n, 'pair')}"
    if fell := sum(evidence.fallbacks.values()):
        what += f" ({number(fell, 'request')} that fell back {plural(fell, 'counts', 'count')} under fallbacks)"
    if (own := _at_least(failed, answered, wanted)) - legacy > delta:
        delta = own - legacy
        what = (
            f"{failed:,} of {number(answered, 'request')} that the candidate was to answer ended in 5xx; "
            f"legacy fails on {percent(legacy)} of the pairs"
        )
    if delta > limit:
        more = f"{percent(delta, up=True)} more"
        return Criterion(name, "not-met", f"{what}: {more}, {percent(limit)} is allowed.", delta, limit)
    return Criterion(name, "met", f"{what}; {percent(limit)} more is allowed.", delta, limit)


def _at_least(failed: int, n: int, wanted: ReadyWhen) -> float:
    """The share of failures that ``n`` requests show: of few only the lower bound, for 50 of 50 are no chance."""
    failed = min(failed, n)
    if n >= min(ENOUGH, wanted.compared):
        return failed / n
    return lower(failed, n, wanted.confidence)


def _slower(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    """p99 to the first byte; a ratio is claimed only as far as buckets can tell."""
    name, limit = "p99_ratio_below", wanted.p99_ratio_below
    legacy, candidate = _p99(evidence.legacy_seconds), _p99(evidence.candidate_seconds)
    enough = min(ENOUGH, wanted.compared)
    fewest = min(sum(evidence.legacy_seconds.counts), sum(evidence.candidate_seconds.counts))
    if legacy is None or candidate is None or fewest < enough:
        there = f"of one there {plural(fewest, 'is', 'are')} {fewest:,}"
        what = f"A p99 needs {number(enough, 'answer')} of each side; {there}."
        return Criterion(name, "unknown", what, None, limit, enough - fewest)
    ratio = candidate.value / legacy.value
    p99 = f"The candidate's p99 is {seconds(candidate.value)}, legacy's {seconds(legacy.value)} (read from buckets)"
    if INFINITE in (legacy.high, candidate.high):
        # Beyond the last bound all that is known of a side is that it takes longer than that.
        state: State = "unknown"
        if candidate.high < legacy.high:
            state = "met"
        elif legacy.high < candidate.high and ratio > limit:
            state = "not-met"
        return Criterion(name, state, f"{p99}; longer times are not told apart.", None, limit)
    if ratio <= limit:
        return Criterion(name, "met", f"{p99}: {times(ratio, limit)} as long; {limit:g} times may be.", ratio, limit)
    if candidate.value - legacy.value < NOTICEABLE_SECONDS:
        return Criterion(name, "met", f"{p99}: less than {seconds(NOTICEABLE_SECONDS)} apart.", ratio, limit)
    if candidate.high == legacy.high:
        between = f"between {seconds(legacy.low)} and {seconds(legacy.high)} they are not told apart"
        return Criterion(name, "unknown", f"{p99}: {between}.", None, limit)
    return Criterion(name, "not-met", f"{p99}: {times(ratio, limit)} as long; {limit:g} times may be.", ratio, limit)


def _p99(histogram: Histogram) -> Quantile | None:
    return quantile(histogram.counts, DURATION_BUCKETS_SECONDS, 0.99, 0.0)


def _fallbacks(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    name, limit, n = "fallbacks_below", wanted.fallbacks_below, evidence.candidate_requests
    fallen, enough = sum(evidence.fallbacks.values()), min(ENOUGH, wanted.compared)
    share = _at_least(fallen, n, wanted)
    if n < enough and share < limit:
        if evidence.stage in ("legacy", "shadow"):
            what = f"At stage {evidence.stage} the candidate is to answer nobody, so none can fall back."
            return Criterion(name, "not-asked", what, None, limit)
        what = f"The candidate was to answer {number(n, 'request')}; fallbacks are judged from {enough} on."
        return Criterion(name, "unknown", what, None, limit, None)
    what = f"Legacy had to answer {fallen:,} of {number(n, 'request')} that the candidate was to answer"
    if share >= limit:
        worst = max(evidence.fallbacks, key=lambda reason: evidence.fallbacks[reason])
        seen = percent(share) if n >= enough else f"at least {percent(share)}"
        why = f"mostly for {worst}; {seen}, below {percent(limit)} is asked for"
        return Criterion(name, "not-met", f"{what}, {why}.", share, limit)
    return Criterion(name, "met", f"{what}; below {percent(limit)} is asked for.", share, limit)


def _coverage(evidence: Evidence, wanted: ReadyWhen) -> Criterion:
    name, limit, share = "coverage", wanted.coverage, evidence.coverage
    if limit <= 0:
        return Criterion(name, "not-asked", "Coverage is not asked for.", share, limit)
    if share is None:
        return Criterion(name, "unknown", "Nothing is known of what legacy is asked for.", None, limit)
    kinds = f"{percent(share)} of the traffic is of kinds that were compared"
    if share >= limit:
        return Criterion(name, "met", f"{kinds}; {percent(limit)} is asked for.", share, limit)
    never = number(evidence.never, "kind")
    return Criterion(name, "unknown", f"Only {kinds}, {percent(limit)} is asked for: {never} never.", share, limit)
