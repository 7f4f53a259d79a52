"""The text that Prometheus reads, and that the documentation lists exactly what is there."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from proxy.messages import Histogram, RouteCounters
from proxy.telemetry.metrics import (
    MAX_ENDPOINTS,
    METRICS,
    BreakerGauges,
    DiscoveryGauges,
    EndpointGauges,
    RouteGauges,
    Scrape,
    UpstreamGauges,
    WorkerGauges,
    render,
)

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "metrics.md"


def scrape() -> Scrape:
    histogram = Histogram(total=1.5)
    histogram.counts[0], histogram.counts[5], histogram.counts[-1] = 3, 2, 1
    traffic = RouteCounters(
        requests={"GET 200 candidate": 7},
        durations={"candidate": histogram},
        upstream_requests={"orders ok": 6, "orders reset": 1},
        upstream_durations={"orders": histogram},
        shadow_durations={"orders": histogram},
        fallbacks={"reset": 1},
        retries={"reset": 1},
        shadow={"compared": 4},
        shadow_dropped={"memory": 1},
        reasons={"percent": 7},
    )
    return Scrape(
        traffic={"orders": traffic},
        verdicts={"orders": {"matched": 3, "mismatched": 1}},
        incomparable={"orders": {"budget": 1}},
        routes=[RouteGauges("orders", "canary", 10, overridden=True, ready=-1)],
        workers=[WorkerGauges(0, True, 5, 2, 1, 0.001), WorkerGauges(1, False, None, None, None, None)],
        restarts={"worker 0": 1},
        refused={"bad-request": 2},
        replay_refused={"memory": 5},
        ambiguous=3,
        generation=4,
        faults=0,
        queued=9,
        store_dropped={"disk": 1},
        store_up=True,
        breakers=[
            BreakerGauges("orders", "orders", "traffic", 2, 3, 70),
            BreakerGauges("orders", "orders", "shadow", 1, 1, 5),
            BreakerGauges("gone", "orders", "traffic", None, 9, 90),
        ],
        upstreams=[
            UpstreamGauges(
                "orders", 4, 2, 512, 6, 8, True, {"fit": MAX_ENDPOINTS + 48, "draining": 1, "ejected": 1},
                [
                    EndpointGauges("http://a:1", True, 0),
                    EndpointGauges("http://b:1", False, 2),
                    EndpointGauges("http://c:1", None, 1),
                    *(EndpointGauges(f"http://d:{port}", True, 0) for port in range(MAX_ENDPOINTS + 47)),
                ],
            )
        ],
        discovery=[DiscoveryGauges("orders", False, 12.5), DiscoveryGauges("stock", False, None)],
        access_log_dropped=11,
    )  # fmt: skip


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = render(scrape()).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    return samples()[(name, tuple(sorted(labels.items())))]


def test_counters_have_their_labels() -> None:
    assert value("http_requests_total", method="GET", route="orders", status="200", arm="candidate") == 7
    assert value("banyan_upstream_requests_total", upstream="orders", route="orders", outcome="reset") == 1
    assert value("banyan_compare_total", route="orders", verdict="mismatched") == 1
    assert value("banyan_ambiguous_paths_total") == 3


def test_histogram_buckets_are_cumulative_and_end_at_infinity() -> None:
    labels = {"route": "orders", "arm": "candidate"}
    assert value("http_request_duration_seconds_bucket", **labels, le="0.001") == 3
    assert value("http_request_duration_seconds_bucket", **labels, le="0.05") == 5
    assert value("http_request_duration_seconds_bucket", **labels, le="+Inf") == 6
    assert value("http_request_duration_seconds_count", **labels) == 6
    assert value("http_request_duration_seconds_sum", **labels) == 1.5


def test_route_is_at_exactly_one_stage() -> None:
    stages = {labels: v for (name, labels), v in samples().items() if name == "banyan_route_stage"}
    assert sum(stages.values()) == 1
    assert value("banyan_route_stage", route="orders", stage="canary") == 1
    assert value("banyan_canary_percent", route="orders") == 10
    assert value("banyan_route_ready", route="orders") == -1


def test_a_source_shows_whether_it_answers_and_how_old_its_answer_is() -> None:
    assert value("banyan_discovery_up", upstream="orders") == 0
    assert value("banyan_discovery_age_seconds", upstream="orders") == 12.5
    assert value("banyan_discovery_up", upstream="stock") == 0
    assert ("banyan_discovery_age_seconds", (("upstream", "stock"),)) not in samples()


def test_worker_that_is_down_shows_as_zero_and_has_no_other_gauge() -> None:
    assert value("banyan_worker_up", worker="1") == 0
    assert ("banyan_connections", (("worker", "1"),)) not in samples()


def test_breakers_of_traffic_and_of_shadows_are_two_gauges_and_one_pair_of_counters() -> None:
    orders = {"route": "orders", "upstream": "orders"}
    assert value("banyan_breaker_state", **orders) == 2
    assert value("banyan_shadow_breaker_state", **orders) == 1
    assert value("banyan_breaker_opened_total", **orders, purpose="traffic") == 3
    assert value("banyan_breaker_refused_total", **orders, purpose="shadow") == 5


def test_breaker_that_no_worker_has_any_more_keeps_its_counters_and_has_no_state() -> None:
    gone = {"route": "gone", "upstream": "orders"}
    assert value("banyan_breaker_opened_total", **gone, purpose="traffic") == 9
    assert ("banyan_breaker_state", tuple(sorted(gone.items()))) not in samples()


def test_bulkhead_shows_use_and_bound() -> None:
    names = ("bulkhead_in_flight", "bulkhead_queued", "bulkhead_limit", "overflows_total", "retries_refused_total")
    assert [value(f"banyan_{name}", upstream="orders") for name in names] == [4, 2, 512, 6, 8]
    assert value("banyan_upstream_panic", upstream="orders") == 1


def test_endpoint_is_up_or_not_and_one_that_leaves_is_neither() -> None:
    def up(endpoint: str) -> float | None:
        return samples().get(("banyan_endpoint_up", (("endpoint", endpoint), ("upstream", "orders"))))

    assert [up(url) for url in ("http://a:1", "http://b:1", "http://c:1")] == [1, 0, None]
    assert value("banyan_endpoint_ejections_total", upstream="orders", endpoint="http://c:1") == 1


def test_discovery_cannot_add_endless_series() -> None:
    listed = [labels for name, labels in samples() if name == "banyan_endpoint_ejections_total"]
    assert len(listed) == MAX_ENDPOINTS
    assert value("banyan_endpoints", upstream="orders", state="fit") == MAX_ENDPOINTS + 48


def test_documentation_lists_exactly_the_metrics_that_exist() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
    assert documented == {name: tuple(described) for name, described in METRICS.items()}


def test_every_metric_is_rendered() -> None:
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in samples()}
    assert names == {re.sub(r"_(count)$", "", name) for name in METRICS}
