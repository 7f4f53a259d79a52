"""What people read before a cutover, as data.

Law: pure functions over figures. No data is said as no data; a route with nothing compared has no match share. What to
do next follows from the figures by the one function :func:`advise`, worst news first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from proxy.config.model import Route, Settings, Stage
from proxy.control.findings import Finding
from proxy.messages import DURATION_BUCKETS_SECONDS, Histogram, Override, RouteCounters
from proxy.store.tally import Tally, add_histogram

ENOUGH_PAIRS = 100
"""Fewer judged pairs than this are a hint, not a result: 0 of 100 still allows 3 % of differences."""
ENOUGH_ANSWERS = 20
"""Fewer answers of a side than this say nothing of its p95."""
TOP_DIFFERENCES = 5

Word = Literal["legacy only", "not begun", "no data", "wait", "hold", "go on", "done"]


class Latency(msgspec.Struct):
    """Percentiles in seconds to the first byte, interpolated in buckets; the last bound stands for everything above."""

    count: int
    p50: float
    p95: float
    p99: float


class Advice(msgspec.Struct):
    """What to do next, in one word and one sentence."""

    word: Word
    sentence: str


class RouteReport(msgspec.Struct):
    """Everything about one route. Shares are 0..1; None where there is nothing to take a share of."""

    route: str
    advice: Advice
    stage: str
    percent: int | None
    file_stage: str
    overridden_by: str
    override_reason: str
    candidate: str
    requests: int
    only_writes: bool
    arms: dict[str, int]
    candidate_share: float | None
    errors: dict[str, int]
    failures: dict[str, int]
    verdicts: dict[str, int]
    incomparable: dict[str, int]
    dropped: dict[str, int]
    match_share: float | None
    differences: list[Finding]
    fallbacks: dict[str, int]
    latency: dict[str, Latency]
    notes: list[str]


class Report(msgspec.Struct):
    """The report. ``at`` is seconds since the epoch; figures are those of the last ``window_hours``."""

    at: float
    window_hours: int
    routes: list[RouteReport]


def percentile(histogram: Histogram, share: float) -> float:
    """The duration in seconds below which ``share`` of the observations lie; 0.0 without observations."""
    total = sum(histogram.counts)
    if not total:
        return 0.0
    rank, below, lower = share * total, 0, 0.0
    for bound, count in zip(DURATION_BUCKETS_SECONDS, histogram.counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below += count
        lower = bound
    return lower


def match_share(tally: Tally) -> float | None:
    """Of the pairs that could be judged, the share that did not differ; None when none was judged."""
    verdicts = tally.verdicts()
    equal = verdicts["matched"] + verdicts["ignored"]
    judged = equal + verdicts["mismatched"]
    return equal / judged if judged else None


def build(
    at: float,
    window_hours: int,
    settings: tuple[Settings, Settings],
    overrides: Iterable[Override],
    tallies: dict[str, Tally],
    findings: Iterable[Finding],
) -> Report:
    """The report on all routes. ``settings`` are (as they serve, as the file says)."""
    serving, filed = settings
    by_route: dict[str, list[Finding]] = {}
    for finding in findings:
        by_route.setdefault(finding.route, []).append(finding)
    held = {override.route: override for override in overrides}
    file_stages = {route.id: route.stage for route in filed.routes}
    routes = [
        _route(
            route,
            serving.legacy,
            file_stages.get(route.id, route.stage),
            held.get(route.id),
            tallies.get(route.id, Tally()),
            by_route.get(route.id, []),
        )
        for route in serving.routes
    ]
    return Report(at, window_hours, routes)


def _route(
    route: Route, legacy: str, file_stage: Stage, override: Override | None, tally: Tally, findings: list[Finding]
) -> RouteReport:
    traffic = tally.traffic
    arms, errors = _arms(traffic)
    requests = sum(arms.values())
    sides = {"legacy": legacy, "candidate": route.candidate or ""}
    differs = override if override is not None and _differs(route, file_stage, override) else None
    report = RouteReport(
        route=route.id,
        advice=Advice("no data", ""),
        stage=route.stage,
        percent=route.canary.percent if route.stage == "canary" else None,
        file_stage=file_stage,
        overridden_by=differs.actor if differs else "",
        override_reason=differs.reason if differs else "",
        candidate=route.candidate or "",
        requests=requests,
        only_writes=bool(route.match.methods) and not set(route.match.methods) & set(route.shadow.methods),
        arms=arms,
        candidate_share=arms["candidate"] / requests if requests else None,
        errors=errors,
        failures=_failures(traffic, sides),
        verdicts=tally.verdicts(),
        incomparable=dict(tally.compare.incomparable),
        dropped=dict(traffic.shadow_dropped),
        match_share=match_share(tally),
        differences=sorted(findings, key=lambda f: -f.count),
        fallbacks=dict(traffic.fallbacks),
        latency=_latency(traffic, sides),
        notes=[],
    )
    report.advice = advise(report)
    report.notes = _notes(report)
    return report


def _differs(route: Route, file_stage: Stage, override: Override) -> bool:
    return override.stage == route.stage and (override.stage != file_stage or override.percent is not None)


def _arms(traffic: RouteCounters) -> tuple[dict[str, int], dict[str, int]]:
    arms, errors = {"legacy": 0, "candidate": 0}, {"legacy": 0, "candidate": 0}
    for key, count in traffic.requests.items():
        _, status, arm = key.split(" ")
        arms[arm] = arms.get(arm, 0) + count
        if status.startswith("5"):
            errors[arm] = errors.get(arm, 0) + count
    return arms, errors


def _failures(traffic: RouteCounters, sides: dict[str, str]) -> dict[str, int]:
    failed = dict.fromkeys(sides, 0)
    for key, count in traffic.upstream_requests.items():
        upstream, outcome = key.split(" ")
        for side, name in sides.items():
            if name == upstream and outcome not in ("ok", "client-left"):
                failed[side] += count
    return failed


def _latency(traffic: RouteCounters, sides: dict[str, str]) -> dict[str, Latency]:
    found = {}
    for side, name in sides.items():
        whole = Histogram()
        for table in (traffic.upstream_durations, traffic.shadow_durations):
            if name in table:
                add_histogram(whole, table[name])
        if count := sum(whole.counts):
            found[side] = Latency(count, *(percentile(whole, share) for share in (0.5, 0.95, 0.99)))
    return found


# -- what to do next ------------------------------------------------------------------------------------------------


def advise(report: RouteReport) -> Advice:
    """What to do next with a route, from its figures alone; the worst news decides."""
    if report.stage == "legacy":
        if not report.candidate:
            return Advice("legacy only", "No candidate: legacy answers, and there is nothing to compare it with.")
        return Advice("not begun", f"Not begun: start comparing with {_stage_command(report, 'shadow')}.")
    if not report.requests:
        return Advice("no data", "No data: no request came in this time; send traffic before you decide.")
    return _bad_news(report) or _thin_news(report) or _good_news(report)


def _bad_news(report: RouteReport) -> Advice | None:
    judged = _judged(report)
    different = report.verdicts["mismatched"]
    back = (
        f" Users get it now: think of `banyan rollback {report.route}`." if report.stage in ("live", "retired") else ""
    )
    if different:
        kinds = len(report.differences)
        what = f"{kinds} {'kind' if kinds == 1 else 'kinds'} of difference" if kinds else "differences"
        look = f"`banyan diffs show {report.differences[0].fingerprint}`" if kinds else f"`banyan diffs {report.route}`"
        return Advice("hold", f"Hold: {what} in {share(different / judged)} of {judged:,} pairs; look at {look}.{back}")
    if fallen := sum(report.fallbacks.values()):
        worst = max(report.fallbacks, key=lambda reason: report.fallbacks[reason])
        return Advice("hold", f"Hold: legacy had to answer {fallen:,} times for the candidate, mostly for {worst}.")
    if report.errors["candidate"]:
        answered = report.arms["candidate"]
        return Advice(
            "hold", f"Hold: {report.errors['candidate']:,} of the candidate's {answered:,} requests ended in 5xx.{back}"
        )
    if (odd := report.verdicts["incomparable"]) > judged:
        why = max(report.incomparable, key=lambda reason: report.incomparable[reason], default="unknown")
        return Advice("hold", f"Hold: {odd:,} pairs could not be compared (mostly {why}), only {judged:,} could.")
    return None


def _unshadowed(report: RouteReport) -> str:
    return (
        "its requests are writes, which are not shadowed"
        if report.only_writes
        else "check shadow.sample and shadow.methods"
    )


def _thin_news(report: RouteReport) -> Advice | None:
    if report.stage == "retired":
        return None
    judged = _judged(report)
    if not judged:
        lost = sum(report.dropped.values())
        why = f"{lost:,} shadows were dropped" if lost else _unshadowed(report)
        return Advice("no data", f"No data: {report.requests:,} requests, but no pair was compared; {why}.")
    if judged < ENOUGH_PAIRS:
        return Advice(
            "wait", f"Wait: only {judged:,} pairs were compared, all equal; {ENOUGH_PAIRS} are the least to decide on."
        )
    return None


def _good_news(report: RouteReport) -> Advice:
    if report.stage == "retired":
        return Advice("done", "Done: the candidate answers alone; legacy is not asked any more.")
    judged = _judged(report)
    seen = f"all {judged:,} pairs are equal (so at most {share(3 / judged)} may differ, at 95 %)"
    if report.stage == "shadow":
        return Advice("go on", f"Go on: {seen}; begin a canary with {_stage_command(report, 'canary --percent 1')}.")
    if report.stage == "live":
        return Advice("go on", f"Go on: {seen}; keep it live, and retire legacy when nobody needs it any more.")
    percent = report.percent or 0
    if percent >= 100:
        return Advice("go on", f"Go on: {seen}; {_stage_command(report, 'live')} is next.")
    more = next(step for step in (1, 5, 10, 25, 50, 100) if step > percent)
    return Advice("go on", f"Raise the canary: {seen}; {_stage_command(report, f'canary --percent {more}')} is next.")


def _notes(report: RouteReport) -> list[str]:
    notes = []
    legacy, candidate = report.latency.get("legacy"), report.latency.get("candidate")
    enough = legacy and candidate and min(legacy.count, candidate.count) >= ENOUGH_ANSWERS
    if legacy and candidate and enough and candidate.p95 > 2 * legacy.p95 and candidate.p95 - legacy.p95 > 0.01:
        notes.append(f"The candidate is slower: p95 {seconds(candidate.p95)} against {seconds(legacy.p95)}.")
    lost, judged = sum(report.dropped.values()), _judged(report)
    if lost > judged and judged:
        notes.append(f"More shadows were dropped ({lost:,}) than compared; the match share may be biased.")
    failed = report.failures["candidate"]
    if failed and not sum(report.fallbacks.values()):
        notes.append(f"{failed:,} tries on the candidate failed.")
    return notes


def _judged(report: RouteReport) -> int:
    return sum(report.verdicts[verdict] for verdict in ("matched", "ignored", "mismatched"))


def _stage_command(report: RouteReport, stage: str) -> str:
    return f"`banyan stage {report.route} {stage} --reason …`"


# -- for people -----------------------------------------------------------------------------------------------------


def share(value: float | None) -> str:
    """0.0413 -> ``4.1 %``; a little is never shown as nothing, and almost all never as all. None is a dash."""
    if value is None:
        return "-"
    percent = value * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent % 1 else f"{percent:.0f} %"


def seconds(value: float) -> str:
    """0.0125 -> ``12.5 ms``; 1.5 -> ``1.5 s``; at the last bound of the histogram ``≥ 10 s``."""
    if value >= DURATION_BUCKETS_SECONDS[-1]:
        return f"≥ {DURATION_BUCKETS_SECONDS[-1]:g} s"
    return f"{value:.2g} s" if value >= 1 else f"{value * 1000:.3g} ms"
