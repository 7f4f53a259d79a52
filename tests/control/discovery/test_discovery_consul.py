"""Endpoints from Consul, against a small agent that speaks its protocol for blocking queries."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from proxy.config.upstreams import ConsulDiscovery
from proxy.control.discovery import consul as module
from proxy.control.discovery.consul import ConsulSource
from proxy.control.names import Names
from proxy.wire.tasks import spawn


class Agent:
    """A Consul agent with one list of instances: a query blocks until the index is above the one it names."""

    def __init__(self) -> None:
        self.url = ""
        self.index: int | None = 10
        self.instances: Any = []
        self.token = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.raw: bytes | None = None
        self.queries: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._changed = asyncio.Event()

    def set(self, index: int | None, *instances: Any) -> None:
        """The catalogue has changed."""
        self.index, self.instances = index, list(instances)
        self.wake()

    def wake(self) -> None:
        """Queries that block answer now."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.paths.append(request.raw_path.partition("?")[0])
        if request.headers.get("X-Consul-Token", "") != self.token:
            return web.Response(status=403, text="Permission denied")
        asked = int(request.query["index"])
        if asked > 0 and asked == self.index:
            wait = re.fullmatch(r"(\d+)ms", request.query["wait"])
            assert wait is not None
            try:
                async with asyncio.timeout(int(wait[1]) / 1000):
                    await self._changed.wait()
            except TimeoutError:
                pass
        headers = {**self.headers, **({} if self.index is None else {"X-Consul-Index": str(self.index)})}
        if self.raw is not None:
            return web.Response(body=self.raw, headers=headers)
        return web.json_response(self.instances, status=self.status, headers=headers)


def instance(address: str, port: int, node: str = "10.9.9.9", weight: int | None = None) -> Any:
    service: dict[str, Any] = {"ID": "x", "Service": "orders", "Address": address, "Port": port, "Tags": ["v1"]}
    if weight is not None:
        service["Weights"] = {"Passing": weight, "Warning": 1}
    return {"Node": {"Node": "n", "Address": node}, "Service": service, "Checks": [{"Status": "passing"}]}


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    app = web.Application()
    app.router.add_get("/v1/health/service/{service}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.wake()
    await runner.cleanup()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_PAUSE_SECONDS", 0.01)


def a_source(agent: Agent, **more: Any) -> ConsulSource:
    return ConsulSource(ConsulDiscovery(url=agent.url, service="orders", **more), Names())


async def test_passing_instances_are_endpoints_with_their_weights(agent: Agent, watching: Any) -> None:
    agent.set(
        10,
        instance("10.0.0.1", 8001, weight=3),
        instance("", 8002, node="10.0.0.2"),
        instance("fd00::3", 8003, weight=1),
        instance("orders-4.example", 8004),
    )
    async with watching(a_source(agent)) as answers:
        assert await answers.next() == {
            "http://10.0.0.1:8001": 3,
            "http://10.0.0.2:8002": 1,
            "http://[fd00::3]:8003": 1,
            "http://orders-4.example:8004": 1,
        }
    assert agent.queries[0] == {"passing": "true", "index": "0", "wait": "60000ms"}
    assert agent.paths[0] == "/v1/health/service/orders"


async def test_the_next_query_blocks_until_something_changes(agent: Agent, watching: Any) -> None:
    agent.set(10, instance("10.0.0.1", 80))
    async with watching(a_source(agent)) as answers:
        await answers.next()
        waiting = spawn(answers.next(), "the next answer")
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert [query["index"] for query in agent.queries] == ["0", "10"]
        agent.set(12, instance("10.0.0.2", 80))
        assert await waiting == {"http://10.0.0.2:80": 1}


async def test_a_query_that_ends_without_a_change_confirms_the_answer(agent: Agent, watching: Any) -> None:
    agent.set(10, instance("10.0.0.1", 80))
    async with watching(a_source(agent, wait="1s")) as answers:
        assert await answers.next() == await answers.next() == {"http://10.0.0.1:80": 1}
    assert agent.queries[1] == {"passing": "true", "index": "10", "wait": "1000ms"}


async def test_an_index_that_goes_backwards_begins_again_from_nought(agent: Agent, watching: Any) -> None:
    agent.set(100, instance("10.0.0.1", 80))
    async with watching(a_source(agent)) as answers:
        await answers.next()
        agent.set(5, instance("10.0.0.2", 80))  # the servers were restored from a backup
        await answers.until("http://10.0.0.2:80")
        await answers.next()  # index 0 does not block
        agent.set(6, instance("10.0.0.3", 80))
        await answers.until("http://10.0.0.3:80")
    assert [query["index"] for query in agent.queries][:4] == ["0", "100", "0", "5"]


@pytest.mark.parametrize("index", [None, 0, -1])
async def test_an_index_that_is_none_never_makes_a_query_that_does_not_block(
    agent: Agent, watching: Any, index: int | None
) -> None:
    agent.set(index, instance("10.0.0.1", 80))
    async with watching(a_source(agent, wait="1s")) as answers:
        for _ in range(3):
            await answers.next()
    assert [query["index"] for query in agent.queries][1] == "1"


async def test_tag_datacenter_and_odd_names_reach_the_agent_as_they_are(agent: Agent, watching: Any) -> None:
    source = ConsulSource(ConsulDiscovery(url=agent.url + "/", service="a/b &c", tag="v=1&2", datacenter="eu"), Names())
    async with watching(source) as answers:
        assert await answers.next() == {}
    assert agent.paths == ["/v1/health/service/a%2Fb%20%26c"]
    assert (agent.queries[0]["tag"], agent.queries[0]["dc"]) == ("v=1&2", "eu")


async def test_the_token_is_sent_and_a_wrong_one_is_told_without_it(agent: Agent, watching: Any) -> None:
    agent.token = "right-secret"
    agent.set(10, instance("10.0.0.1", 80))
    async with watching(a_source(agent, token="right-secret")) as answers:
        assert len(await answers.next()) == 1
    async with watching(a_source(agent, token="wrong-secret")) as answers:
        why = await answers.lost()
    assert why == f"{agent.url}: it answers 403: is the token right?"


async def test_nobody_is_an_answer(agent: Agent, watching: Any) -> None:
    agent.set(10, instance("10.0.0.1", 80))
    async with watching(a_source(agent)) as answers:
        await answers.next()
        agent.set(11)
        assert await answers.next() == {}


async def test_an_instance_without_address_or_port_is_no_endpoint(agent: Agent, watching: Any) -> None:
    agent.set(10, instance("10.0.0.1", 0), instance("", 80, node=""), instance("a b", 80), instance("10.0.0.2", 80))
    async with watching(a_source(agent)) as answers:
        assert await answers.next() == {"http://10.0.0.2:80": 1}
        agent.set(11, instance("10.0.0.1", 0))
        assert await answers.lost() == f"{agent.url}: no instance has an address and a port"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"not JSON", "is not understood"),
        (b'{"a": 1}', "is not understood"),
        (b'[{"Node": {"Address": 7}, "Service": {}}]', "is not understood"),
        (b"[" + b" " * 5000 + b"]", "is larger than"),
    ],
)
async def test_an_answer_that_is_none_is_a_loss(
    agent: Agent, watching: Any, raw: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 4096)
    agent.raw = raw
    async with watching(a_source(agent)) as answers:
        assert why in await answers.lost()


async def test_a_failing_agent_and_one_without_a_leader_are_losses(agent: Agent, watching: Any) -> None:
    agent.status = 500
    async with watching(a_source(agent)) as answers:
        assert await answers.lost() == f"{agent.url}: it answers 500"
    agent.status, agent.headers = 200, {"X-Consul-KnownLeader": "false"}
    async with watching(a_source(agent)) as answers:
        assert await answers.lost() == f"{agent.url}: its cluster has no leader"


async def test_a_redirect_is_not_followed(agent: Agent, watching: Any) -> None:
    agent.status, agent.headers = 302, {"Location": agent.url + "/elsewhere"}
    async with watching(a_source(agent)) as answers:
        assert await answers.lost() == f"{agent.url}: it answers 302"


async def test_an_agent_that_is_not_there_is_a_loss(watching: Any) -> None:
    source = ConsulSource(ConsulDiscovery(url="http://127.0.0.1:1", service="orders"), Names())
    async with watching(source) as answers:
        assert await answers.lost() == "http://127.0.0.1:1: no connection: refused"


async def test_an_agent_that_never_answers_is_a_loss_in_the_end(
    agent: Agent, watching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARGIN_SECONDS", -0.9)
    agent.set(10, instance("10.0.0.1", 80))
    async with watching(a_source(agent, wait="1s")) as answers:
        await answers.next()
        assert await answers.lost() == f"{agent.url}: no answer in time"
