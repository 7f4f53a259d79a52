"""Settings that are each right and together nonsense."""

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.errors import ConfigError

HEAD = """\
legacy: monolith
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders:
"""


def faults(folder: Path, *settings: str, endpoints: str = "[http://h]", whole: str = "") -> list[str]:
    """``line:column: what; hint`` of all faults. The upstream's first setting is on line 6, column 5."""
    lines = [f"    endpoints: {endpoints}", *(f"    {setting}" for setting in settings), whole]
    (folder / "a.yaml").write_text(HEAD + "\n".join(lines))
    try:
        load(folder, {})
    except ConfigError as error:
        return [str(fault).partition("a.yaml:")[2] for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("setting", "column", "words"),
    [
        ("breaker: {max_open: 10s, open: 20s}", 36, "open 20s is more than max_open 10s; raise max_open"),
        ("breaker: {open: 10m}", 21, "open 10m is more than max_open 5m, the default"),
        ("breaker: {max_open: 5s}", 25, "open 30s is more than max_open 5s"),
        ("breaker: {consecutive_failures: 0, error_share: 0%}", 37, "it can never open; write mode: off"),
        ("breaker: {mode: observe, error_share: 0%, consecutive_failures: 0}", 69, "it can never open"),
        ("retries: {backoff: 1s}", 24, "backoff 1s is more than max_backoff 250ms, the default"),
        ("retries: {max_backoff: 5ms}", 28, "backoff 25ms is more than max_backoff 5ms"),
        ("retries: {on: []}", 19, "nothing is ever tried again; write attempts: 0"),
        ("retries: {attempts: 2, on: []}", 32, "nothing is ever tried again"),
        ("retries: {budget: 0%, budget_min: 0}", 23, "allows no retry; write attempts: 0"),
        ("bulkhead: {queue: 8, queue_timeout: 0s}", 41, "8 requests may wait, but with queue_timeout 0s nobody waits"),
        ("adaptive_concurrency: {min: 20, max: 10}", 33, "min 20 is more than max 10"),
        ("adaptive_concurrency: {min: 2000}", 33, "min 2000 is more than max 1000, the default"),
        ("outliers: {ejection: 10m}", 26, "ejection 10m is more than max_ejection 5m, the default"),
        ("health: {path: /h, interval: 1s, timeout: 2s}", 47, "timeout 2s is more than interval 1s"),
        ("balance: hash", 14, "hash needs an identity"),
    ],
)
def test_a_contradiction_is_one_fault_at_its_place(tmp_path: Path, setting: str, column: int, words: str) -> None:
    (found,) = faults(tmp_path, setting)
    assert found.startswith(f"6:{column}: upstreams.orders")
    assert words in found


@pytest.mark.parametrize(
    "setting",
    [
        "breaker: {mode: off, consecutive_failures: 0, error_share: 0%}",
        "breaker: {consecutive_failures: 0}",
        "breaker: {error_share: 0%}",
        "breaker: {open: 30s, max_open: 30s}",
        "retries: {attempts: 0, on: [], budget: 0%, budget_min: 0}",
        "retries: {budget: 0%}",
        "retries: {backoff: 0s, max_backoff: 0s}",
        "bulkhead: {queue: 0}",
        "bulkhead: {queue: 0, queue_timeout: 250ms}",
        "bulkhead: {queue_timeout: 0s}",
        "bulkhead: {max_concurrent: 0}",
        "bulkhead: {max_concurrent: 1, queue: 0}",
        "adaptive_concurrency: {min: 10, max: 10}",
        "outliers: {consecutive_failures: 0}",
        "health: {path: /h, interval: 100ms}",
        "health: {path: /h, interval: 2s, timeout: 2s}",
        "timeouts: {connect: 5s, first_byte: 9s, per_try: 9s, total: 1s}",
        "endpoints: [http://h]",
    ],
)
def test_what_works_badly_or_is_turned_off_is_no_fault(tmp_path: Path, setting: str) -> None:
    (tmp_path / "a.yaml").write_text(
        HEAD + ("" if setting.startswith("endpoints") else "    endpoints: [http://h]\n") + f"    {setting}\n"
    )
    assert load(tmp_path, {}).settings.upstreams["orders"].endpoints


def test_endpoints_without_any_weight_are_a_fault_and_twice_the_same_is_none(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, endpoints="[{url: http://a, weight: 0}, {url: http://b, weight: 0}]")
    assert found.startswith("5:16: upstreams.orders: every endpoint has the weight 0")
    assert faults(tmp_path, endpoints="[{url: http://a, weight: 0}, http://b]") == []
    assert faults(tmp_path, endpoints="[http://a, http://a]") == []


def test_hash_with_an_identity_is_fine(tmp_path: Path) -> None:
    assert faults(tmp_path, "balance: hash", whole="identity: [{header: X-User-Id}]") == []


def test_connections_are_not_refused_before_shadows_are_given_up(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, whole="overload: {shadow_lag: 2s, refuse_lag: 1s}")
    assert found.startswith("6:24: overload: shadow_lag 2s is more than refuse_lag 1s; shadows are given up before")
    for fine in ("{shadow_lag: 2s, refuse_lag: 0s}", "{refuse_lag: 20ms}", "{shadow_lag: 0s, refuse_lag: 1s}"):
        assert faults(tmp_path, whole=f"overload: {fine}") == []


def test_a_faulty_value_makes_no_second_fault(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "breaker: {open: 10m, max_open: 1x}")
    assert "'1x' is not a duration" in found
    (found,) = faults(tmp_path, "balance: hash", whole="identity: [{heder: X-User-Id}]")
    assert "heder" in found
    assert len(faults(tmp_path, "retries: {budget: 0%, budget_min: -1, on: [rest]}")) == 2


def test_every_contradiction_is_found_beside_other_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, "breaker: {open: 10m}", "retries: {on: []}", "timeots: {}")
    assert [line.partition(": ")[0] for line in found] == ["6:21", "7:19", "8:5"]
