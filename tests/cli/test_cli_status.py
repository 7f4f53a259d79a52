"""What ``banyan status`` says of upstreams, breakers and events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from proxy.cli import status as module
from proxy.cli.status import EVENTS_SHOWN, MAX_LISTED, status

Show = Callable[..., str]


def breaker(**more: Any) -> dict[str, Any]:
    return {
        "route": "orders-read", "upstream": "orders", "purpose": "traffic", "mode": "enforce", "state": "open",
        "workers": {"open": 1, "closed": 3}, "not_closed_seconds": 125.0, "open_seconds": 28.0, "opened": 2,
        "refused": 1340, **more,
    }  # fmt: skip


def endpoint(url: str, state: str = "fit", workers: dict[str, int] | None = None) -> dict[str, Any]:
    return {
        "endpoint": url,
        "state": state,
        "workers": workers or {state: 2},
        "in_flight": 0,
        "weight": 1,
        "ejections": 0,
    }


def upstream(name: str, *endpoints: dict[str, Any], **more: Any) -> dict[str, Any]:
    states = dict.fromkeys(("fit", "draining", "ejected", "unhealthy"), 0)
    for one in endpoints:
        states[one["state"]] += 1
    return {
        "upstream": name, "in_flight": 12, "queued": 3, "limit": 2048, "shadows_in_flight": 0, "overflows": 1234,
        "retries_in_flight": 0, "retries_refused": 7, "panic": False, "endpoint_states": states,
        "endpoints": list(endpoints), "endpoints_not_listed": 0, **more,
    }  # fmt: skip


def found(**more: Any) -> dict[str, Any]:
    return {
        "state": "serving", "listen": ["127.0.0.1:8080"], "uptime_seconds": 60.0, "workers": [], "routes": [],
        "comparators": [{"up": True, "restarts": 0}], "unrouted": {}, "breakers": [], "upstreams": [],
        "access_log": None, "endpoints": [], "store": {"path": "x", "up": True, "moved_aside": None},
        "configuration": {"path": "routes", "generation": 1, "warnings": [], "faults": []}, **more,
    }  # fmt: skip


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """What the command prints for what the admin side answers."""

    def shown(answer: dict[str, Any], *words: str) -> str:
        class Client:
            def __init__(self, _: str) -> None:
                pass

            def get(self, path: str, **query: object) -> Any:
                assert (path, query) == (
                    ("/api/events", {"limit": EVENTS_SHOWN}) if "--events" in words else ("/api/status", {})
                )
                return answer

        monkeypatch.setattr(module, "Client", Client)
        result = CliRunner().invoke(status, list(words), catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    return shown


def row(text: str, first: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(first))
    return re.split(r"  +", line)


def test_only_breakers_that_are_not_closed_are_shown(show: Show) -> None:
    shadow = breaker(route="b", purpose="shadow", mode="observe", state="half-open", workers={"half-open": 1})
    text = show(found(breakers=[breaker(), shadow, breaker(route="calm", state="closed", workers={"closed": 4})]))
    assert row(text, "orders-read") == [
        "orders-read", "orders", "traffic", "open", "2 min", "28 s", "1 of 4", "2", "1,340",
    ]  # fmt: skip
    assert row(text, "b ")[2:7] == ["shadow", "half-open (observed only)", "2 min", "-", "1 of 1"]
    assert "calm" not in text


def test_an_open_breaker_whose_time_is_over_waits_for_a_request(show: Show) -> None:
    text = show(found(breakers=[breaker(open_seconds=0.0)]))
    assert row(text, "orders-read")[5] == "next request"


def test_breakers_that_stop_clients_come_first(show: Show) -> None:
    text = show(
        found(
            breakers=[
                breaker(route="a-observed", mode="observe"), breaker(route="b-shadow", purpose="shadow"),
                breaker(route="c-half-open", state="half-open", workers={"half-open": 1}), breaker(route="d-open"),
            ]
        )
    )  # fmt: skip
    order = [text.index(name) for name in ("d-open", "c-half-open", "b-shadow", "a-observed")]
    assert order == sorted(order)


def test_nothing_to_tell_of_breakers_is_not_told(show: Show) -> None:
    assert "breaker" not in show(found(breakers=[breaker(state="closed")]))


def test_upstreams_show_their_use_and_their_endpoints(show: Show) -> None:
    orders = upstream(
        "orders", endpoint("http://a:1", "ejected", {"ejected": 1, "fit": 1}), endpoint("http://b:1", "unhealthy"),
        endpoint("http://c:1"), panic=True, limit=None,
    )  # fmt: skip
    text = show(found(upstreams=[upstream("monolith", endpoint("http://m:1")), orders]))
    assert row(text, "monolith") == ["monolith", "12", "3", "2,048", "1,234", "7", "1"]
    assert row(text, "orders ") == ["orders", "12", "3", "-", "1,234", "7", "1 of 3 fit, panic: all are used"]
    assert "orders: http://a:1 is ejected (1 of 2 workers)\n" in text
    assert "orders: http://b:1 is unhealthy\n" in text
    assert "http://c:1" not in text


def test_an_outage_of_everything_fits_on_a_screen(show: Show) -> None:
    endpoints = [endpoint(f"http://a:{n}", "unhealthy") for n in range(100)]
    text = show(
        found(breakers=[breaker(route=f"r{n}") for n in range(300)], upstreams=[upstream("orders", *endpoints)])
    )
    assert f"and {300 - MAX_LISTED} more\n" in text
    assert f"and {100 - MAX_LISTED} more endpoints that are not fit\n" in text
    assert text.count("\n") < 60


def test_what_discovery_said_does_not_reach_the_terminal(show: Show) -> None:
    text = show(found(upstreams=[upstream("orders", endpoint("http://\x1b[2J\u202e:1", "ejected"))]))
    assert "http://\\x1b[2J\\u202e:1 is ejected" in text


def test_lost_lines_of_the_access_log_are_a_warning(show: Show) -> None:
    assert "access log" not in show(found(access_log={"file": "a.log", "dropped": 0}))
    text = show(found(access_log={"file": "a.log", "dropped": 1200}))
    assert "warning: 1,200 requests have no line in the access log a.log" in text


OF_ORDERS = "the source of orders (dns orders.example) "


def found_endpoints(origin: str = "discovery", endpoints: int = 2, **more: Any) -> dict[str, Any]:
    check = {"good": False, "status": 404, "why": "answered 404, expected 200", "age_seconds": 1.0}
    one = {"endpoint": "http://a:1", "weight": 1, "healthy": False, "check": check}
    return {
        "upstream": "orders", "from": origin, "health": None, "endpoints": [one] * endpoints,
        "endpoints_not_listed": 0, "discovery": None, **more,
    }  # fmt: skip


def source(state: str, lost: float | None, error: str | None, left_out: int = 0) -> dict[str, Any]:
    return {
        "source": "dns orders.example", "state": state, "lost_seconds": lost, "answer_age_seconds": 90.0,
        "last_error": error, "left_out": left_out,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            found_endpoints(discovery=source("lost", 125.0, "no such name")),
            OF_ORDERS + "has been lost for 2 min; the 2 endpoints that it found last are used: no such name",
        ),
        (
            found_endpoints("configuration", 0, discovery=source("lost", 3.0, "refused")),
            OF_ORDERS + "has been lost for 3 s; it has no endpoints: refused",
        ),
        (
            found_endpoints("configuration", discovery=source("waiting", None, None)),
            OF_ORDERS + "has not answered yet; the 2 configured endpoints are used",
        ),
        (
            found_endpoints("former", discovery=source("lost", 1.0, None)),
            OF_ORDERS + "has been lost for 1 s; the 2 endpoints from before the reload are used",
        ),
        (
            found_endpoints(discovery=source("good", None, "it was lost once", left_out=24)),
            "the source of orders knows 24 endpoints too many; they are left out",
        ),
        (
            found_endpoints(health={"path": "/healthz", "all_unhealthy": True}),
            "no endpoint of orders passes its check of /healthz: answered 404, expected 200",
        ),
    ],
)
def test_what_is_wrong_with_finding_and_checking_endpoints_is_a_warning(
    show: Show, one: dict[str, Any], line: str
) -> None:
    assert f"\nwarning: {line}\n" in show(found(endpoints=[one]))


def test_endpoints_that_are_found_and_checked_well_are_no_warning(show: Show) -> None:
    health = {"path": "/healthz", "all_unhealthy": False}
    well = found_endpoints(discovery=source("good", None, "it was lost once"), health=health)
    assert "warning" not in show(found(endpoints=[well]))


EVENTS = {
    "events": [
        {"id": 3, "at": 0.0, "actor": "worker 1", "action": "breaker", "route": "orders-read", "version": 0,
         "before": {"state": "closed"}, "reason": "5 failures in a row",
         "after": {"state": "open", "upstream": "orders", "purpose": "traffic", "mode": "observe"}},
        {"id": 2, "at": 0.0, "actor": "ann", "action": "stage", "route": "orders-read", "version": 1,
         "before": {"stage": "shadow", "percent": 0}, "after": {"stage": "canary", "percent": 5},
         "reason": "first \x1b"},
        {"id": 1, "at": 0.0, "actor": "SIGHUP", "action": "reload", "route": "", "version": 0,
         "before": {"generation": 1}, "after": {"generation": 2}, "reason": ""},
    ]
}  # fmt: skip


def test_following_the_file_again_says_what_the_stage_is_now_taken_from(show: Show) -> None:
    event = {
        "at": time.time(), "actor": "ann", "action": "follow-file", "route": "orders-read", "reason": "over",
        "before": {"stage": "canary", "percent": 5}, "after": {},
    }  # fmt: skip
    row = re.split(r"  +", show({"events": [event]}, "--events").splitlines()[1])
    assert row[4:] == ["canary 5 %", "as the file says", "over"]


def test_events_are_a_table_of_who_did_what_and_why(show: Show) -> None:
    for event in EVENTS["events"]:
        event["at"] = time.time() - 3 * 60 - 5
    lines = [re.split(r"  +", line) for line in show(EVENTS, "--events").splitlines()[1:]]
    assert lines == [
        ["3 min ago", "worker 1", "traffic breaker of orders (observed only)", "orders-read", "closed", "open",
         "5 failures in a row"],
        ["3 min ago", "ann", "stage", "orders-read", "shadow", "canary 5 %", "first \\x1b"],
        ["3 min ago", "SIGHUP", "reload", "-", "generation 1", "generation 2"],
    ]  # fmt: skip
    assert json.loads(show(EVENTS, "--events", "--json")) == EVENTS


def said(number: int, action: str, before: str, reason: str = "", **after: Any) -> dict[str, Any]:
    return {
        "id": number, "at": time.time() - 5, "actor": "ann", "action": action, "route": "orders-read", "version": 0,
        "before": {"state": before}, "after": {"fingerprint": "3f9a6c0d12ab", **after}, "reason": reason,
    }  # fmt: skip


def test_what_was_said_of_differences_names_the_difference_and_whom_it_was_given_to(show: Show) -> None:
    events = [
        said(6, "regressed", "fixed", "seen again"), said(5, "auto-fixed", "new", "gone"),
        said(4, "assign", "accepted", who="dana"), said(3, "comment", "accepted", "hm"),
        said(2, "accept", "new", "wanted", until=1798761600.0), said(1, "unaccept", "accepted", "no"),
    ]  # fmt: skip
    lines = show({"events": events}, "--events").splitlines()[1:]
    assert [re.split(r"  +", line)[2:] for line in lines] == [
        ["regressed 3f9a6c0d12ab", "orders-read", "fixed", "regressed", "seen again"],
        ["auto-fixed 3f9a6c0d12ab", "orders-read", "new", "fixed", "gone"],
        ["assign 3f9a6c0d12ab to dana", "orders-read", "accepted", "accepted"],
        ["comment 3f9a6c0d12ab", "orders-read", "accepted", "accepted", "hm"],
        ["accept 3f9a6c0d12ab", "orders-read", "new", "accepted until 2026-12-31", "wanted"],
        ["unaccept 3f9a6c0d12ab", "orders-read", "accepted", "new", "no"],
    ]


def fault(line: int = 3, hint: str = "did you mean 'stage'?") -> dict[str, Any]:
    return {"file": "routes/a.yaml", "line": line, "column": 5, "what": "unknown key 'stag'", "hint": hint}


def test_faulty_files_are_told_beside_the_generation_that_serves_with_what_may_help(show: Show) -> None:
    faults = [fault(), fault(7, "")]
    text = show(found(configuration={"path": "routes", "generation": 6, "warnings": [], "faults": faults}))
    assert text.splitlines()[2:5] == [
        "configuration: routes, generation 6 goes on serving, for the files have 2 faults:",
        "  routes/a.yaml:3:5: unknown key 'stag'; did you mean 'stage'?",
        "  routes/a.yaml:7:5: unknown key 'stag'",
    ]
    assert "faults" not in show(found())


def test_more_faults_than_a_screen_has_room_for_are_counted(show: Show) -> None:
    faults = [fault(line) for line in range(MAX_LISTED + 5)]
    text = show(found(configuration={"path": "routes", "generation": 6, "warnings": [], "faults": faults}))
    assert "\n  and 5 more\n" in text
    assert f":{MAX_LISTED - 1}:5:" in text
    assert f":{MAX_LISTED}:5:" not in text
