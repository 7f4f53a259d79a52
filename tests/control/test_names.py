"""Lookups of the supervisor: shared, apart from each other, and never in the way."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from proxy.control import names as module
from proxy.control.names import Names
from proxy.wire.tasks import spawn


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names that begin with ``hang`` are answered when the event is set; the list has every lookup made."""
    let_go, asked = threading.Event(), []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        asked.append(host)
        if host.startswith("hang"):
            let_go.wait(15)
            host = "127.0.0.1"
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield let_go, asked
    let_go.set()


async def test_an_address_is_its_own_answer_without_a_lookup(hanging: Any) -> None:
    assert await Names().lookup("::1") == ["::1"]
    assert hanging[1] == []


async def test_a_name_that_hangs_holds_up_no_other_and_no_thread_of_the_loop(hanging: Any) -> None:
    names = Names()
    waiting = [spawn(names.lookup(f"hang-{n}"), "lookup") for n in range(40)]
    await asyncio.sleep(0)
    assert "127.0.0.1" in await names.lookup("localhost")
    assert await asyncio.to_thread(lambda: "free") == "free"
    assert not any(task.done() for task in waiting)
    hanging[0].set()
    assert await asyncio.gather(*waiting) == [["127.0.0.1"]] * 40


async def test_who_asks_for_the_same_name_shares_its_lookup_also_when_the_first_one_gives_up(hanging: Any) -> None:
    names = Names()
    first, second = (spawn(names.lookup("hang"), "lookup") for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    hanging[0].set()
    assert await second == ["127.0.0.1"]
    assert hanging[1] == ["hang"]
    await names.lookup("hang")
    assert hanging[1] == ["hang", "hang"]  # nothing is remembered


async def test_above_the_bound_a_lookup_fails_at_once(hanging: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOOKUPS", 1)
    names = Names()
    waiting = spawn(names.lookup("hang-1"), "lookup")
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many name lookups hang"):
        await names.lookup("hang-2")
    hanging[0].set()
    await waiting


@pytest.mark.parametrize("name", ["no-such-name.invalid", "a" * 300, "\ud800", "a..b"])
async def test_a_name_without_an_address_is_an_os_error(name: str) -> None:
    with pytest.raises(OSError, match=": "):
        await Names().lookup(name)


async def test_aiohttp_gets_the_family_that_it_asks_for() -> None:
    names = Names()
    (four,) = await names.resolve("127.0.0.1", 80, socket.AF_INET)
    assert (four["host"], four["port"], four["family"]) == ("127.0.0.1", 80, socket.AF_INET)
    with pytest.raises(OSError, match="no address of that family"):
        await names.resolve("127.0.0.1", 80, socket.AF_INET6)
    await names.close()
