"""The watcher: the last good answer is kept, and a loss is told and not shouted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from dnsmasq import Dnsmasq
from scripted import until

from proxy.config.upstreams import DnsDiscovery
from proxy.control.discovery import watcher as module
from proxy.control.discovery.dns import DnsSource
from proxy.control.discovery.source import Answer, SourceLostError, endpoint_url, scaled
from proxy.control.discovery.watcher import Watcher
from proxy.control.names import Names


class Scripted:
    """A source that says what it is given: answers, errors, or ``None`` for the end."""

    def __init__(self) -> None:
        self.next: asyncio.Queue[Answer | Exception | None] = asyncio.Queue()
        self.begun = 0
        self.ended = 0

    async def watch(self) -> AsyncGenerator[Answer, None]:
        self.begun += 1
        try:
            while (step := await self.next.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.ended += 1

    async def say(self, *steps: Answer | Exception | None) -> None:
        for step in steps:
            self.next.put_nowait(step)
        await until(self.next.empty)
        await asyncio.sleep(0.01)


class Watched:
    """A watcher on a scripted source; ``changes`` are the answers at each time that it told of one."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.changes: list[Answer | None] = []
        self.watcher = Watcher("orders", "test", source, lambda: self.changes.append(self.watcher.answer))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    written: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(module, "log_line", lambda _, event, **fields: written.append((event, fields)))
    return written


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "RETRY_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_MAX_SECONDS", 0.05)
    made = Watched(Scripted())
    yield made
    made.watcher.stop()
    await until(lambda: made.source.begun == made.source.ended)


Lines = list[tuple[str, dict[str, Any]]]


async def test_a_change_is_told_and_a_confirmation_is_not(watched: Watched, lines: Lines) -> None:
    await watched.source.say({"http://a:1": 1})
    first = watched.watcher.answered_at
    await watched.source.say({"http://a:1": 1}, {"http://b:1": 2, "http://a:1": 1}, {"http://a:1": 1, "http://b:1": 2})
    assert watched.changes == [{"http://a:1": 1}, {"http://a:1": 1, "http://b:1": 2}]
    assert list(watched.watcher.answer or {}) == ["http://a:1", "http://b:1"]
    assert watched.watcher.answered_at > first
    assert [event for event, _ in lines] == ["discovery-changed"] * 2
    assert (lines[1][1]["added"], lines[1][1]["removed"]) == (["http://b:1"], [])


async def test_the_last_good_answer_is_kept_over_a_loss_and_replaced_after_it(watched: Watched, lines: Lines) -> None:
    await watched.source.say({"http://a:1": 1}, SourceLostError("gone"))
    watcher = watched.watcher
    assert (watcher.answer, watcher.error) == ({"http://a:1": 1}, "gone")
    assert watcher.lost_at is not None
    await watched.source.say(SourceLostError("still gone"), {"http://b:1": 1})
    assert (watcher.answer, watcher.error, watcher.lost_at) == ({"http://b:1": 1}, "still gone", None)
    assert [event for event, _ in lines] == [
        "discovery-changed",
        "discovery-lost",
        "discovery-back",
        "discovery-changed",
    ]
    assert (lines[1][1]["why"], lines[1][1]["endpoints_kept"]) == ("gone", 1)


async def test_a_loss_is_one_line_at_a_time(watched: Watched, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    await watched.source.say(*(SourceLostError(f"gone {n}") for n in range(6)))
    assert [fields["why"] for _, fields in lines] == ["gone 0"]
    assert watched.watcher.error == "gone 5"
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    await watched.source.say(SourceLostError("gone for long"))
    assert [fields["why"] for _, fields in lines] == ["gone 0", "gone for long"]
    assert lines[1][1]["endpoints_kept"] is None


async def test_a_source_that_comes_and_goes_is_not_told_each_time(watched: Watched, lines: Lines) -> None:
    for _ in range(5):
        await watched.source.say({"http://a:1": 1}, SourceLostError("gone"))
    assert [event for event, _ in lines] == ["discovery-changed", "discovery-lost", "discovery-back"]


async def test_an_end_and_a_bug_of_a_source_are_losses_too(watched: Watched, lines: Lines) -> None:
    await watched.source.say({"http://a:1": 1}, None)
    assert watched.watcher.error == "the source ended"
    await watched.source.say(ZeroDivisionError("oops"))
    assert watched.watcher.error == "internal error: ZeroDivisionError('oops')"
    await watched.source.say({"http://b:1": 1})
    assert watched.watcher.answer == {"http://b:1": 1}


async def test_a_source_is_asked_again_after_pauses_that_grow_up_to_a_bound(
    watched: Watched, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        if asyncio.current_task() is watched.watcher._task:
            pauses.append(seconds)
        await sleep(min(seconds, 0.01))

    monkeypatch.setattr(module.asyncio, "sleep", counted)
    monkeypatch.setattr(module, "RETRY_MAX_SECONDS", 0.08)
    for n in range(6):
        # An answer before each loss: who answers and fails at once must not be asked at full speed.
        watched.source.next.put_nowait({"http://a:1": 1 + n})
        watched.source.next.put_nowait(SourceLostError("gone"))
    await until(lambda: len(pauses) == 6)
    for pause, full in zip(pauses, (0.01, 0.02, 0.04, 0.08, 0.08, 0.08), strict=True):
        assert full / 2 <= pause <= full
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.0)
    watched.source.next.put_nowait(SourceLostError("gone"))
    await until(lambda: len(pauses) == 7)
    assert pauses[-1] <= 0.01


async def test_nobody_is_an_answer_if_the_source_says_so(watched: Watched, lines: Lines) -> None:
    await watched.source.say({"http://a:1": 1}, {})
    assert watched.watcher.answer == {}
    assert watched.changes == [{"http://a:1": 1}, {}]


async def test_endpoints_above_the_bound_are_left_out_and_counted(
    watched: Watched, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENDPOINTS", 2)
    await watched.source.say({f"http://{n}:1": 1 for n in "dacb"})
    assert (watched.watcher.answer, watched.watcher.left_out) == ({"http://a:1": 1, "http://b:1": 1}, 2)
    assert lines[0][1]["left_out"] == 2


async def test_dns_that_is_killed_or_loses_its_zone_leaves_the_last_answer_and_comes_back(
    dnsmasq: Dnsmasq, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_SECONDS", 0.05)
    monkeypatch.setattr("proxy.control.discovery.dns.QUERY_SECONDS", 0.5)
    dnsmasq.start("host-record=orders.test,10.0.0.1", ttl=0)
    config = DnsDiscovery(name="orders.test", port=80, server=dnsmasq.address, min_refresh="100ms")  # type: ignore[arg-type] # as written
    watched = Watched(DnsSource(config, Names()))
    watcher = watched.watcher
    try:
        await until(lambda: watcher.answer)
        dnsmasq.stop()
        await until(lambda: watcher.lost_at is not None)
        dnsmasq.start(ttl=0)
        await until(lambda: watcher.error == "there is no name orders.test")
        assert watcher.answer == {"http://10.0.0.1:80": 1}
        dnsmasq.start("host-record=orders.test,10.0.0.2", ttl=0)
        await until(lambda: watcher.answer == {"http://10.0.0.2:80": 1})
        assert watcher.lost_at is None
        assert watched.changes == [{"http://10.0.0.1:80": 1}, {"http://10.0.0.2:80": 1}]
    finally:
        watcher.stop()
        await asyncio.sleep(0.05)


# -- what sources build answers with ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.0.0.1", "http://10.0.0.1:80"), ("FD00::1", "http://[fd00::1]:80"), ("A_b.Example.", "http://a_b.example:80")],
)
def test_the_url_of_an_endpoint(host: str, url: str) -> None:
    assert endpoint_url("http", host, 80) == url


@pytest.mark.parametrize(
    ("host", "port"),
    [("", 80), ("a b", 80), ("a/b", 80), ("u@a", 80), ("a\n", 80), ("-a", 80), ("a", 0), ("a", 65536), ("a?x", 80)],
)
def test_what_cannot_be_an_endpoint(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"neither|not a port"):
        endpoint_url("http", host, port)


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ([], []), ([0, 0], [1, 1]), ([1, 3], [1, 3]), ([0, 1], [1, 1000]), ([1000, 1], [1000, 1]),
        ([65535, 655, 0], [1000, 10, 1]), ([-5, 10], [1, 1000]),
    ],
)  # fmt: skip
def test_weights_keep_their_proportion_within_our_bound(given: list[int], ours: list[int]) -> None:
    assert list(scaled({f"http://a:{n}": weight for n, weight in enumerate(given, 1)}).values()) == ours
