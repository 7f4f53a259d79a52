"""A running Banyan whose endpoints are found by a real name server and checked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dnsmasq import Dnsmasq
from running import Banyan, Upstream, ask, eventually

CONFIGURATION = """\
version: 1
listen: 127.0.0.1:0
admin: {{listen: "127.0.0.1:0"}}
workers: 2
store: sqlite:///banyan.db
shutdown: {{drain_delay: 50ms, grace: 3s}}
upstreams:
  monolith: {monolith}
legacy: monolith
"""


@pytest.fixture
def shops() -> Iterator[list[Upstream]]:
    made = [Upstream({"shop": number}) for number in range(2)]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Banyan]]:
    started: list[Banyan] = []

    def run(monolith: str) -> Banyan:
        (tmp_path / "banyan.yaml").write_text(CONFIGURATION.format(monolith=monolith))
        started.append(Banyan(tmp_path / "banyan.yaml"))
        return started[-1]

    yield run
    for banyan in started:
        if banyan.process.poll() is None:
            banyan.stop()


def srv(shop: Upstream) -> str:
    return f"srv-host=_http._tcp.shop.test,shop.test,{urlsplit(shop.url).port},1,1"


def answering(banyan: Banyan) -> set[Any]:
    """Who answers, over enough requests to see both workers and all endpoints."""
    replies = [ask(banyan.url + "/") for _ in range(24)]
    return {reply.json().get("shop", reply.status) for reply in replies}


def of_monolith(banyan: Banyan) -> Any:
    return next(one for one in banyan.status()["endpoints"] if one["upstream"] == "monolith")


def lines(banyan: Banyan, event: str) -> list[dict[str, Any]]:
    return [line for line in banyan.events() if line["event"] == event]


def test_traffic_follows_the_name_server_and_survives_its_loss(
    dnsmasq: Dnsmasq, shops: list[Upstream], start: Callable[[str], Banyan], tmp_path: Path
) -> None:
    one, two = shops
    address = "host-record=shop.test,127.0.0.1"
    dnsmasq.start(srv(one), address, ttl=0)
    source = f'{{srv: {{name: _http._tcp.shop.test, server: "{dnsmasq.address}", min_refresh: 100ms}}}}'
    banyan = start(f"{{discovery: {source}}}")
    # from the very first request: the start waited for the first answer
    assert answering(banyan) == {0}

    dnsmasq.start(srv(one), srv(two), address, ttl=0)
    eventually(lambda: len(of_monolith(banyan)["endpoints"]) == 2)
    eventually(lambda: answering(banyan) == {0, 1})

    dnsmasq.stop()
    eventually(lambda: of_monolith(banyan)["discovery"]["state"] == "lost", 30.0)
    known = of_monolith(banyan)
    last = known["discovery"]["last_error"]  # which question it was on when the server went is chance
    assert last.startswith(("_http._tcp.shop.test: ", "shop.test: "))
    assert "the name server did not answer" in last
    assert known["discovery"]["answer_age_seconds"] > 0
    assert answering(banyan) == {0, 1}
    assert b'banyan_discovery_up{upstream="monolith"} 0.0' in ask(banyan.admin + "/metrics").body

    # a worker that is started meanwhile knows what the others know
    before = banyan.pids()
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: banyan.status()["state"] == "serving" and banyan.pids()[0] != before[0])
    assert answering(banyan) == {0, 1}

    # a reload of something else does not forget it
    file = tmp_path / "banyan.yaml"
    file.write_text(file.read_text().replace("legacy: monolith", "legacy: monolith\nexpose: true"))
    assert ask(banyan.admin + "/api/reload", "POST", {}).json()["settled"] is True
    assert answering(banyan) == {0, 1}
    assert len(lines(banyan, "discovery-lost")) == 1

    dnsmasq.start(srv(two), address, ttl=0)
    eventually(lambda: of_monolith(banyan)["discovery"]["state"] == "good", 30.0)
    eventually(lambda: answering(banyan) == {1})
    assert len(lines(banyan, "discovery-back")) == 1


def test_an_endpoint_that_fails_its_checks_gets_no_traffic_and_a_wrong_path_takes_nobody_out(
    shops: list[Upstream], start: Callable[[str], Banyan], tmp_path: Path
) -> None:
    one, two = shops
    health = "{path: /healthz, interval: 200ms}"
    banyan = start(f'{{endpoints: ["{one.url}", "{two.url}"], panic: 50%, health: {health}}}')
    eventually(lambda: answering(banyan) == {0, 1})
    one.status = 500
    eventually(lambda: [e["healthy"] for e in of_monolith(banyan)["endpoints"]] == [False, True])
    eventually(lambda: answering(banyan) == {1})
    line = next(line for line in lines(banyan, "endpoint-unhealthy") if line["endpoint"] == one.url)
    assert line["why"] == "answered 500, expected 200-399"

    two.status = 500
    eventually(lambda: of_monolith(banyan)["health"]["all_unhealthy"])
    eventually(lambda: lines(banyan, "all-endpoints-unhealthy"))
    one.status = two.status = 200
    file = tmp_path / "banyan.yaml"
    file.write_text(file.read_text().replace("/healthz", "/healthz, expect: [204]"))  # nobody answers so
    ask(banyan.admin + "/api/reload", "POST", {})
    eventually(lambda: of_monolith(banyan)["health"]["all_unhealthy"])
    eventually(lambda: next(one for one in banyan.status()["upstreams"] if one["upstream"] == "monolith")["panic"])
    eventually(lambda: answering(banyan) == {0, 1})

    file.write_text(file.read_text().replace(", expect: [204]", ""))
    ask(banyan.admin + "/api/reload", "POST", {})
    eventually(lambda: all(e["healthy"] for e in of_monolith(banyan)["endpoints"]))
    eventually(lambda: answering(banyan) == {0, 1})
    assert len(lines(banyan, "all-endpoints-unhealthy")) <= 3  # each setting of the checks begins anew
