"""One whole configuration, ready to decide with.

Law: a snapshot is built once, never changed, and swapped by replacing one reference; a request keeps the snapshot that
it began with. Everything that can be computed before a request comes is computed here, and the decisions that depend on
nothing but the route are made here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Final, Literal, NamedTuple, get_args

from proxy.config.model import SAFE_METHODS, Route, Settings, Stage, compare_of
from proxy.core.identity import CohortTester
from proxy.core.routing import Router
from proxy.core.stages import STAGE_RULES, effective
from proxy.messages import Override

Arm = Literal["legacy", "candidate"]

Reason = Literal[
    "no-route",
    "ambiguous-path",
    "stage-legacy",
    "stage-shadow",
    "stage-live",
    "stage-retired",
    "kill-switch",
    "tester",
    "cohort",
    "percent",
    "not-chosen",
    "no-identity",
]
"""Why an arm was chosen: a label in metrics, so the list is fixed."""

Purpose = Literal["", "compare", "self", "read-back"]
"""What a shadow is for: to compare both sides; to compare legacy with itself; to read on both sides what legacy wrote.
An empty text: there is none."""
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

NO_ROUTE_ID = "-"
"""The ``route`` label of requests that no route names. It is no valid route id."""


class Decision(NamedTuple):
    """All that was decided about one request, once. Logs, headers, metrics and the diff record read this object."""

    generation: int
    plan: RoutePlan | None
    """None: no route; legacy answers."""
    route_id: str
    """The label in metrics; NO_ROUTE_ID without a route."""
    arm: Arm
    reason: Reason
    user: str | None
    """The identity, where it was asked for: at stage canary, unless a stronger reason came first."""
    cohort: str | None
    """The cohort that chose the candidate."""
    shadow: bool
    """Ask the other side too, and compare."""
    fallback: bool
    """Legacy may answer if the candidate fails."""
    replayable: bool
    """The request may be sent to legacy even after the candidate may have seen it."""
    purpose: Purpose
    """What the shadow is for."""


class RoutePlan:
    """One route with everything precomputed. ``index`` is its place in ``settings.routes`` and in the router."""

    __slots__ = (
        "candidate",
        "cohorts",
        "compare_headers",
        "equal_bytes_match",
        "fallback_reasons",
        "fixed",
        "id",
        "index",
        "killed",
        "legacy",
        "max_body",
        "max_replay_body",
        "noise_sample",
        "percent",
        "reads_back",
        "replay_unsafe",
        "reverse_methods",
        "route",
        "salt",
        "sample",
        "self_methods",
        "shadow_methods",
        "shadows",
        "stage",
        "unpaired_methods",
    )

    def __init__(self, index: int, route: Route, settings: Settings, generation: int) -> None:
        rule = STAGE_RULES[route.stage]
        shadow = route.shadow
        self.index = index
        self.id = route.id
        self.route = route
        self.stage: Stage = route.stage
        self.killed = route.kill_switch and route.stage != "retired"
        self.legacy = settings.legacy
        self.candidate = route.candidate
        self.fallback_reasons: frozenset[str] = frozenset(route.fallback.on) if rule.fallback else frozenset()
        """Reasons for which legacy answers instead, at this stage; empty: never."""
        self.replay_unsafe = route.fallback.unsafe
        self.max_replay_body = route.fallback.max_replay_body
        self.max_body: int | None = settings.limits.body if route.limits.body is None else route.limits.body
        """Bytes of a request body above which the client gets 413; None: no limit."""
        self.sample = shadow.sample
        eligible = frozenset(shadow.methods) if shadow.sample > 0 and not self.killed else frozenset[str]()
        self.shadow_methods = eligible if rule.shadow_of_legacy else frozenset[str]()
        """Methods for which the candidate is asked about requests that legacy answers."""
        if_told = rule.shadow_of_candidate == "legacy-if-reverse"
        reverse = rule.shadow_of_candidate == "legacy" or (if_told and shadow.reverse)
        # Legacy made no promise about X-Banyan-Shadow, so it is never asked twice about what may write.
        self.reverse_methods = eligible & SAFE_METHODS if reverse else frozenset[str]()
        """Methods for which legacy is asked about requests that the candidate answers."""
        self.unpaired_methods = eligible if if_told and not shadow.reverse else frozenset[str]()
        """Methods of which what the candidate answers is compared with nothing, for want of ``shadow.reverse``."""
        compare = compare_of(settings, route)
        self.compare_headers = tuple(dict.fromkeys(name.lower().encode("latin-1") for name in compare.headers))
        self.equal_bytes_match = not (compare.rename or compare.map)
        """Answers that are the same byte for byte match; not where the contract was changed on purpose."""
        self.noise_sample = compare.noise.sample
        """Share of the shadowed requests whose copy goes to legacy instead of the candidate."""
        self.self_methods = self.shadow_methods & SAFE_METHODS if self.noise_sample > 0 else frozenset[str]()
        """Methods for which that may be: legacy is never asked twice about what may write."""
        self.reads_back: bool = (
            bool(rule.shadow_of_legacy)
            and shadow.unsafe == "read-after-write"
            and shadow.sample > 0
            and not self.killed
        )
        """After a write that legacy answered, ``shadow.reads`` are asked of both sides."""
        self.shadows = bool(self.shadow_methods or self.reverse_methods) or self.reads_back
        """Some request may have a shadow."""
        self.cohorts = tuple(CohortTester(name, settings.cohorts[name]) for name in route.canary.cohorts)
        self.percent = route.canary.percent
        self.salt = route.canary.salt or route.id
        self.fixed = self._fixed(generation)
        """Decisions by (purpose, replayable) where neither user nor chance chooses the arm; None at canary."""

    def _fixed(self, generation: int) -> dict[tuple[Purpose, bool], Decision] | None:
        arm, reason = self._verdict()
        if arm is None or reason is None:
            return None
        fallback = arm == "candidate" and bool(self.fallback_reasons)
        return {
            (purpose, again): Decision(
                generation, self, self.id, arm, reason, None, None, purpose != "", fallback, again, purpose
            )
            for purpose, again in product(PURPOSES, (False, True))
        }

    def _verdict(self) -> tuple[Arm, Reason] | tuple[None, None]:
        if self.killed:
            return "legacy", "kill-switch"
        match self.stage:
            case "legacy":
                return "legacy", "stage-legacy"
            case "shadow":
                return "legacy", "stage-shadow"
            case "live":
                return "candidate", "stage-live"
            case "retired":
                return "candidate", "stage-retired"
            case "canary":
                return None, None


class Snapshot:
    """A configuration with its generation. ``settings`` has the overrides folded in; ``plans`` match its routes."""

    __slots__ = (
        "ambiguous",
        "generation",
        "identity",
        "legacy",
        "plans",
        "reject_ambiguous",
        "router",
        "settings",
        "tester_key",
        "unrouted",
    )

    def __init__(self, settings: Settings, generation: int) -> None:
        self.generation = generation
        self.settings = settings
        self.legacy = settings.legacy
        self.router = Router(settings.routes)
        self.plans = [RoutePlan(index, route, settings, generation) for index, route in enumerate(settings.routes)]
        self.identity = tuple(settings.identity)
        self.tester_key = None if settings.tester_key is None else settings.tester_key.encode()
        self.reject_ambiguous = settings.ambiguous_paths == "reject"
        self.unrouted = self._default("no-route")
        self.ambiguous = self._default("ambiguous-path")

    def _default(self, reason: Reason) -> Decision:
        return Decision(self.generation, None, NO_ROUTE_ID, "legacy", reason, None, None, False, False, False, "")


def build_snapshot(settings: Settings, generation: int, overrides: Iterable[Override] = ()) -> Snapshot:
    """Build a snapshot from validated settings. Raises ValueError or KeyError only for what lint would have refused."""
    return Snapshot(effective(settings, overrides), generation)
