"""What each stage means, and how an operator's override changes a route.

Law: one side is authoritative at each stage. The file's stage holds until an override says otherwise; an override that
no longer fits the file (unknown route, no candidate) is passed over, never an error: the configuration must still load.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from proxy.config.model import STAGES, Route, Settings, Stage
from proxy.messages import Override


class StageRule(NamedTuple):
    """What holds at one stage. ``shadow_*``: who is only compared when that side answered; "" is nobody."""

    answers: Literal["legacy", "candidate", "chosen"]
    shadow_of_legacy: Literal["", "candidate"]
    shadow_of_candidate: Literal["", "legacy", "legacy-if-reverse"]
    fallback: bool
    meaning: str


STAGE_RULES: dict[Stage, StageRule] = {
    "legacy": StageRule("legacy", "", "", False, "legacy answers; the candidate is not asked"),
    "shadow": StageRule("legacy", "candidate", "", False, "legacy answers; the candidate is asked too and compared"),
    "canary": StageRule(
        "chosen", "candidate", "legacy-if-reverse", True, "the candidate answers chosen users, legacy the rest"
    ),
    "live": StageRule("candidate", "", "legacy", True, "the candidate answers; legacy is compared and falls back"),
    "retired": StageRule("candidate", "", "", False, "the candidate answers; legacy is never called"),
}
"""DESIGN's table of stages. Any stage may follow any other, as far as :func:`refusal` has nothing against it."""


def refusal(route: Route, stage: str) -> str:
    """Why the route cannot move to that stage, for people; "" if it can."""
    if stage not in STAGES:
        return f"{stage!r} is not a stage; the stages are {', '.join(STAGES)}"
    if stage != "legacy" and route.candidate is None:
        return f"route {route.id!r} names no candidate, so it can only be at stage 'legacy'"
    if stage == "retired" and route.kill_switch:
        return f"route {route.id!r} has its kill switch on, which needs legacy; 'retired' has none"
    return ""


def effective(settings: Settings, overrides: Iterable[Override]) -> Settings:
    """The settings with the overrides' stages and percentages in place of the file's.

    Of several overrides for one route the one with the highest version holds. ``percent`` None keeps the file's.
    """
    latest: dict[str, Override] = {}
    for override in overrides:
        known = latest.get(override.route)
        if known is None or override.version >= known.version:
            latest[override.route] = override
    routes = [_apply(route, latest[route.id]) if route.id in latest else route for route in settings.routes]
    return settings.model_copy(update={"routes": routes})


def _apply(route: Route, override: Override) -> Route:
    if refusal(route, override.stage):
        return route
    update: dict[str, Any] = {"stage": override.stage}
    if override.percent is not None and 0 <= override.percent <= 100:
        update["canary"] = route.canary.model_copy(update={"percent": override.percent})
    return route.model_copy(update=update)
