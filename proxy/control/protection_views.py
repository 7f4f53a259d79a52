"""What the admin side shows of how upstreams stand: JSON values and gauges.

Law: as in ``proxy.control.views``; what is listed is bounded, and how much was left out is said.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from proxy.control.protection import BREAKER_STATES, ENDPOINT_STATES, Breaker, Endpoint, Protection, Upstream
from proxy.telemetry.metrics import BreakerGauges, EndpointGauges, UpstreamGauges

Json = dict[str, Any]

MAX_ENDPOINTS = 200
"""Endpoints of one upstream that are listed, the least fit ones first."""


def breakers(protection: Protection) -> list[Json]:
    """Every breaker that a living worker has."""
    return [_breaker(one) for one in protection.breakers(monotonic()) if one.state]


def upstreams(protection: Protection) -> list[Json]:
    """Every upstream."""
    return [_upstream(one) for one in protection.upstreams()]


def breaker_gauges(protection: Protection) -> list[BreakerGauges]:
    """The same for the metrics, with the counters of breakers that are gone."""
    return [_breaker_gauges(one) for one in protection.breakers(monotonic())]


def upstream_gauges(protection: Protection) -> list[UpstreamGauges]:
    """The same for the metrics."""
    return [_upstream_gauges(one) for one in protection.upstreams()]


def _breaker(one: Breaker) -> Json:
    return {
        "route": one.route,
        "upstream": one.upstream,
        "purpose": one.purpose,
        "mode": one.mode,
        "state": one.state,
        "workers": one.workers,
        "not_closed_seconds": round(one.seconds, 1),
        "open_seconds": round(one.open_seconds, 1),
        "opened": one.opened,
        "refused": one.refused,
    }


def _upstream(one: Upstream) -> Json:
    listed = sorted(one.endpoints, key=lambda e: (-ENDPOINT_STATES.index(e.state), e.url))
    return {
        "upstream": one.upstream,
        "in_flight": one.in_flight,
        "queued": one.queued,
        "limit": one.limit or None,
        "shadows_in_flight": one.shadows_in_flight,
        "overflows": one.overflows,
        "retries_in_flight": one.retries_in_flight,
        "retries_refused": one.retries_refused,
        "panic": one.panic,
        "endpoint_states": one.endpoint_states(),
        "endpoints": [_endpoint(each) for each in listed[:MAX_ENDPOINTS]],
        "endpoints_not_listed": max(0, len(listed) - MAX_ENDPOINTS),
    }


def _endpoint(one: Endpoint) -> Json:
    return {
        "endpoint": one.url,
        "state": one.state,
        "workers": one.workers,
        "in_flight": one.in_flight,
        "weight": one.weight,
        "ejections": one.ejections,
    }


def _breaker_gauges(one: Breaker) -> BreakerGauges:
    level = BREAKER_STATES.index(one.state) if one.state else None
    return BreakerGauges(one.route, one.upstream, one.purpose, level, one.opened, one.refused)


def _upstream_gauges(one: Upstream) -> UpstreamGauges:
    return UpstreamGauges(
        upstream=one.upstream,
        in_flight=one.in_flight,
        queued=one.queued,
        limit=one.limit,
        overflows=one.overflows,
        retries_refused=one.retries_refused,
        panic=one.panic,
        states=one.endpoint_states(),
        endpoints=[_endpoint_gauges(each) for each in one.endpoints],
    )


def _endpoint_gauges(one: Endpoint) -> EndpointGauges:
    return EndpointGauges(one.url, None if one.state == "draining" else one.state == "fit", one.ejections)
