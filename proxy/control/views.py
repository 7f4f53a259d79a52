"""What the admin side shows, as plain JSON values.

Law: one function per thing shown, from what is known to what is told. Field names are a contract: programs read them.
"""

from __future__ import annotations

import os
import time
from typing import Any

from proxy import __version__
from proxy.compare.readiness import GAUGE, Readiness
from proxy.config.model import Route
from proxy.control import endpoint_views, protection_views
from proxy.control.children import Child
from proxy.control.ledger import Ledger
from proxy.control.operations import WINDOW_HOURS, Change, Operations
from proxy.control.report import match_share
from proxy.core.snapshot import NO_ROUTE_ID
from proxy.messages import ComparatorStats, Override, WorkerStats
from proxy.store.events import Event
from proxy.store.tally import Tally
from proxy.telemetry.metrics import RouteGauges, Scrape, WorkerGauges

Json = dict[str, Any]


Verdicts = dict[str, Readiness]


def status(operations: Operations, tallies: dict[str, Tally], verdicts: Verdicts) -> Json:
    """The whole of it."""
    configuration = operations.configuration
    return {
        "version": __version__,
        "state": "draining" if operations.draining else "serving" if operations.ready() else "not-ready",
        "pid": os.getpid(),
        "started_at": operations.started_at,
        "uptime_seconds": time.time() - operations.started_at,
        "listen": list(operations.listen),
        "admin": operations.admin,
        "configuration": {
            "path": str(configuration.path),
            "generation": configuration.generation,
            "faults": [fault._asdict() for fault in configuration.faults],
            "warnings": configuration.warnings,
        },
        "store": _store(operations.ledger),
        "workers": [_child(child) for child in operations.children.workers],
        "comparators": [_child(child) for child in operations.children.comparators],
        "window_hours": WINDOW_HOURS,
        "routes": routes(operations, tallies, verdicts),
        "unrouted": _traffic(tallies.get(NO_ROUTE_ID, Tally())),
        "breakers": protection_views.breakers(operations.figures.protection),
        "upstreams": protection_views.upstreams(operations.figures.protection),
        "endpoints": endpoint_views.endpoints(operations.roster),
        "access_log": _access_log(operations),
    }


def readiness(operations: Operations) -> Json:
    """Whether this instance may get traffic, and what stands against it."""
    configuration = operations.configuration
    waiting = [worker.index for worker in operations.children.workers if not worker.ready]
    return {
        "ready": operations.ready(),
        "draining": operations.draining,
        "workers_waited_for": waiting,
        "configuration": {
            "generation": configuration.generation,
            "faults": [str(fault) for fault in configuration.faults],
            "warnings": configuration.warnings,
        },
        "store_up": operations.ledger.up,
    }


def routes(operations: Operations, tallies: dict[str, Tally], verdicts: Verdicts) -> list[Json]:
    """All routes as they serve."""
    filed = {route.id: route for route in operations.configuration.settings.routes}
    return [_route(operations, route, filed[route.id], tallies, verdicts) for route in operations.serving().routes]


def one_route(operations: Operations, route: Route, tallies: dict[str, Tally], verdicts: Verdicts) -> Json:
    """One route as it serves."""
    filed = next(each for each in operations.configuration.settings.routes if each.id == route.id)
    return _route(operations, route, filed, tallies, verdicts)


def _route(operations: Operations, route: Route, filed: Route, tallies: dict[str, Tally], verdicts: Verdicts) -> Json:
    tally = tallies.get(route.id, Tally())
    override = operations.overrides.get(route.id)
    return {
        "route": route.id,
        "stage": route.stage,
        "percent": route.canary.percent,
        "file_stage": filed.stage,
        "file_percent": filed.canary.percent,
        "overridden": overridden(route, filed),
        "override": _override(override) if override else None,
        "kill_switch": route.kill_switch,
        "candidate": route.candidate,
        "legacy": operations.configuration.settings.legacy,
        "version": operations.versions.get(route.id, 0),
        **_traffic(tally),
        "verdicts": tally.verdicts(),
        "match_share": match_share(tally),
        "dropped": dict(tally.traffic.shadow_dropped),
        "readiness": _readiness(verdicts.get(route.id)),
    }


def _readiness(found: Readiness | None) -> Json | None:
    if found is None:  # the route is newer than the verdicts
        return None
    return {"verdict": found.verdict, "summary": found.summary, "more": found.more}


def overridden(route: Route, filed: Route) -> bool:
    """An override makes the route differ from its file."""
    percent_differs = route.stage == "canary" and route.canary.percent != filed.canary.percent
    return route.stage != filed.stage or percent_differs


def _traffic(tally: Tally) -> Json:
    arms, errors = {"legacy": 0, "candidate": 0}, {"legacy": 0, "candidate": 0}
    for key, count in tally.traffic.requests.items():
        _, code, arm = key.split(" ")
        arms[arm] = arms.get(arm, 0) + count
        if code.startswith("5"):
            errors[arm] = errors.get(arm, 0) + count
    return {
        "requests": sum(arms.values()),
        "arms": arms,
        "errors": errors,
        "fallbacks": dict(tally.traffic.fallbacks),
    }


def _override(override: Override) -> Json:
    return {
        "stage": override.stage,
        "percent": override.percent,
        "actor": override.actor,
        "reason": override.reason,
        "at": override.at,
    }


def _access_log(operations: Operations) -> Json | None:
    setting = operations.configuration.settings.access_log
    if setting is None:
        return None
    return {"file": setting.file, "dropped": operations.figures.protection.access_log_dropped()}


def _store(ledger: Ledger) -> Json:
    moved = ledger.moved_aside
    return {"path": str(ledger.path), "up": ledger.up, "moved_aside": str(moved) if moved else None}


def _child(child: Child) -> Json:
    stats = child.stats
    shown: Json = {
        "index": child.index,
        "pid": child.pid or None,
        "up": child.ready,
        "generation": child.generation,
        "restarts": child.restarts,
    }
    if isinstance(stats, WorkerStats):
        shown |= {
            "connections": stats.connections,
            "in_flight": stats.in_flight,
            "shadows_in_flight": stats.shadows_in_flight,
            "lag_seconds": stats.lag_seconds,
        }
    elif isinstance(stats, ComparatorStats):
        shown |= {"queued": stats.queued}
    return shown


def event(one: Event) -> Json:
    """One line of the record."""
    return one._asdict()


def change(operations: Operations, done: Change, before: Readiness | None = None) -> Json:
    """A change that was done; ``before`` is the route's verdict when it was asked for, where that matters."""
    warnings = []
    if not done.settled:
        warnings.append("not every worker has confirmed it yet; look at the status")
    route = next((r for r in operations.serving().routes if r.id == done.event.route), None)
    if route is not None and route.kill_switch and route.stage not in ("legacy", "shadow"):
        warnings.append("the route's kill switch is on in the file: legacy answers whatever the stage")
    if route is not None and route.stage == "canary" and not route.canary.percent:
        warnings.append("canary 0 %: no user gets the candidate by percent; say --percent")
    users = route is not None and route.stage not in ("legacy", "shadow")
    if users and before is not None and before.verdict != "ready":
        warnings.append(f"its readiness: {before.summary}")
    return {
        "route": done.event.route,
        "stage": route.stage if route else None,
        "percent": route.canary.percent if route else None,
        "version": done.event.version,
        "generation": done.generation,
        "settled": done.settled,
        "warnings": warnings,
    }


def scrape(operations: Operations, verdicts: Verdicts) -> Scrape:
    """What ``/metrics`` renders: figures since the start of this Banyan."""
    tallies = operations.figures.totals()
    filed = {route.id: route for route in operations.configuration.settings.routes}
    children = operations.children
    comparator = next((c.stats for c in children.comparators if isinstance(c.stats, ComparatorStats)), None)
    return Scrape(
        traffic={route: tally.traffic for route, tally in tallies.items()},
        verdicts={route: tally.verdicts() for route, tally in tallies.items() if route != NO_ROUTE_ID},
        incomparable={route: tally.compare.incomparable for route, tally in tallies.items()},
        routes=[
            RouteGauges(
                r.id,
                r.stage,
                r.canary.percent,
                overridden(r, filed[r.id]),
                _ready(verdicts.get(r.id)),
                operations.inbox.open.get(r.id, 0),
            )
            for r in operations.serving().routes
        ],
        workers=[_worker(worker) for worker in children.workers],
        restarts={child.name: child.restarts for child in [*children.workers, *children.comparators]},
        refused=operations.figures.refused(),
        replay_refused=operations.figures.replay_refused(),
        ambiguous=operations.figures.ambiguous(),
        generation=operations.configuration.generation,
        faults=len(operations.configuration.faults),
        queued=comparator.queued if comparator else 0,
        store_dropped=operations.figures.store_dropped(),
        store_up=operations.ledger.up,
        breakers=protection_views.breaker_gauges(operations.figures.protection),
        upstreams=protection_views.upstream_gauges(operations.figures.protection),
        discovery=endpoint_views.discovery_gauges(operations.roster),
        access_log_dropped=operations.figures.protection.access_log_dropped(),
    )


def _ready(found: Readiness | None) -> int:
    return GAUGE[found.verdict if found else "inconclusive"]


def _worker(child: Child) -> WorkerGauges:
    stats = child.stats
    if not isinstance(stats, WorkerStats):
        return WorkerGauges(child.index, child.ready, None, None, None, None)
    return WorkerGauges(
        child.index, child.ready, stats.connections, stats.in_flight, stats.shadows_in_flight, stats.lag_seconds
    )
