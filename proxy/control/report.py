"""What people read before a cutover, as data.

Law: pure functions over figures. No data is said as no data; a route with nothing compared has no match share. What to
do next follows from the verdict of :mod:`proxy.compare.readiness`, so that the report never says another thing than it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from proxy.compare.histograms import percentile
from proxy.compare.readiness import Readiness
from proxy.compare.wording import number
from proxy.config.comparing import Compare
from proxy.config.model import Route, Stage
from proxy.control.coverage import Coverage, coverage_of
from proxy.control.findings import Finding, settled
from proxy.control.report_figures import Hour, Paired, Rule, paired_of, rules_in_force, sizes_of, span_of, spans_of
from proxy.control.report_samples import SideBySide
from proxy.messages import Histogram, Override, RouteCounters
from proxy.store.tally import Tally, add_histogram

MAX_LISTED = 50
"""Differences of one state that the report shows; the others are counted."""

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


class Shown(msgspec.Struct):
    """A kind of difference with one recorded pair, if there is one."""

    finding: Finding
    pair: SideBySide | None


class RouteReport(msgspec.Struct, kw_only=True):
    """Everything about one route. Shares are 0..1; None where there is nothing to take a share of. ``spans`` says by
    field of which time the figures are; the verdict has a window of its own."""

    route: str
    spans: dict[str, str]
    readiness: Readiness
    advice: Advice
    stage: str
    percent: int | None
    file_stage: str
    overridden_by: str
    override_reason: str
    candidate: str
    requests: int
    arms: dict[str, int]
    candidate_share: float | None
    errors: dict[str, int]
    failures: dict[str, int]
    verdicts: dict[str, int]
    incomparable: dict[str, int]
    expected: dict[str, int]
    dropped: dict[str, int]
    match_share: float | None
    trend: list[Hour]
    differences: list[Shown]
    noise: list[Shown]
    accepted: list[Shown]
    fixed: list[Shown]
    not_listed: dict[str, int]
    """Field of these four -> how many more kinds of difference are in that state."""
    fallbacks: dict[str, int]
    latency: dict[str, Latency]
    paired: Paired
    sizes: list[int]
    coverage: Coverage
    rules: list[Rule]


class Uncovered(msgspec.Struct):
    """Of all ``requests`` those that no route named, and those of routes without a candidate: legacy answers them, and
    nothing else in the report speaks of the former. ``span`` says of which time."""

    requests: int
    unrouted: int
    without_candidate: int
    span: str


class Report(msgspec.Struct):
    """The report. ``at`` is seconds since the epoch; ``uncovered`` is None in the report of one route."""

    at: float
    window_hours: int
    routes: list[RouteReport]
    uncovered: Uncovered | None = None


class Facts(NamedTuple):
    """What is known of one route, for its part of the report."""

    route: Route
    """As it serves."""
    file_stage: Stage
    override: Override | None
    legacy: str
    """The upstream."""
    compare: Compare
    readiness: Readiness
    tally: Tally
    trend: list[Hour]
    findings: list[Finding]
    kinds: Mapping[str, int]
    """:func:`state_of` -> how many kinds of difference there are, also beyond ``findings``."""
    pairs: dict[str, SideBySide]
    """Fingerprint -> one recorded pair."""


def match_share(tally: Tally) -> float | None:
    """Of the pairs that could be judged, the share that did not differ; None when none was judged."""
    verdicts = tally.verdicts()
    equal = verdicts["matched"] + verdicts["ignored"]
    judged = equal + verdicts["mismatched"]
    return equal / judged if judged else None


def build(at: float, window_hours: int, facts: Iterable[Facts], unrouted: Tally | None = None) -> Report:
    """The report on these routes, worst news first. ``unrouted``: what no route named, in the report of all routes."""
    routes = [_route(each, window_hours) for each in facts]
    routes.sort(key=lambda route: _ORDER[route.advice.word])
    if unrouted is None:
        return Report(at, window_hours, routes)
    others = sum(unrouted.traffic.requests.values())
    alone = sum(route.requests for route in routes if not route.candidate)
    whole = sum(route.requests for route in routes) + others
    return Report(at, window_hours, routes, Uncovered(whole, others, alone, span_of(window_hours)))


_ORDER: dict[Word, int] = {
    "hold": 0, "no data": 1, "wait": 2, "go on": 3, "done": 4, "not begun": 5, "legacy only": 6,
}  # fmt: skip


def _route(facts: Facts, window_hours: int) -> RouteReport:
    route, tally = facts.route, facts.tally
    traffic = tally.traffic
    arms, errors = arms_of(traffic)
    requests = sum(arms.values())
    sides = {"legacy": facts.legacy, "candidate": route.candidate or ""}
    override = facts.override
    differs = override if override is not None and _differs(route, facts.file_stage, override) else None
    chosen = {name: _chosen(facts, state) for name, state in _LISTS.items()}
    return RouteReport(
        route=route.id,
        spans=spans_of(window_hours, facts.readiness),
        readiness=facts.readiness,
        advice=advise(route, facts.readiness),
        stage=route.stage,
        percent=route.canary.percent if route.stage == "canary" else None,
        file_stage=facts.file_stage,
        overridden_by=differs.actor if differs else "",
        override_reason=differs.reason if differs else "",
        candidate=route.candidate or "",
        requests=requests,
        arms=arms,
        candidate_share=arms["candidate"] / requests if requests else None,
        errors=errors,
        failures=_failures(traffic, sides),
        verdicts=tally.verdicts(),
        incomparable=dict(tally.compare.incomparable),
        expected=dict(tally.compare.expected),
        dropped=dict(traffic.shadow_dropped),
        match_share=match_share(tally),
        trend=facts.trend,
        differences=chosen["differences"],
        noise=chosen["noise"],
        accepted=chosen["accepted"],
        fixed=chosen["fixed"],
        not_listed={name: max(0, facts.kinds.get(_LISTS[name], 0) - len(shown)) for name, shown in chosen.items()},
        fallbacks=dict(traffic.fallbacks),
        latency=_latency(traffic, sides),
        paired=paired_of(traffic),
        sizes=sizes_of(tally.compare.sizes),
        coverage=coverage_of(tally),
        rules=rules_in_force(facts.compare),
    )


def _chosen(facts: Facts, state: str) -> list[Shown]:
    """The differences in one state, the heaviest first, of equal weight the most frequent."""
    found = [each for each in facts.findings if state_of(each.state, noisy=each.noisy) == state]
    found.sort(key=lambda each: (-each.weight, -each.count, each.fingerprint))
    return [Shown(each, facts.pairs.get(each.fingerprint)) for each in found[:MAX_LISTED]]


_LISTS = {"differences": "open", "noise": "noise", "accepted": "accepted", "fixed": "fixed"}


def state_of(state: str, *, noisy: bool) -> str:
    """In which of the report's lists a difference stands: ``open``, or what :func:`settled` says."""
    return settled(state, noisy=noisy) or "open"


def _differs(route: Route, file_stage: Stage, override: Override) -> bool:
    return override.stage == route.stage and (override.stage != file_stage or override.percent is not None)


def arms_of(traffic: RouteCounters) -> tuple[dict[str, int], dict[str, int]]:
    """Requests by arm, and of these those that ended in 5xx."""
    arms, errors = {"legacy": 0, "candidate": 0}, {"legacy": 0, "candidate": 0}
    for key, count in traffic.requests.items():
        _, status, arm = key.split(" ")
        arms[arm] = arms.get(arm, 0) + count
        if status.startswith("5"):
            errors[arm] = errors.get(arm, 0) + count
    return arms, errors


def times_of(traffic: RouteCounters, upstream: str) -> Histogram:
    """To the first byte of an upstream's answers, shadows included."""
    whole = Histogram()
    for table in (traffic.upstream_durations, traffic.shadow_durations):
        if upstream in table:
            add_histogram(whole, table[upstream])
    return whole


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
        whole = times_of(traffic, name)
        if count := sum(whole.counts):
            found[side] = Latency(count, *(percentile(whole, share) for share in (0.5, 0.95, 0.99)))
    return found


# -- what to do next ------------------------------------------------------------------------------------------------


def advise(route: Route, readiness: Readiness) -> Advice:
    """What to do next with a route: what its verdict means at its stage."""
    if readiness.verdict == "not-ready":
        return Advice("hold", _hold(route, readiness))
    if route.candidate is None:
        return Advice("legacy only", "Name a candidate to begin; until then legacy answers.")
    if route.stage == "legacy":
        return Advice("not begun", f"Start comparing with {_stage_command(route, 'shadow')}.")
    if route.stage == "retired":
        return Advice("done", "The candidate answers alone; legacy is not asked any more.")
    if readiness.verdict == "ready":
        return Advice("go on", _go_on(route))
    anew = any(bias.name == "restarted" for bias in readiness.bias)
    if not readiness.compared and not anew:
        return Advice("no data", "Find out why nothing is compared before you decide; see below.")
    if readiness.more:
        return Advice("wait", f"Wait for {number(readiness.more, 'more comparison')}, or send traffic.")
    return Advice("wait", "Wait: see below for what is missing.")


def _hold(route: Route, readiness: Readiness) -> str:
    unmet = {each.name for each in readiness.criteria if each.state == "not-met"}
    if "open_fingerprints" in unmet:
        what = f"Look at the differences (`banyan diffs {route.id}`), fix or accept them"
    elif "mismatch_below" in unmet:
        what = "Find out what differs, and fix it"
    elif unmet & {"error_delta_below", "fallbacks_below"}:
        what = "Find out why the candidate fails, and fix it"
    elif "p99_ratio_below" in unmet:
        what = "Make the candidate faster, or change `ready_when.p99_ratio_below` if its time is good enough"
    else:
        what = "Turn the kill switch off in the file when its cause is gone"
    users_get_it = route.stage in ("live", "retired") or (route.stage == "canary" and not route.kill_switch)
    back = f". Users get it now: think of `banyan rollback {route.id} --reason …`" if users_get_it else ""
    return f"{what}{back}."


def _go_on(route: Route) -> str:
    if route.stage == "shadow":
        return f"Begin a canary with {_stage_command(route, 'canary --percent 1')}."
    if route.stage == "live":
        return "Keep it live, and retire legacy when nobody needs it any more."
    percent = route.canary.percent
    if percent >= 100:
        return f"Go live with {_stage_command(route, 'live')}."
    more = next(step for step in (1, 5, 10, 25, 50, 100) if step > percent)
    return f"Raise the canary with {_stage_command(route, f'canary --percent {more}')}."


def _stage_command(route: Route, stage: str) -> str:
    return f"`banyan stage {route.id} {stage} --reason …`"
