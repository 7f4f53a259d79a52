"""Active checks against servers that answer as they are told."""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import trustme
from scripted import Act, Upstream, chunked, ok, reset, until

from proxy.config.upstreams import Health
from proxy.control import health as module
from proxy.control.health import Checker, Prober, Result
from proxy.control.http_client import open_session
from proxy.control.names import Names

Lines = list[tuple[str, dict[str, Any]]]


def health(**more: Any) -> Health:
    return Health(**{"path": "/healthz", "interval": "50ms", "timeout": "5s", **more})


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    made = Prober(Names())
    yield made
    await made.close()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    written: Lines = []
    monkeypatch.setattr(module, "log_line", lambda _, event, **fields: written.append((event, fields)))
    return written


# -- one check --------------------------------------------------------------------------------------------------------


async def test_a_check_is_one_get_for_the_path_as_it_is_written(prober: Prober) -> None:
    async with Upstream() as server:
        result = await prober.check(server.url, health(path="/a/../%2f?deep=1"))
        assert result is not None
        assert (result.good, result.status, result.why) == (True, 200, "")
        (request,) = server.requests
        assert (request.method, request.target) == (b"GET", b"/a/../%2f?deep=1")
        assert request.get("host") == f"127.0.0.1:{server.port}".encode()
        await prober.check(server.url, health())
        assert server.connections == 2


@pytest.mark.parametrize(
    ("status", "expect", "good"),
    [
        ("200 OK", ["200-399"], True), ("302 Found", ["200-399"], True), ("400 Bad", ["200-399"], False),
        ("204 None", ["200", "204"], True), ("200 OK", ["204"], False), ("503 No", ["500-599"], True),
        ("101 Switching", ["200-399"], False),
    ],
)  # fmt: skip
async def test_the_status_must_be_expected(prober: Prober, status: str, expect: list[str], good: bool) -> None:
    async with Upstream(Act(ok(b"", status=status), then="close")) as server:
        result = await prober.check(server.url, health(expect=expect))
        assert result is not None
        assert result.good is good
        assert result.status == int(status[:3])
        assert result.why == ("" if good else f"answered {status[:3]}, expected {', '.join(expect)}")


@pytest.mark.parametrize(
    ("act", "status", "why"),
    [
        (Act(then="hang"), 0, "no answer within 0.3 s"),
        (Act(ok()[:-1], then="hang"), 200, "the answer did not end within 0.3 s"),
        (Act(ok(b"x" * 9)[:-1], then="close"), 200, "the answer broke off"),
        (Act(chunked(b"x")[:-5], then="close"), 200, "the answer broke off"),
        (Act(then="close"), 0, "the connection was closed without an answer"),
        (Act(b"\x00\xff garbage\r\n\r\n", then="close"), 0, "the answer is not HTTP"),
        (Act(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", then="close"), 0, "the answer is not HTTP"),
    ],
)
async def test_what_is_no_whole_answer_in_time_is_bad(prober: Prober, act: Act, status: int, why: str) -> None:
    async with Upstream(act) as server:
        result = await prober.check(server.url, health(timeout="300ms"))
        assert result is not None
        assert (result.good, result.status, result.why) == (False, status, why)


async def test_a_reset_a_refusal_and_an_unknown_name_are_bad(prober: Prober) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with Upstream(raw=cut) as server:
        result = await prober.check(server.url, health())
        assert result is not None
        assert not result.good
        assert server.connections == 1  # nothing is tried again behind our back
    for url in ("http://127.0.0.1:1", "http://no-such-name.invalid:80"):
        result = await prober.check(url, health())
        assert result is not None
        assert not result.good
        assert result.status == 0


async def test_of_an_endless_answer_as_much_is_read_as_needed(prober: Prober) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()
            sent += 10_000

    async with Upstream(raw=endless) as server:
        result = await prober.check(server.url, health())
        assert result is not None
        assert result.good
        await until(lambda: server.open == 0)
    assert sent < 50_000_000


async def test_a_redirect_is_an_answer_and_no_way_to_go(prober: Prober) -> None:
    async with Upstream(ok(b"", "Location: /other", status="301 Moved")) as server:
        result = await prober.check(server.url, health(expect=["200"]))
        assert result is not None
        assert result.why == "answered 301, expected 200"
        assert server.targets() == ["/healthz"]


async def test_a_certificate_must_be_good(prober: Prober, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Upstream(tls=context) as server:
        result = await prober.check(server.url, health())
        assert result is not None
        assert result.why.startswith("the certificate is not good: ")
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(module, "open_session", lambda names: open_session(names, trusting))
        other = Prober(Names())
        result = await other.check(server.url, health())
        await other.close()
        assert result is not None
        assert result.good


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL])
async def test_our_own_want_of_sockets_is_no_result(
    prober: Prober, monkeypatch: pytest.MonkeyPatch, lines: Lines, number: int
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, "not ours to give")

    async with Upstream() as server:
        await prober.check(server.url, health())
        monkeypatch.setattr(aiohttp.TCPConnector, "_wrap_create_connection", fail)
        assert await prober.check(server.url, health()) is None
    assert [event for event, _ in lines] == ["health-check-not-made"]


# -- an upstream ------------------------------------------------------------------------------------------------------


class Scripted(Prober):
    """Results as told by URL, without a network."""

    def __init__(self) -> None:
        super().__init__(Names())
        self.good: dict[str, bool | None] = {}
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.slow = 0.0

    async def check(self, endpoint: str, config: Health) -> Result | None:
        self.asked.append(endpoint)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.slow)
        self.at_once -= 1
        good = self.good.get(endpoint, True)
        return (
            None
            if good is None
            else Result(good, 200 if good else 404, "" if good else "answered 404", time.monotonic())
        )


class Checking:
    def __init__(self, config: Health, prober: Prober | None = None) -> None:
        self.prober = prober or Scripted()
        self.told = 0
        self.checker = Checker("orders", config, self.prober, self._tell)

    def _tell(self) -> None:
        self.told += 1

    @property
    def scripted(self) -> Scripted:
        assert isinstance(self.prober, Scripted)
        return self.prober

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.checker.stop()


QUICK = {"interval": "10ms", "unhealthy_after": 3, "healthy_after": 2}


async def test_three_bad_checks_take_an_endpoint_out_and_two_good_ones_bring_it_back(lines: Lines) -> None:
    results = [True, False, False, True, False, False, False, True, False, True, True]
    with Checking(health(**QUICK)) as one:
        states: list[bool] = []

        async def check(endpoint: str, config: Health) -> Result:
            states.append(one.checker.healthy(endpoint))
            good = results[len(states) - 1] if len(states) <= len(results) else True
            return Result(good, 200 if good else 404, "" if good else "answered 404", time.monotonic())

        one.prober.check = check  # type: ignore[method-assign] # a script by number, not by address
        one.checker.follow(["http://a:1"])
        await until(lambda: len(states) > len(results))
        # before each check: what the ones before it have shown
        assert states[: len(results) + 1] == [True] * 7 + [False] * 4 + [True]
        assert one.told == 2
    assert [event for event, _ in lines] == ["endpoint-unhealthy", "all-endpoints-unhealthy", "endpoint-healthy"]
    assert lines[0][1] == {"upstream": "orders", "endpoint": "http://a:1", "path": "/healthz", "why": "answered 404"}


async def test_one_endpoint_is_judged_without_the_others(lines: Lines) -> None:
    with Checking(health(**QUICK)) as one:
        one.scripted.good["http://a:1"] = False
        one.checker.follow(["http://a:1", "http://b:1"])
        assert one.checker.healthy("http://a:1")  # not checked yet
        await until(lambda: not one.checker.healthy("http://a:1"))
        assert one.checker.healthy("http://b:1")
        assert not one.checker.all_unhealthy


async def test_a_check_that_could_not_be_made_changes_nothing(lines: Lines) -> None:
    with Checking(health(interval="10ms", unhealthy_after=2)) as one:
        one.scripted.good["http://a:1"] = None
        one.checker.follow(["http://a:1"])
        await until(lambda: len(one.scripted.asked) > 5)
        assert one.checker.healthy("http://a:1")
        assert one.checker.endpoints["http://a:1"].result is None


async def test_who_leaves_is_not_checked_any_more_and_is_new_when_it_comes_back(lines: Lines) -> None:
    with Checking(health(**QUICK)) as one:
        one.scripted.good["http://a:1"] = False
        one.checker.follow(["http://a:1", "http://b:1"])
        await until(lambda: not one.checker.healthy("http://a:1"))
        one.checker.follow(["http://b:1"])
        await asyncio.sleep(0.02)
        seen = one.scripted.asked.count("http://a:1")
        await asyncio.sleep(0.1)
        assert one.scripted.asked.count("http://a:1") == seen
        assert one.checker.healthy("http://a:1")  # unknown
        one.scripted.good["http://a:1"] = True
        one.checker.follow(["http://a:1", "http://b:1"])
        assert one.checker.healthy("http://a:1")


async def test_other_settings_begin_with_what_was_known(lines: Lines) -> None:
    with Checking(health(**QUICK)) as one:
        one.scripted.good["http://a:1"] = False
        one.checker.follow(["http://a:1"])
        await until(lambda: not one.checker.healthy("http://a:1"))
        one.checker.stop()
        other = Checker("orders", health(path="/new", interval="10ms", healthy_after=1), one.scripted, lambda: None)
        other.follow(["http://a:1", "http://b:1"], one.checker)
        try:
            assert not other.healthy("http://a:1")
            assert other.healthy("http://b:1")
            one.scripted.good.clear()
            await until(lambda: other.healthy("http://a:1"))
        finally:
            other.stop()


async def test_a_wrong_path_is_one_line_at_a_time_and_not_hidden(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    prober = Prober(Names())
    async with Upstream(ok(status="404 Not Found")) as one, Upstream(ok(status="404 Not Found")) as two:
        with Checking(health(path="/wrong", interval="20ms"), prober) as checking:
            checking.checker.follow([one.url, two.url])
            await until(lambda: checking.checker.all_unhealthy)
            await until(lambda: len(one.requests) > 8)
            told = [fields for event, fields in lines if event == "all-endpoints-unhealthy"]
            assert len(told) == 1
            assert (told[0]["path"], told[0]["endpoints"]) == ("/wrong", 2)
            assert told[0]["why"] == "answered 404, expected 200-399"
            monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
            await until(lambda: len([event for event, _ in lines if event == "all-endpoints-unhealthy"]) > 1)
            one.reply = ok()
            await until(lambda: not checking.checker.all_unhealthy)
    await prober.close()


async def test_not_more_checks_than_the_bound_are_under_way(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 4)
    with Checking(health(interval="10ms")) as one:
        one.scripted.slow = 0.02
        one.checker.follow([f"http://a:{n}" for n in range(1, 41)])
        await until(lambda: len(set(one.scripted.asked)) == 40)
        assert one.scripted.most_at_once == 4


async def test_checks_of_an_endpoint_do_not_march_in_step(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    with Checking(health(interval="10s")) as one:
        monkeypatch.setattr(module.asyncio, "sleep", counted)
        one.checker.follow(["http://a:1"])
        await until(lambda: len(waits) > 50)
        monkeypatch.undo()
    assert waits[0] <= module.FIRST_SECONDS
    real = [wait for wait in waits[1:] if wait > 1]
    assert all(8.5 < wait <= 11.0 for wait in real)
    assert max(real) - min(real) > 0.2
