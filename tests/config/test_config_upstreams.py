"""The part of the language that upstreams are written in: what loads, and where its faults point."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from proxy.config.load import load
from proxy.config.model import Settings
from proxy.config.schema import json_schema
from proxy.config.upstreams import Endpoint, Upstream
from proxy.errors import ConfigError

HEAD = """\
legacy: monolith
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders:
"""

DESIGNED = """\
    endpoints: [http://127.0.0.1:9002, http://127.0.0.1:9003]
    timeouts: {connect: 1s, first_byte: 10s, idle: 30s, total: 60s}
    retries: {attempts: 1, budget: 20%, on: [connect-failure, reset, 502, 503, 504]}
    breaker: {consecutive_failures: 5, error_share: 50%, min_requests: 20, window: 10s, open: 30s, probes: 3}
    bulkhead: {max_concurrent: 256, queue: 64, queue_timeout: 250ms}
    health: {path: /healthz, interval: 5s, timeout: 1s, unhealthy_after: 3, healthy_after: 2}
"""


def orders(folder: Path, lines: str) -> Upstream:
    """The upstream ``orders`` written so; ``lines`` are indented by four."""
    (folder / "a.yaml").write_text(HEAD + lines)
    return load(folder, {}).settings.upstreams["orders"]


def faults(folder: Path, lines: str) -> list[str]:
    """The faults, as ``line:column: what; hint``; the first of ``lines`` is line 5."""
    with pytest.raises(ConfigError) as caught:
        orders(folder, lines)
    return [str(fault).partition("a.yaml:")[2] for fault in caught.value.faults]


def fault(folder: Path, setting: str) -> str:
    """The only fault of one setting, which is on line 6, column 5."""
    (found,) = faults(folder, f"    endpoints: [http://h]\n    {setting}\n")
    return found


def test_the_upstream_of_the_design_loads(tmp_path: Path) -> None:
    upstream = orders(tmp_path, DESIGNED)
    assert upstream.retries
    assert upstream.breaker
    assert upstream.health
    assert upstream.retries.on == ["connect-failure", "reset", 502, 503, 504]
    assert upstream.retries.budget == 0.2
    assert (upstream.breaker.error_share, upstream.breaker.open, upstream.breaker.mode) == (0.5, 30, "enforce")
    assert (upstream.bulkhead.max_concurrent, upstream.bulkhead.queue_timeout) == (256, 0.25)
    assert (upstream.health.interval, upstream.health.expect) == (5, ["200-399"])


def test_an_endpoint_is_a_url_or_a_url_with_a_weight(tmp_path: Path) -> None:
    upstream = orders(tmp_path, "    endpoints: [http://a:1, {url: https://b, weight: 3}]\n")
    assert upstream.endpoints == [Endpoint(url="http://a:1"), Endpoint(url="https://b", weight=3)]
    document = json.loads(load(tmp_path, {}).document)
    assert document["upstreams"]["orders"]["endpoints"][0] == "http://a:1"
    assert Settings.model_validate(document).upstreams["orders"] == upstream


def test_an_upstream_without_endpoints_needs_discovery(tmp_path: Path) -> None:
    assert "needs endpoints or discovery" in faults(tmp_path, "    max_idle: 5\n")[0]
    assert orders(tmp_path, "    discovery: {dns: {name: orders.internal, port: 80}}\n").endpoints == []


@pytest.mark.parametrize(
    ("entry", "column", "words"),
    [
        ("http//h", 9, "endpoints[0]: 'http//h' is not an endpoint"),
        ("{url: ftp://h}", 15, "endpoints[0].url: 'ftp://h' is not an endpoint"),
        ("{weight: 2, url: http://h/x}", 26, "endpoints[0].url: an endpoint may hold scheme, host and port only"),
        ("'http://user:secret@h'", 9, "no user or password"),
        (
            "{url: http://h, wight: 2}",
            25,
            "unknown key 'wight' of upstreams.orders.endpoints[0]; did you mean `weight`?",
        ),
        ("{weight: 2}", 9, "needs the key 'url'"),
        ("{url: http://h, weight: 1001}", 33, "must be at most 1000"),
        ("{url: http://h, weight: true}", 33, "must be a whole number, and is true or false"),
        ("{url: http://h, weight: -1}", 33, "must be at least 0"),
        ("{url: 5}", 15, "must be text, and is a number"),
        ("{url: 'http://h:99999'}", 15, "out of range"),
        ("http://h:0", 9, "is not an endpoint"),
        ("'http://h h'", 9, "is not an endpoint"),
        ("5", 9, "endpoints[0]: write http://host:port, or {url"),
        ("true", 9, "endpoints[0]: write http://host:port, or {url"),
        ("[http://h]", 9, "endpoints[0]: write http://host:port, or {url"),
        ("null", 9, "endpoints[0]: write http://host:port, or {url"),
    ],
)
def test_a_faulty_endpoint_is_one_fault_at_its_place(tmp_path: Path, entry: str, column: int, words: str) -> None:
    (found,) = faults(tmp_path, f"    endpoints:\n      - {entry}\n      - http://h\n")
    assert found.startswith(f"6:{column}: ")
    assert words in found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("conect-failure", "did you mean `connect-failure`?"),
        ("time-out", "did you mean `timeout`?"),
        ("'503'", "leave the quotes out"),
        ("5xx", "name the statuses, like 502, 503, 504"),
        ("200", ""),
        ("true", ""),
        ("503.0", ""),
        ("[reset]", ""),
        ("null", ""),
    ],
)
def test_a_faulty_reason_to_retry_is_one_fault_at_its_place(tmp_path: Path, reason: str, hint: str) -> None:
    found = fault(tmp_path, f"retries: {{on: [reset, 429, {reason}]}}")
    assert found.startswith("6:32: upstreams.orders.retries.on[2] must be connect-failure or reset or")
    assert found.endswith(f"or a status from 400 to 599; {hint}".rstrip("; "))


@pytest.mark.parametrize(
    ("setting", "column", "words"),
    [
        ("retries: {attempts: 11}", 25, "upstreams.orders.retries.attempts must be at most 10"),
        ("retries: {attempts: true}", 25, "must be a whole number, and is true or false"),
        ("retries: {budget: 20}", 23, "20 is not a share"),
        ("retries: {atempts: 2}", 15, "did you mean `attempts`?"),
        ("retries: {on: 503}", 19, "must be a list, and is a number"),
        ("breaker: {mode: of}", 21, "did you mean `off`?"),
        ("breaker: {window: 0s}", 23, "must be at least 1s"),
        ("breaker: {window: 1h}", 23, "must be at most 10m"),
        ("breaker: {open: 0s}", 21, "must be more than 0s"),
        ("timeouts: {per_try: 5}", 25, "5 is not a duration"),
        ("health: {interval: 5s}", 13, "needs the key 'path'"),
        ("health: {path: healthz}", 20, "it must begin with a slash"),
        ("health: {path: /a b}", 20, "hold no blanks"),
        ("health: {path: /a#b}", 20, "no #"),
        ("health: {path: /h, expect: [200, 700]}", 38, "'700' is no status; write it like 200 or 200-399"),
        ("health: {path: /h, expect: [399-200]}", 33, "is no status"),
        ("health: {path: /h, expect: [true]}", 33, "true or false is no status"),
        ("health: {path: /h, expect: []}", 32, "needs at least 1 entry"),
        ("adaptive_concurrency: {tolerance: 0.5}", 39, "must be at least 1"),
        ("balance: least-requests", 14, "did you mean `least-request`?"),
        ("discovery: {}", 16, "write exactly one of dns, srv, consul or kubernetes"),
        ("discovery: {dns: {name: a, port: 80}, srv: {name: b}}", 16, "write exactly one of"),
        ("discovery: {dsn: {name: a, port: 80}}", 17, "did you mean `dns`?"),
        ("discovery: {dns: {name: a, port: 70000}}", 38, "must be at most 65535"),
        ("discovery: {dns: {name: 'http://a', port: 80}}", 29, "'http://a' is not the name of a host"),
        ("discovery: {dns: {name: a, port: 80, server: b}}", 50, "is not an address"),
        ("discovery: {kubernetes: {service: a, port: true}}", 48, "write the name of a port, or its number"),
        ("discovery: {kubernetes: {service: a, port: '80'}}", 48, "without quotes"),
        ("discovery: {consul: {service: a, url: 'http://u:secret@h'}}", 43, "no user or password"),
        ("discovery: {consul: {service: ''}}", 35, "discovery.consul.service must not be empty"),
    ],
)
def test_a_faulty_setting_is_one_fault_at_its_place(tmp_path: Path, setting: str, column: int, words: str) -> None:
    found = fault(tmp_path, setting)
    assert found.startswith(f"6:{column}: ")
    assert words in found
    assert "secret" not in found


def test_a_status_needs_no_quotes(tmp_path: Path) -> None:
    lines = "    endpoints: [http://h]\n    health: {path: /h, expect: [200, '204', 300-399]}\n"
    health = orders(tmp_path, lines).health
    assert health
    assert health.expect == ["200", "204", "300-399"]


def test_a_port_has_a_name_or_a_number(tmp_path: Path) -> None:
    for port in ("web", 80):
        found = orders(tmp_path, f"    discovery: {{kubernetes: {{service: a, port: {port}}}}}\n").discovery
        assert found
        assert found.kubernetes
        assert found.kubernetes.port == port


def test_secrets_are_not_in_the_settings_text(tmp_path: Path) -> None:
    upstream = orders(tmp_path, "    discovery: {consul: {service: a, token: s3cret}}\n")
    assert "s3cret" not in repr(upstream)


def test_the_schema_allows_endpoints_as_plain_text_and_reasons_of_both_kinds() -> None:
    definitions = json_schema()["$defs"]
    items = definitions["Upstream"]["properties"]["endpoints"]["items"]
    assert items == {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Endpoint"}]}
    reasons = definitions["Retries"]["properties"]["on"]["items"]["anyOf"]
    assert reasons[0]["enum"][0] == "connect-failure"
    assert (reasons[1]["minimum"], reasons[1]["maximum"]) == (400, 599)
    assert definitions["Endpoint"]["required"] == ["url"]


@pytest.mark.parametrize(
    ("model", "setting", "default"),
    [
        ("Timeouts", "per_try", "0s"),
        ("Timeouts", "tunnel_idle", "10m"),
        ("Retries", "budget", "20%"),
        ("Retries", "backoff", "25ms"),
        ("Breaker", "max_open", "5m"),
        ("Bulkhead", "queue_timeout", "250ms"),
        ("Drill", "bandwidth", "0B"),
        ("Overload", "shadow_lag", "50ms"),
    ],
)
def test_the_schema_shows_defaults_as_people_write_them(model: str, setting: str, default: str) -> None:
    assert json_schema()["$defs"][model]["properties"][setting]["default"] == default


def test_every_group_can_be_written_empty() -> None:
    """What is on by default is the same when its key is written without anything in it."""
    for name in ("Timeouts", "Retries", "Breaker", "Bulkhead", "AdaptiveConcurrency", "Outliers"):
        model: Any = getattr(__import__("proxy.config.upstreams", fromlist=[name]), name)
        assert issubclass(model, BaseModel)
        assert model.model_validate({}) == model()
