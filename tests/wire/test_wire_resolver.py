"""Looking up names: one at a time, in a thread of its own, and the last good answer is kept."""

import asyncio
import socket
import threading

import pytest

from proxy.wire import resolver
from proxy.wire.resolver import Resolver


async def test_an_address_is_its_own_answer() -> None:
    assert await Resolver("127.0.0.1").addresses() == ["127.0.0.1"]
    assert await Resolver("::1").addresses() == ["::1"]


async def test_a_name_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    free, calls = threading.Event(), []

    def lookup(host: str) -> list[str]:
        calls.append(host)
        if host == "slow.test":
            free.wait(10)
        return ["127.0.0.1"]

    monkeypatch.setattr(resolver, "_getaddrinfo", lookup)
    slow = Resolver("slow.test")
    waiting = [asyncio.ensure_future(slow.addresses()) for _ in range(20)]  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    for n in range(10):
        assert await Resolver(f"quick-{n}.test").addresses() == ["127.0.0.1"]
    free.set()
    assert await asyncio.gather(*waiting) == [["127.0.0.1"]] * 20
    assert calls.count("slow.test") == 1


async def test_the_last_good_answer_outlives_a_failing_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Resolver("shop.test")
    monkeypatch.setattr(resolver, "_getaddrinfo", lambda _: ["127.0.0.2"])
    monkeypatch.setattr(resolver, "FRESH_SECONDS", 0.0)
    assert await found.addresses() == ["127.0.0.2"]

    def lost(_: str) -> list[str]:
        raise socket.gaierror(-3, "no name server")

    monkeypatch.setattr(resolver, "_getaddrinfo", lost)
    for _ in range(3):
        assert await found.addresses() == ["127.0.0.2"]
        await asyncio.sleep(0.01)
    with pytest.raises(OSError, match="no name server"):
        await Resolver("never.test").addresses()
