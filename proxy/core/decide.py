"""Which side answers a request, and why: one immutable decision.

Law: deciding reads the snapshot, the request and one source of chance, and nothing else; the same input gives the same
decision. At canary the order is: kill switch > tester > cohort > percent > legacy. Who has no identity gets legacy,
never a coin toss. Chance only samples shadows.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from proxy.config.model import SAFE_METHODS
from proxy.core.fields import Kind
from proxy.core.identity import bucket, identify
from proxy.core.request import Request
from proxy.core.snapshot import Arm, Decision, Purpose, Reason, RoutePlan, Snapshot
from proxy.core.template import ambiguous
from proxy.errors import ExchangeError, FailureKind

__all__ = ["Decision", "decide"]

_OVERRIDE: Final = Kind.OVERRIDE


def decide(snapshot: Snapshot, request: Request, chance: Callable[[], float]) -> Decision:
    """Decide about one request. ``chance`` yields a number in [0, 1).

    Raises ExchangeError(AMBIGUOUS_PATH) for such a path where ``ambiguous_paths`` is ``reject``.
    """
    index = snapshot.router.match(request)
    if index < 0:
        if not ambiguous(request.path):
            return snapshot.unrouted
        if snapshot.reject_ambiguous:
            raise ExchangeError(FailureKind.AMBIGUOUS_PATH)
        return snapshot.ambiguous
    plan = snapshot.plans[index]
    replayable, copied = request.method in SAFE_METHODS, plan.shadows
    if request.kinds & _OVERRIDE and replayable:  # a write in disguise, perhaps, of which nobody allowed a copy
        replayable = copied = False
    replayable = replayable or _replayable(plan, request)
    if plan.fixed is not None:
        if not copied:
            return plan.fixed["", replayable]
        # At a fixed stage only what the candidate answers has a shadow at legacy.
        return plan.fixed[_purpose(plan, request, chance, bool(plan.reverse_methods)), replayable]
    arm, reason, user, cohort = choose(snapshot, plan, request)
    served_by_candidate = arm == "candidate"
    purpose = _purpose(plan, request, chance, served_by_candidate) if copied else ""
    return Decision(
        snapshot.generation,
        plan,
        plan.id,
        arm,
        reason,
        user,
        cohort,
        purpose != "",
        served_by_candidate and bool(plan.fallback_reasons),
        replayable,
        purpose,
    )


def choose(snapshot: Snapshot, plan: RoutePlan, request: Request) -> tuple[Arm, Reason, str | None, str | None]:
    """The arm at stage canary: (arm, reason, user, cohort)."""
    if snapshot.tester_key is not None and b"x-banyan-arm" in request.lower:
        wanted = tester_arm(snapshot.tester_key, request)
        if wanted is not None:
            return wanted, "tester", None, None
    user = identify(snapshot.identity, request)
    for tester in plan.cohorts:
        if tester.holds(request, user):
            return "candidate", "cohort", user, tester.name
    if plan.percent == 0:
        return "legacy", "not-chosen", user, None
    if user is None:
        return "legacy", "no-identity", None, None
    if bucket(plan.salt, user) <= plan.percent:
        return "candidate", "percent", user, None
    return "legacy", "not-chosen", user, None


def tester_arm(tester_key: bytes, request: Request) -> Arm | None:
    """The arm that a tester asks for with the right key; None: ignore the headers."""
    if not hmac.compare_digest(request.lower.get(b"x-banyan-key", b""), tester_key):
        return None
    match request.lower[b"x-banyan-arm"]:
        case b"legacy":
            return "legacy"
        case b"candidate":
            return "candidate"
    return None


def _replayable(plan: RoutePlan, request: Request) -> bool:
    if plan.replay_unsafe == "idempotency-key":
        return b"idempotency-key" in request.lower
    return plan.replay_unsafe == "always"


def _purpose(plan: RoutePlan, request: Request, chance: Callable[[], float], by_candidate: bool) -> Purpose:
    method, sample = request.method, plan.sample
    if method in (plan.reverse_methods if by_candidate else plan.shadow_methods):
        if sample < 1 and chance() >= sample:
            return ""
        if by_candidate or plan.noise_sample <= 0 or chance() >= plan.noise_sample or method not in plan.self_methods:
            return "compare"
        return "self"
    if not plan.reads_back or by_candidate or method in SAFE_METHODS or (sample < 1 and chance() >= sample):
        return ""
    return "read-back"
