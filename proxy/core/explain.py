"""What became of one request and why, and why every other route did not get it.

Law: nothing is decided here. The route comes from the router, the arm from ``decide``, and what did not hold from the
router's own conditions and trees, so an explanation cannot disagree with what would happen.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config.model import SAFE_METHODS
from proxy.core.decide import decide
from proxy.core.fields import Kind
from proxy.core.identity import bucket, identify
from proxy.core.request import Request
from proxy.core.routing import MAX_REGEX_PATH_BYTES, Rule
from proxy.core.snapshot import Decision, RoutePlan, Snapshot
from proxy.core.stages import STAGE_RULES
from proxy.core.template import ambiguous

REASON_TEXTS = {
    "no-route": "no route fits, so legacy answers",
    "ambiguous-path": "the path could be read in two ways, so no route is asked and legacy answers",
    "stage-legacy": "the route is at stage legacy",
    "stage-shadow": "the route is at stage shadow",
    "stage-live": "the route is at stage live",
    "stage-retired": "the route is at stage retired",
    "kill-switch": "the route's kill switch is on",
    "tester": "a tester asked for this arm with the right key",
    "cohort": "the user belongs to cohort {cohort}",
    "percent": "the user's bucket {bucket} is within {percent}%",
    "not-chosen": "neither cohort nor percent chooses the user",
    "no-identity": "nobody knows who is asking, and percent needs a user",
}
"""One sentence for each reason of a decision."""


@dataclass(frozen=True)
class OtherRoute:
    """A route that did not get the request, with the first thing that did not hold."""

    route: str
    why: str


@dataclass(frozen=True)
class Explanation:
    """All about one request. ``upstream`` is who answers; ``bucket`` is None where there is no user or no route."""

    route: str | None
    stage: str | None
    stage_means: str
    arm: str
    upstream: str
    reason: str
    why: str
    user: str | None
    bucket: int | None
    percent: int | None
    cohort: str | None
    shadow: str
    """Who else is asked, and how often; or why nobody is."""
    fallback: str
    others: tuple[OtherRoute, ...]


def explain(snapshot: Snapshot, request: Request) -> Explanation:
    """Explain one request. Raises ExchangeError where ``ambiguous_paths`` is ``reject`` and the path is."""
    decision = decide(snapshot, request, lambda: 0.0)  # chance at its lowest: sampled wherever sampling is possible
    plan = decision.plan
    user = decision.user or identify(snapshot.identity, request)
    number = bucket(plan.salt, user) if plan is not None and user is not None else None
    percent = plan.percent if plan is not None else None
    upstream = snapshot.legacy if plan is None or decision.arm == "legacy" else plan.candidate or snapshot.legacy
    return Explanation(
        route=plan.id if plan else None,
        stage=plan.stage if plan else None,
        stage_means=STAGE_RULES[plan.stage].meaning if plan else "",
        arm=decision.arm,
        upstream=upstream,
        reason=decision.reason,
        why=REASON_TEXTS[decision.reason].format(bucket=number, percent=percent, cohort=decision.cohort),
        user=user,
        bucket=number,
        percent=percent,
        cohort=decision.cohort,
        shadow=_shadow(decision, request),
        fallback=_fallback(decision),
        others=tuple(_others(snapshot, request, plan)),
    )


def _shadow(decision: Decision, request: Request) -> str:
    plan = decision.plan
    if plan is None:
        return "none: there is no route"
    if decision.purpose == "read-back":
        number = len(plan.route.shadow.reads)
        reads = "one read is" if number == 1 else f"{number} reads are"
        return f"{reads} asked of both sides after {plan.sample * 100:g}% of such requests"
    if decision.shadow:
        other = plan.candidate if decision.arm == "legacy" else plan.legacy
        noise = f" ({plan.legacy} itself, for {plan.noise_sample * 100:g}% of these)"
        share = f"{plan.sample * 100:g}% of such requests{noise if decision.purpose == 'self' else ''}"
        return f"{other} is asked too, for {share}"
    if plan.killed:
        return "none: the kill switch is on"
    if plan.sample == 0:
        return "none: shadow.sample is 0%"
    if request.kinds & Kind.OVERRIDE and request.method in SAFE_METHODS:
        return "none: a field of it names another method, so it may be a write in disguise"
    if not (plan.shadow_methods if decision.arm == "legacy" else plan.reverse_methods):
        return f"none: not at stage {plan.stage} for requests that {decision.arm} answers"
    return f"none: {request.method} is not among the methods that are shadowed"


def _fallback(decision: Decision) -> str:
    plan = decision.plan
    if plan is None or not decision.fallback:
        return "none: legacy answers anyway" if decision.arm == "legacy" else "none"
    when = "also after the candidate may have seen the request" if decision.replayable else "only before it was sent"
    return f"{plan.legacy}, on {', '.join(sorted(plan.fallback_reasons))}; {when}"


def _others(snapshot: Snapshot, request: Request, plan: RoutePlan | None) -> list[OtherRoute]:
    router = snapshot.router
    fitting = router.fitting(request)
    chosen = router.rules[plan.index] if plan is not None else None
    others = []
    for rule in sorted(router.rules, key=lambda rule: rule.order):
        if rule is not chosen:
            why = _first_failing(rule, request, fits=rule.index in fitting)
            others.append(OtherRoute(rule.route.id, why or _outranked(rule, chosen)))
    return others


def _first_failing(rule: Rule, request: Request, *, fits: bool) -> str:
    """What the rule wants and the request has not; "" if everything holds."""
    if not fits:
        if ambiguous(request.path):
            return "the path could be read in two ways"
        if not rule.host_fits(request.host):
            return f"host is not {rule.host}"
        if rule.regex is not None and len(request.path) > MAX_REGEX_PATH_BYTES:
            return "the path is too long for an expression"
        kind = next(kind for kind in ("path", "path_prefix", "path_regex") if getattr(rule.route.match, kind))
        return f"path does not fit {kind} {rule.pattern.text}"
    failing = next((condition for condition in rule.conditions if not condition.holds(request)), None)
    return f"not so: {failing.text}" if failing is not None else ""


def _outranked(rule: Rule, chosen: Rule | None) -> str:
    if chosen is None:  # cannot be: a rule that fits is chosen unless another stands above it
        return "fits"
    parts = ("priority", "host", "path", "number of conditions")
    part = next(name for name, mine, other in zip(parts, rule.rank, chosen.rank, strict=True) if mine != other)
    return f"fits too, but {chosen.route.id} stands above it by {part}"
