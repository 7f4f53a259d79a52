"""The routes of a chaos run and the configuration that Banyan runs with.

Law: a route is data, and every rule that is checked of it is read from here: who may answer, what is sampled, what may
be sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.chaos.payload import Style

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
READS: Mapping[str, int] = {"GET": 8, "HEAD": 1}
MIXED: Mapping[str, int] = {"GET": 8, "HEAD": 1, "POST": 4, "PUT": 2, "DELETE": 1}
WRITES: Mapping[str, int] = {"POST": 4, "PUT": 2, "DELETE": 1}

LEGACY = "legacy"
CANDIDATES = ("candidate-0", "candidate-1")
PLACES = (LEGACY, *CANDIDATES)
"""Where faults happen: each is one service process behind one wire."""

STORE = "banyan.db"
ACCESS_LOG = "access.log"

UNROUTED = "-"
PERCENT = 50
SALT = "chaos"
STAFF_HEADER = "X-Staff"
USERS = 200
SHADOW_TIMEOUT_SECONDS = 2.0
CANDIDATE_TOTAL_SECONDS = 10.0
SAMPLES_KEPT = 1000
"""Per fingerprint; the most that the configuration allows."""


@dataclass(frozen=True)
class Route:
    """One route as its clients use it. ``stage`` is "" for a route that moves while it is used."""

    id: str
    stage: Literal["legacy", "shadow", "canary", "live", "retired", ""]
    methods: Mapping[str, int]
    """Method -> weight."""
    style: Style = "own"
    sampled: frozenset[str] = frozenset()
    """Methods of which every request is to be paired with a shadow."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the route in YAML."""
    candidate: str = "orders"
    keyed: float = 0.0
    """Share of the writes that carry an Idempotency-Key."""
    replays_keyed: bool = False
    """Writes with an Idempotency-Key may be sent again after they may have been seen."""
    weight: int = 3


_SHADOW = {"timeout": f"{SHADOW_TIMEOUT_SECONDS:g}s"}

ROUTES = (
    Route(UNROUTED, "legacy", MIXED, weight=1),
    Route("old", "legacy", MIXED, weight=1),
    Route("twin", "shadow", MIXED, "twin", SAFE, {"shadow": _SHADOW}),
    Route("diff", "shadow", READS, "diff", SAFE, {"shadow": _SHADOW}),
    Route(
        "notes", "shadow", MIXED, "twin", SAFE | {"POST", "PUT"},
        {"shadow": {**_SHADOW, "methods": ["GET", "HEAD", "OPTIONS", "POST", "PUT"],
                    "unsafe": "accepted-by-candidate"}},
        weight=2,
    ),
    Route(
        "pilot", "canary", MIXED, "diff", SAFE,
        {"canary": {"percent": f"{PERCENT}%", "cohorts": ["staff"], "salt": SALT},
         "shadow": {**_SHADOW, "reverse": True}},
        keyed=0.2, weight=6,
    ),
    Route("sales", "live", MIXED, "diff", SAFE, {"shadow": _SHADOW}, keyed=0.2, weight=6),
    Route(
        "keyed", "live", WRITES, extra={"shadow": {"sample": "0%"}, "fallback": {"unsafe": "idempotency-key"}},
        candidate="orders-keyed", keyed=0.6, replays_keyed=True,
    ),
    Route("gone", "retired", MIXED, weight=2),
    Route(
        "moving", "", READS, "diff", SAFE,
        {"shadow": {**_SHADOW, "reverse": True}, "canary": {"percent": "0%", "cohorts": ["staff"], "salt": SALT}},
    ),
    Route(
        "writing", "", WRITES,
        extra={"shadow": {"sample": "0%"}, "canary": {"percent": "0%", "cohorts": ["staff"], "salt": SALT}},
        weight=2,
    ),
)  # fmt: skip

BY_ID = {route.id: route for route in ROUTES}
MOVING = tuple(route.id for route in ROUTES if not route.stage)
NEVER_CANDIDATE = frozenset({UNROUTED, "old"})
"""Routes of which the candidate may not even see a shadow."""


def path(route: str, request: str) -> str:
    """The path of one request."""
    return f"/{'plain' if route == UNROUTED else route}/{request}"


def configuration(urls: Mapping[str, str]) -> dict[str, Any]:
    """What Banyan runs with, to be written as YAML; ``urls`` are the endpoints of all places."""
    candidate = {
        "endpoints": [urls[name] for name in CANDIDATES],
        "timeouts": {
            "connect": "500ms", "first_byte": "1s", "idle": "2s", "total": f"{CANDIDATE_TOTAL_SECONDS:g}s"
        },
        # What opens and what is ejected comes back within the pause after each storm, see actions.RECOVERY_SECONDS.
        "breaker": {"open": "500ms", "max_open": "1s"},
        "outliers": {"ejection": "500ms", "max_ejection": "1s"},
    }  # fmt: skip
    return {
        "version": 1,
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "workers": 2,
        "store": f"sqlite:///{STORE}",
        "access_log": {"file": ACCESS_LOG},
        "expose": True,
        "identity": [{"header": "X-User-Id"}],
        "cohorts": {"staff": {"header": {STAFF_HEADER: "1"}}},
        "retention": {"samples": SAMPLES_KEPT},
        "defaults": {"compare": {"noise": {"sample": "0%"}}},  # every shadow goes to the candidate: they are counted
        "overload": {"refuse_lag": "0s"},  # a slow machine is not what is looked for here
        "shutdown": {"drain_delay": "100ms", "grace": "5s"},
        "upstreams": {
            "monolith": {
                "endpoints": [urls[LEGACY]],
                # Slow machines stall; while legacy is healthy that must not look like a fault of legacy's.
                "timeouts": {"connect": "3s", "first_byte": "8s", "idle": "4s", "total": "10s"},
                "retries": {"attempts": 1},
            },
            "orders": {**candidate, "retries": {"attempts": 1}},
            "orders-keyed": {**candidate, "retries": {"attempts": 1, "unsafe": "idempotency-key"}},
        },
        "legacy": "monolith",
        "routes": [_route(route) for route in ROUTES if route.id != UNROUTED],
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "id": route.id,
        "match": {"path_prefix": f"/{route.id}"},
        "candidate": route.candidate,
        "stage": route.stage or "legacy",
        **route.extra,
    }
