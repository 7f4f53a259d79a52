"""Figures as Prometheus text.

Law: the text is made at scrape time from figures that exist anyway, off every loop; nothing on the path of a request
knows of it. Label values come from the configuration or from fixed lists. ``METRICS`` is the whole list, and
``docs/metrics.md`` is held against it by a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.config.model import STAGES, Stage
from proxy.messages import DURATION_BUCKETS_SECONDS, Histogram, RouteCounters

MAX_ENDPOINTS = 200
"""Endpoints of one upstream with series of their own, the first ones by URL; ``banyan_endpoints`` counts all. Discovery
may find any number of them, and new ones all the time."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Described(NamedTuple):
    """One metric: its type, its labels, and what it says."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: dict[str, Described] = {
    "http_requests_total": Described(
        "counter",
        ("method", "route", "status", "arm"),
        "Requests that are over, by the side that answered: a fallback is legacy's.",
    ),
    "http_request_duration_seconds": Described(
        "histogram", ("route", "arm"), "From the request's head to the end of the answer, as the client saw it."
    ),
    "banyan_upstream_requests_total": Described(
        "counter", ("upstream", "route", "outcome"), "Tries on an upstream: ok, or the kind of failure."
    ),
    "banyan_upstream_duration_seconds": Described(
        "histogram",
        ("upstream", "route"),
        "From asking an upstream, connecting included, to the first byte of its answer.",
    ),
    "banyan_shadow_duration_seconds": Described(
        "histogram",
        ("upstream", "route"),
        "From sending a shadow to the first byte of its answer; no client waited for it.",
    ),
    "banyan_fallbacks_total": Described(
        "counter", ("route", "reason"), "Requests that went on to legacy because the candidate failed."
    ),
    "banyan_retries_total": Described("counter", ("route", "reason"), "Tries that were repeated."),
    "banyan_decisions_total": Described("counter", ("route", "reason"), "Requests by why their arm was chosen."),
    "banyan_shadow_total": Described("counter", ("route", "outcome"), "Sampled requests by what became of the shadow."),
    "banyan_shadow_dropped_total": Described("counter", ("route", "reason"), "Shadows that were not sent or not kept."),
    "banyan_compare_total": Described("counter", ("route", "verdict"), "Pairs of answers by verdict."),
    "banyan_incomparable_total": Described(
        "counter", ("route", "reason"), "Pairs without a judgement: neither equal nor different."
    ),
    "banyan_route_stage": Described("gauge", ("route", "stage"), "1 for the stage that the route is at, else 0."),
    "banyan_canary_percent": Described("gauge", ("route",), "Share of users that the canary takes, 0 to 100."),
    "banyan_route_overridden": Described("gauge", ("route",), "1 while an operator's override differs from the file."),
    "banyan_route_ready": Described(
        "gauge", ("route",), "1 ready, 0 not ready, -1 inconclusive: whether the route may be cut over."
    ),
    "banyan_open_differences": Described(
        "gauge", ("route",), "Kinds of difference that somebody has to look at: neither accepted nor fixed nor noise."
    ),
    "banyan_config_generation": Described(
        "gauge", (), "Number of the configuration that serves; each change adds one."
    ),
    "banyan_config_faults": Described("gauge", (), "Faults in the files as they are now; above 0 an older one serves."),
    "banyan_worker_up": Described("gauge", ("worker",), "1 while the worker serves."),
    "banyan_restarts_total": Described("counter", ("process",), "Times a process died and was started again."),
    "banyan_connections": Described("gauge", ("worker",), "Client connections."),
    "banyan_in_flight": Described("gauge", ("worker",), "Requests under way."),
    "banyan_shadows_in_flight": Described("gauge", ("worker",), "Shadows under way."),
    "banyan_event_loop_lag_seconds": Described("gauge", ("worker",), "How late the worker's loop was last time."),
    "banyan_refused_total": Described("counter", ("reason",), "Requests refused before routing."),
    "banyan_replay_refused_total": Described(
        "counter", ("reason",), "Request bodies of which no copy was kept: too long (size), or no room (memory)."
    ),
    "banyan_ambiguous_paths_total": Described("counter", (), "Requests whose path two parsers could read differently."),
    "banyan_breaker_state": Described(
        "gauge", ("route", "upstream"), "0 closed, 1 half-open, 2 open; the worst over the workers."
    ),
    "banyan_shadow_breaker_state": Described(
        "gauge", ("route", "upstream"), "The same of the breaker that only stops shadows."
    ),
    "banyan_breaker_opened_total": Described(
        "counter", ("route", "upstream", "purpose"), "Times that a worker's breaker opened; purpose traffic or shadow."
    ),
    "banyan_breaker_refused_total": Described(
        "counter",
        ("route", "upstream", "purpose"),
        "Requests that a breaker did not let pass, or in mode observe would not have.",
    ),
    "banyan_bulkhead_in_flight": Described(
        "gauge", ("upstream",), "Requests that the upstream has under way, over all workers; without shadows."
    ),
    "banyan_bulkhead_queued": Described("gauge", ("upstream",), "Requests that wait for a place."),
    "banyan_bulkhead_limit": Described(
        "gauge", ("upstream",), "Requests that may be under way now, over all workers; 0 for no bound."
    ),
    "banyan_overflows_total": Described("counter", ("upstream",), "Requests for which there was no place."),
    "banyan_retries_refused_total": Described("counter", ("upstream",), "Retries that the budget did not allow."),
    "banyan_endpoint_up": Described(
        "gauge", ("upstream", "endpoint"), "1 if all workers use the endpoint, 0 if it is unhealthy or ejected in some."
    ),
    "banyan_endpoint_ejections_total": Described(
        "counter", ("upstream", "endpoint"), "Times that a worker ejected the endpoint."
    ),
    "banyan_endpoints": Described("gauge", ("upstream", "state"), "Endpoints by their worst state over the workers."),
    "banyan_upstream_panic": Described(
        "gauge", ("upstream",), "1 while some worker uses all endpoints because too few are fit."
    ),
    "banyan_discovery_up": Described(
        "gauge",
        ("upstream",),
        "1 while the source of the upstream's endpoints answers; 0: the last good answer is used.",
    ),
    "banyan_discovery_age_seconds": Described(
        "gauge", ("upstream",), "Since the source gave or confirmed its last good answer."
    ),
    "banyan_access_log_dropped_total": Described("counter", (), "Requests that left no line in the access log."),
    "banyan_compare_queue": Described("gauge", (), "Pairs that wait for the comparator."),
    "banyan_store_dropped_total": Described("counter", ("reason",), "Records that the store did not keep."),
    "banyan_store_up": Described("gauge", (), "1 while the store takes what is written."),
    "banyan_info": Described("gauge", ("version",), "Always 1; the version is the label."),
}


class WorkerGauges(NamedTuple):
    """One worker as it is now; ``None`` for the figures of one that is down."""

    worker: int
    up: bool
    connections: int | None
    in_flight: int | None
    shadows: int | None
    lag_seconds: float | None


class RouteGauges(NamedTuple):
    """One route of the configuration that serves."""

    route: str
    stage: Stage
    percent: int
    overridden: bool
    ready: int  # 1 ready, 0 not ready, -1 inconclusive
    open_differences: int = 0


class BreakerGauges(NamedTuple):
    """One breaker over all workers."""

    route: str
    upstream: str
    purpose: str  # "traffic" | "shadow"
    level: int | None  # 0 closed, 1 half-open, 2 open; None when no living worker has it
    opened: int
    refused: int


class EndpointGauges(NamedTuple):
    """One endpoint over all workers."""

    url: str
    up: bool | None  # None while it only finishes what it has
    ejections: int


class UpstreamGauges(NamedTuple):
    """One upstream over all workers."""

    upstream: str
    in_flight: int
    queued: int
    limit: int
    overflows: int
    retries_refused: int
    panic: bool
    states: dict[str, int]  # of its endpoints
    endpoints: list[EndpointGauges]  # by URL


class DiscoveryGauges(NamedTuple):
    """The source of one upstream's endpoints."""

    upstream: str
    up: bool
    age_seconds: float | None  # None before its first answer


class Scrape(NamedTuple):
    """Everything that is shown, gathered on the loop and rendered elsewhere. Nobody changes it afterwards."""

    traffic: dict[str, RouteCounters]
    verdicts: dict[str, dict[str, int]]
    incomparable: dict[str, dict[str, int]]
    routes: list[RouteGauges]
    workers: list[WorkerGauges]
    restarts: dict[str, int]
    refused: dict[str, int]
    replay_refused: dict[str, int]
    ambiguous: int
    generation: int
    faults: int
    queued: int
    store_dropped: dict[str, int]
    store_up: bool
    breakers: list[BreakerGauges]
    upstreams: list[UpstreamGauges]
    discovery: list[DiscoveryGauges]
    access_log_dropped: int


def render(scrape: Scrape) -> bytes:
    """The text of one scrape; takes tens of milliseconds at hundreds of routes, so call it in a thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(scrape))
    return generate_latest(registry)


Row = tuple[list[str], float | Histogram]


class _Collector(Collector):
    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        rows = _rows(self._scrape)
        for name, (kind, labels, text) in METRICS.items():
            if kind == "histogram":
                yield _histogram(name, text, labels, rows[name])
                continue
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
            for values, value in rows[name]:
                if not isinstance(value, Histogram):
                    family.add_metric(values, value)
            yield family


def _histogram(name: str, text: str, labels: tuple[str, ...], rows: list[Row]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    bounds = [*(str(bound) for bound in DURATION_BUCKETS_SECONDS), "+Inf"]
    for values, value in rows:
        if isinstance(value, Histogram) and len(value.counts) == len(bounds):
            family.add_metric(values, list(zip(bounds, accumulate(value.counts), strict=True)), value.total)
    return family


def _rows(scrape: Scrape) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in METRICS}
    for route, traffic in scrape.traffic.items():
        _traffic(rows, route, traffic)
    for name, table in (("banyan_compare_total", scrape.verdicts), ("banyan_incomparable_total", scrape.incomparable)):
        rows[name] = [([route, key], n) for route, counts in table.items() for key, n in counts.items()]
    for gauge in scrape.routes:
        rows["banyan_route_stage"] += [([gauge.route, stage], float(stage == gauge.stage)) for stage in STAGES]
        rows["banyan_canary_percent"].append(([gauge.route], gauge.percent if gauge.stage == "canary" else 0))
        rows["banyan_route_overridden"].append(([gauge.route], float(gauge.overridden)))
        rows["banyan_route_ready"].append(([gauge.route], gauge.ready))
        rows["banyan_open_differences"].append(([gauge.route], gauge.open_differences))
    for worker in scrape.workers:
        _worker(rows, worker)
    for breaker in scrape.breakers:
        _breaker(rows, breaker)
    for upstream in scrape.upstreams:
        _upstream(rows, upstream)
    for source in scrape.discovery:
        rows["banyan_discovery_up"].append(([source.upstream], float(source.up)))
        if source.age_seconds is not None:
            rows["banyan_discovery_age_seconds"].append(([source.upstream], source.age_seconds))
    rows["banyan_restarts_total"] = [([process], n) for process, n in scrape.restarts.items()]
    rows["banyan_refused_total"] = [([reason], n) for reason, n in scrape.refused.items()]
    rows["banyan_replay_refused_total"] = [([reason], n) for reason, n in scrape.replay_refused.items()]
    rows["banyan_store_dropped_total"] = [([reason], n) for reason, n in scrape.store_dropped.items()]
    rows["banyan_info"] = [([__version__], 1.0)]
    single: dict[str, float] = {
        "banyan_config_generation": scrape.generation,
        "banyan_config_faults": scrape.faults,
        "banyan_ambiguous_paths_total": scrape.ambiguous,
        "banyan_compare_queue": scrape.queued,
        "banyan_store_up": float(scrape.store_up),
        "banyan_access_log_dropped_total": scrape.access_log_dropped,
    }
    for name, value in single.items():
        rows[name] = [([], value)]
    return rows


def _traffic(rows: dict[str, list[Row]], route: str, traffic: RouteCounters) -> None:
    for key, n in traffic.requests.items():
        method, status, arm = key.split(" ")
        rows["http_requests_total"].append(([method, route, status, arm], n))
    for key, n in traffic.upstream_requests.items():
        upstream, outcome = key.split(" ")
        rows["banyan_upstream_requests_total"].append(([upstream, route, outcome], n))
    rows["http_request_duration_seconds"] += [([route, arm], h) for arm, h in traffic.durations.items()]
    for name, histograms in (
        ("banyan_upstream_duration_seconds", traffic.upstream_durations),
        ("banyan_shadow_duration_seconds", traffic.shadow_durations),
    ):
        rows[name] += [([upstream, route], h) for upstream, h in histograms.items()]
    for name, counts in (
        ("banyan_fallbacks_total", traffic.fallbacks),
        ("banyan_retries_total", traffic.retries),
        ("banyan_decisions_total", traffic.reasons),
        ("banyan_shadow_total", traffic.shadow),
        ("banyan_shadow_dropped_total", traffic.shadow_dropped),
    ):
        rows[name] += [([route, key], n) for key, n in counts.items()]


def _worker(rows: dict[str, list[Row]], worker: WorkerGauges) -> None:
    label = [str(worker.worker)]
    rows["banyan_worker_up"].append((label, float(worker.up)))
    for name, value in (
        ("banyan_connections", worker.connections),
        ("banyan_in_flight", worker.in_flight),
        ("banyan_shadows_in_flight", worker.shadows),
        ("banyan_event_loop_lag_seconds", worker.lag_seconds),
    ):
        if value is not None:
            rows[name].append((label, value))


def _breaker(rows: dict[str, list[Row]], breaker: BreakerGauges) -> None:
    labels = [breaker.route, breaker.upstream]
    if breaker.level is not None:
        name = "banyan_shadow_breaker_state" if breaker.purpose == "shadow" else "banyan_breaker_state"
        rows[name].append((labels, breaker.level))
    rows["banyan_breaker_opened_total"].append(([*labels, breaker.purpose], breaker.opened))
    rows["banyan_breaker_refused_total"].append(([*labels, breaker.purpose], breaker.refused))


def _upstream(rows: dict[str, list[Row]], upstream: UpstreamGauges) -> None:
    label = [upstream.upstream]
    for name, value in (
        ("banyan_bulkhead_in_flight", upstream.in_flight),
        ("banyan_bulkhead_queued", upstream.queued),
        ("banyan_bulkhead_limit", upstream.limit),
        ("banyan_overflows_total", upstream.overflows),
        ("banyan_retries_refused_total", upstream.retries_refused),
        ("banyan_upstream_panic", float(upstream.panic)),
    ):
        rows[name].append((label, value))
    rows["banyan_endpoints"] += [([*label, state], number) for state, number in upstream.states.items()]
    for endpoint in upstream.endpoints[:MAX_ENDPOINTS]:
        if endpoint.up is not None:
            rows["banyan_endpoint_up"].append(([*label, endpoint.url], float(endpoint.up)))
        rows["banyan_endpoint_ejections_total"].append(([*label, endpoint.url], endpoint.ejections))
