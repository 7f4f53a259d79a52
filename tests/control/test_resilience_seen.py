"""An outage of the candidate, as operators see it: status, metrics, log and record, also after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from running import Banyan, Setup, ask, eventually

from proxy.cli.status import status

BREAKER = """\
  orders:
    endpoints: ["{candidate}"]
    breaker: {{consecutive_failures: 3, open: 60s}}
"""


@pytest.fixture
def broken(setup: Setup) -> Banyan:
    """A Banyan whose candidate answers 503, so that its breaker is open."""
    setup.write(stage="live", more="access_log: {file: access.log}\n")
    text = setup.file.read_text()
    old = next(line for line in text.splitlines(keepends=True) if line.startswith("  orders: "))
    assert old in text
    setup.file.write_text(text.replace(old, BREAKER.format(candidate=setup.candidate.url)))
    banyan = setup.start()
    setup.candidate.status = 503
    for number in range(10):
        assert ask(f"{banyan.url}/orders/{number}?token=secret").status == 200
    return banyan


def the_breaker(banyan: Banyan) -> Any:
    found = [one for one in banyan.status()["breakers"] if one["state"] != "closed" and one["purpose"] == "traffic"]
    return found[0] if found else None


def breaker_events(banyan: Banyan) -> Any:
    return ask(banyan.admin + "/api/events?kind=breaker&limit=5").json()["events"]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_an_outage_is_seen_everywhere_and_remembered(broken: Banyan, setup: Setup) -> None:
    # status
    found = eventually(lambda: (b := the_breaker(broken)) and b["refused"] == 7 and b)
    assert {name: found[name] for name in ("route", "upstream", "state", "mode", "workers", "opened")} == {
        "route": "orders-read", "upstream": "orders", "state": "open", "mode": "enforce", "workers": {"open": 1},
        "opened": 1,
    }  # fmt: skip
    assert 30 < found["open_seconds"] < 80
    shown = CliRunner().invoke(status, ["--admin", broken.admin], catch_exceptions=False).output
    assert "breakers that are not closed:" in shown
    # metrics
    text = ask(broken.admin + "/metrics").body.decode()
    assert 'banyan_breaker_state{route="orders-read",upstream="orders"} 2.0' in text
    assert 'banyan_breaker_refused_total{purpose="traffic",route="orders-read",upstream="orders"} 7.0' in text
    assert 'banyan_bulkhead_in_flight{upstream="monolith"} 0.0' in text
    assert f'banyan_endpoint_up{{endpoint="{setup.legacy.url}",upstream="monolith"}} 1.0' in text
    # the log
    (told,) = [event for event in broken.events() if event["event"] == "breaker"]
    assert (told["process"], told["level"], told["route"], told["after"]) == (
        "worker-0", "warning", "orders-read", "open",
    )  # fmt: skip
    # the record, before and after a restart
    (event,) = eventually(lambda: breaker_events(broken))
    assert (event["actor"], event["before"], event["after"]["state"]) == ("worker 0", {"state": "closed"}, "open")
    assert broken.stop() == 0
    again = setup.start()
    assert breaker_events(again)[-1] == event
    shown = CliRunner().invoke(status, ["--events", "--admin", again.admin], catch_exceptions=False).output
    assert "traffic breaker of orders" in shown


def test_the_access_log_tells_why_legacy_answered(broken: Banyan, setup: Setup) -> None:
    file = setup.file.parent / "access.log"
    eventually(lambda: len(lines(file)) == 10)
    found = lines(file)
    assert {line["path"] for line in found} == {f"/orders/{number}" for number in range(10)}
    assert {(line["query"], line["status"], line["arm"], line["route"]) for line in found} == {
        ("token=*", 200, "legacy", "orders-read")
    }
    assert [line["fallback"] for line in found] == ["5xx"] * 3 + ["breaker-open"] * 7
    assert [(t["upstream"], t["endpoint"], t["outcome"], t["why"]) for t in found[0]["tries"]] == [
        ("orders", setup.candidate.url, 503, "first"), ("monolith", setup.legacy.url, "ok", "fallback"),
    ]  # fmt: skip
    assert found[-1]["breaker"] == "open"
    assert broken.status()["access_log"] == {"file": "access.log", "dropped": 0}


def test_a_rotated_access_log_is_let_go_with_a_reload(broken: Banyan, setup: Setup) -> None:
    file = setup.file.parent / "access.log"
    eventually(lambda: len(lines(file)) == 10)
    file.rename(file.with_name("access.log.1"))
    assert ask(broken.admin + "/api/reload", "POST", {}).status == 200
    ask(broken.url + "/orders/10")
    eventually(lambda: [line["path"] for line in lines(file)] == ["/orders/10"])
    assert len(lines(file.with_name("access.log.1"))) == 10
