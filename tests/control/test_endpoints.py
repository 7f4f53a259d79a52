"""Configuration, discovery and checks joined into one message, over reloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from scripted import until

from proxy.config.upstreams import Discovery, Health, Upstream
from proxy.control import endpoints as module
from proxy.control import health
from proxy.control.discovery.source import Answer, SourceLostError
from proxy.control.endpoint_views import discovery_gauges, endpoints
from proxy.control.endpoints import Roster
from proxy.control.health import Prober, Result
from proxy.messages import Endpoints, EndpointWord
from proxy.wire.tasks import spawn


class World:
    """What the sources and the endpoints of a test say. ``begun`` are the sources that were watched, in order."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.says: dict[str, asyncio.Queue[Answer | Exception]] = {}
        self.bad: set[str] = set()
        self.paths: set[str] = set()

    def say(self, name: str, what: Answer | Exception) -> None:
        self.says.setdefault(name, asyncio.Queue()).put_nowait(what)

    def source_of(self, config: Discovery, _: object) -> tuple[str, Any]:
        assert config.dns is not None
        return f"dns {config.dns.name}", _Source(self, config.dns.name)

    async def check(self, endpoint: str, config: Health) -> Result | None:
        self.paths.add(config.path)
        good = endpoint not in self.bad
        return Result(good, 200 if good else 404, "" if good else "answered 404", asyncio.get_running_loop().time())


class _Source:
    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    async def watch(self) -> AsyncGenerator[Answer, None]:
        self._world.begun.append(self._name)
        try:
            queue = self._world.says.setdefault(self._name, asyncio.Queue())
            while True:
                step = await queue.get()
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self._world.ended.append(self._name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "source_of", made.source_of)
    monkeypatch.setattr(module, "FIRST_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(Prober, "check", lambda _, endpoint, config: made.check(endpoint, config))
    monkeypatch.setattr(health, "FIRST_SECONDS", 0.01)
    return made


class Told:
    """A roster and the messages that it published."""

    def __init__(self) -> None:
        self.messages: list[dict[str, list[EndpointWord]]] = []
        self.roster = Roster(self._publish)

    def _publish(self, message: Endpoints) -> None:
        self.messages.append(message.upstreams)

    async def reload(self, **upstreams: Upstream) -> None:
        await self.roster.prepare(upstreams)
        self.roster.prune(upstreams)

    @property
    def last(self) -> dict[str, dict[str, tuple[int, bool]]]:
        return {
            name: {word.url: (word.weight, word.healthy) for word in words} for name, words in self.messages[-1].items()
        }


@pytest.fixture
async def told(world: World) -> AsyncIterator[Told]:
    made = Told()
    yield made
    await made.roster.close()
    await until(lambda: len(world.begun) == len(world.ended))


def fixed(*urls: str, **more: Any) -> Upstream:
    return Upstream(endpoints=list(urls), **more)


def found(name: str, *urls: str, **more: Any) -> Upstream:
    return Upstream(endpoints=list(urls), discovery={"dns": {"name": name, "port": 80}}, **more)  # type: ignore[arg-type] # as written


CHECKED = {"health": {"path": "/healthz", "interval": "10ms"}}


async def test_nothing_is_said_while_there_is_nothing_to_say(told: Told) -> None:
    await told.reload(monolith=fixed("http://a:1"))
    assert told.messages == []


async def test_what_is_found_is_told_with_its_weights_and_what_is_fixed_is_not(told: Told, world: World) -> None:
    world.say("o.test", {"http://a:1": 3, "http://b:1": 1})
    await told.reload(monolith=fixed("http://m:1"), orders=found("o.test"))
    assert told.last == {"orders": {"http://a:1": (3, True), "http://b:1": (1, True)}}
    world.say("o.test", {"http://c:1": 1})
    await until(lambda: len(told.messages) == 2)
    assert told.last == {"orders": {"http://c:1": (1, True)}}


async def test_before_the_first_answer_the_configured_endpoints_hold_and_nobody_waits(told: Told, world: World) -> None:
    async with asyncio.timeout(0.15):
        await told.reload(orders=found("o.test", "http://spare:1"))
    assert told.last == {"orders": {"http://spare:1": (1, True)}}
    world.say("o.test", {"http://a:1": 1})
    await until(lambda: told.last == {"orders": {"http://a:1": (1, True)}})


async def test_without_any_endpoint_the_first_answer_is_waited_for_and_no_longer_than_the_bound(
    told: Told, world: World
) -> None:
    waiting = spawn(told.reload(orders=found("o.test")), "reload")
    await asyncio.sleep(0.05)
    assert told.messages == []
    world.say("o.test", {"http://a:1": 1})
    await waiting
    assert told.last == {"orders": {"http://a:1": (1, True)}}
    await told.reload(orders=found("o.test"), stock=found("silent.test"))
    assert told.last["stock"] == {}
    async with asyncio.timeout(0.15):  # who was silent before holds up no further reload
        await told.reload(orders=found("o.test", max_idle=1), stock=found("silent.test"))


async def test_changes_of_one_moment_are_one_message(told: Told, world: World) -> None:
    for name in ("a", "b", "c"):
        world.say(f"{name}.test", {"http://x:1": 1})
    await told.reload(a=found("a.test"), b=found("b.test"), c=found("c.test"))
    before = len(told.messages)
    for name in ("a", "b", "c"):
        world.say(f"{name}.test", {"http://y:1": 1})
    await until(lambda: len(told.messages) > before)
    await asyncio.sleep(0.1)
    assert len(told.messages) == before + 1
    assert told.last == {name: {"http://y:1": (1, True)} for name in ("a", "b", "c")}


async def test_a_reload_leaves_alone_what_it_does_not_change(told: Told, world: World) -> None:
    world.say("o.test", {"http://a:1": 1})
    world.bad.add("http://a:1")
    await told.reload(orders=found("o.test", **CHECKED))
    await until(lambda: told.last == {"orders": {"http://a:1": (1, False)}})
    watcher, checker = told.roster.upstreams["orders"].watcher, told.roster.upstreams["orders"].checker
    await told.reload(orders=found("o.test", **CHECKED, max_idle=7), stock=fixed("http://s:1"))
    kept = told.roster.upstreams["orders"]
    assert (kept.watcher, kept.checker) == (watcher, checker)
    assert kept.config.max_idle == 7
    assert world.begun == ["o.test"]
    assert told.last == {"orders": {"http://a:1": (1, False)}}


async def test_what_a_reload_does_not_name_ends_only_after_the_workers_have_it(told: Told, world: World) -> None:
    world.say("o.test", {"http://a:1": 1})
    world.say("n.test", {"http://n:1": 1})
    await told.reload(orders=found("o.test"))
    after = {"new": found("n.test")}
    await told.roster.prepare(after)
    assert told.last == {"orders": {"http://a:1": (1, True)}, "new": {"http://n:1": (1, True)}}
    assert world.ended == []
    told.roster.prune(after)
    assert told.last == {"new": {"http://n:1": (1, True)}}
    await until(lambda: world.ended == ["o.test"])


async def test_an_upstream_that_is_fixed_from_now_on_is_told_until_the_workers_know_that(
    told: Told, world: World
) -> None:
    world.say("o.test", {"http://a:1": 1})
    await told.reload(orders=found("o.test"))
    after = {"orders": fixed("http://b:1")}
    await told.roster.prepare(after)
    assert told.last == {"orders": {"http://b:1": (1, True)}}
    told.roster.prune(after)
    assert told.last == {}


async def test_another_source_takes_over_with_its_first_answer_and_not_before(told: Told, world: World) -> None:
    world.say("o.test", {"http://a:1": 1})
    await told.reload(orders=found("o.test"))
    await told.reload(orders=found("typo.test"))  # it says nothing
    assert told.last == {"orders": {"http://a:1": (1, True)}}
    assert told.roster.upstreams["orders"].origin == "former"
    await until(lambda: world.ended == ["o.test"])
    world.say("typo.test", {"http://b:1": 1})
    await until(lambda: told.last == {"orders": {"http://b:1": (1, True)}})


async def test_what_is_checked_is_what_was_found(told: Told, world: World) -> None:
    world.bad = {"http://b:1"}
    world.say("o.test", {"http://a:1": 1})
    await told.reload(orders=found("o.test", **CHECKED))
    world.say("o.test", {"http://a:1": 1, "http://b:1": 1})
    await until(lambda: told.last == {"orders": {"http://a:1": (1, True), "http://b:1": (1, False)}})
    world.say("o.test", {"http://a:1": 1})
    await until(lambda: told.last == {"orders": {"http://a:1": (1, True)}})
    checker = told.roster.upstreams["orders"].checker
    assert checker is not None
    assert list(checker.endpoints) == ["http://a:1"]


async def test_fixed_endpoints_are_checked_too_and_other_checks_begin_with_what_was_known(
    told: Told, world: World
) -> None:
    world.bad = {"http://b:1"}
    await told.reload(orders=fixed("http://a:1", "http://b:1", **CHECKED))
    await until(lambda: told.last == {"orders": {"http://a:1": (1, True), "http://b:1": (1, False)}})
    await told.reload(orders=fixed("http://a:1", "http://b:1", health={"path": "/other", "interval": "10s"}))
    assert told.last == {"orders": {"http://a:1": (1, True), "http://b:1": (1, False)}}
    await until(lambda: "/other" in world.paths)
    await told.reload(orders=fixed("http://a:1", "http://b:1"))
    assert told.last == {}
    assert told.roster.upstreams["orders"].checker is None


async def test_a_url_that_stands_twice_counts_with_both_weights(told: Told) -> None:
    await told.reload(orders=fixed("http://a:1", "http://a:1", **CHECKED))
    assert told.last == {"orders": {"http://a:1": (2, True)}}


# -- what is shown ----------------------------------------------------------------------------------------------------


async def test_status_shows_where_endpoints_come_from_and_what_checks_say(
    told: Told, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.discovery.watcher.RETRY_FIRST_SECONDS", 0.01)
    world.bad = {"http://b:1"}
    world.say("o.test", {"http://a:1": 1, "http://b:1": 1})
    await told.reload(
        orders=found("o.test", **CHECKED), monolith=fixed("http://m:1"), stock=found("s.test", "http://s:1")
    )
    world.say("o.test", SourceLostError("there is no name o.test"))
    await until(lambda: told.last["orders"]["http://b:1"][1] is False)
    orders, monolith, stock = endpoints(told.roster)
    assert orders["discovery"]["source"] == "dns o.test"
    assert (orders["from"], orders["discovery"]["state"]) == ("discovery", "lost")
    assert orders["discovery"]["last_error"] == "there is no name o.test"
    assert 0 <= orders["discovery"]["lost_seconds"] <= orders["discovery"]["answer_age_seconds"] < 60
    assert orders["health"] == {"path": "/healthz", "all_unhealthy": False}
    bad, good = orders["endpoints"]  # the unhealthy ones first
    assert (bad["endpoint"], bad["healthy"], bad["check"]["status"]) == ("http://b:1", False, 404)
    assert bad["check"]["why"] == "answered 404"
    assert (good["endpoint"], good["healthy"]) == ("http://a:1", True)
    assert monolith == {
        "upstream": "monolith", "from": "configuration", "discovery": None, "health": None, "endpoints_not_listed": 0,
        "endpoints": [{"endpoint": "http://m:1", "weight": 1, "healthy": True, "check": None}],
    }  # fmt: skip
    assert (stock["from"], stock["discovery"]["state"], stock["discovery"]["lost_seconds"]) == (
        "configuration", "waiting", None,
    )  # fmt: skip
    up = {gauge.upstream: (gauge.up, gauge.age_seconds is None) for gauge in discovery_gauges(told.roster)}
    assert up == {"orders": (False, False), "stock": (False, True)}


async def test_of_many_endpoints_the_status_lists_a_bounded_number(told: Told, world: World) -> None:
    world.say("o.test", {f"http://a:{n}": 1 for n in range(1, 251)})
    await told.reload(orders=found("o.test"))
    (orders,) = endpoints(told.roster)
    assert (len(orders["endpoints"]), orders["endpoints_not_listed"]) == (200, 50)
