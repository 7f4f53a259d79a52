"""What the admin side shows of where endpoints come from and what checks say of them.

Law: as in ``proxy.control.views``; what is listed is bounded, and how much was left out is said. This is what the
supervisor knows and tells the workers; how the workers use it stands under ``upstreams``.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from proxy.control.discovery.watcher import Watcher
from proxy.control.endpoints import Roster, UpstreamEndpoints
from proxy.control.health import Checked, Checker
from proxy.telemetry.metrics import DiscoveryGauges

Json = dict[str, Any]

MAX_LISTED = 200
"""Endpoints of one upstream that are listed, the unhealthy ones first."""


def endpoints(roster: Roster) -> list[Json]:
    """Every upstream, in the order of the configuration."""
    now = monotonic()
    return [_upstream(name, each, now) for name, each in roster.upstreams.items()]


def discovery_gauges(roster: Roster) -> list[DiscoveryGauges]:
    """Every source, for the metrics."""
    now = monotonic()
    return [
        DiscoveryGauges(
            name,
            each.watcher.lost_at is None and each.watcher.answer is not None,
            None if each.watcher.answer is None else now - each.watcher.answered_at,
        )
        for name, each in roster.upstreams.items()
        if each.watcher is not None
    ]


def _upstream(name: str, each: UpstreamEndpoints, now: float) -> Json:
    words = sorted(each.words(), key=lambda word: word.healthy)  # stable: else in their order
    checked = each.checker.endpoints if each.checker is not None else {}
    return {
        "upstream": name,
        "from": each.origin,
        "discovery": None if each.watcher is None else _discovery(each.watcher, now),
        "health": None if each.checker is None else _health(each.checker),
        "endpoints": [
            {
                "endpoint": word.url,
                "weight": word.weight,
                "healthy": word.healthy,
                "check": _check(checked.get(word.url), now),
            }
            for word in words[:MAX_LISTED]
        ],
        "endpoints_not_listed": max(0, len(words) - MAX_LISTED),
    }


def _discovery(watcher: Watcher, now: float) -> Json:
    answered = watcher.answer is not None
    return {
        "source": watcher.name,
        "state": "lost" if watcher.lost_at is not None else "good" if answered else "waiting",
        "lost_seconds": None if watcher.lost_at is None else round(now - watcher.lost_at, 1),
        "answer_age_seconds": round(now - watcher.answered_at, 1) if answered else None,
        "last_error": watcher.error or None,
        "left_out": watcher.left_out,
    }


def _health(checker: Checker) -> Json:
    return {"path": checker.config.path, "all_unhealthy": checker.all_unhealthy}


def _check(checked: Checked | None, now: float) -> Json | None:
    if checked is None or checked.result is None:
        return None
    result = checked.result
    return {
        "good": result.good,
        "status": result.status or None,
        "why": result.why,
        "age_seconds": round(now - result.at, 1),
    }
