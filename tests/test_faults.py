"""The faults that the tests make are really made, and each fault of the list has its test."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from faults import Background, FaultProxy, black_hole, endless, huge, silent, ticking
from scripted import Act, Client, Upstream, ok, until

BODY = bytes(range(256)) * 400

HELD = """
    F01 F02 F03 F04 F05 F06 F07 F09 F10 F11 F12 F13 F15 F16 F17 F18 F20 F21 F22 F25 F26 F29 F30 F31 F32 F33 F43 F44
    F46 F47 F48 F49 F56 F58 F59 F60
"""
"""The faults that Banyan survives, by the numbers that tests carry in their names."""


def test_every_fault_has_a_test_that_carries_its_number() -> None:
    found: set[str] = set()
    for file in Path(__file__).parent.rglob("test_*.py"):
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE):
            found |= {number.upper() for number in re.findall(r"_(f\d\d)(?=_)", name)}
    assert set(HELD.split()) <= found


@pytest.fixture
async def echo() -> AsyncIterator[Upstream]:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"end")

    async with Upstream(raw=server) as made:
        yield made


async def connect(proxy: FaultProxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def took(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.monotonic()
    await work()
    return time.monotonic() - begun


async def test_without_faults_bytes_and_both_ends_pass(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        client.send(BODY)
        assert await client.exactly(len(BODY)) == BODY
        client.writer.write_eof()
        assert await client.rest() == b"end"
        assert (proxy.connections, proxy.up.passed, proxy.down.passed) == (1, len(BODY), len(BODY) + 3)
        await until(lambda: proxy.open == echo.open == 0)


async def test_latency_delays_and_does_not_add_up(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        proxy.down.latency, proxy.down.jitter = 0.2, 0.1

        async def many() -> None:
            for _ in range(20):
                client.send(b"x" * 1000)
                await asyncio.sleep(0.005)
            await client.exactly(20_000)

        assert 0.2 <= await took(many) < 1.5
        proxy.heal()
        client.send(b"x")
        assert await took(lambda: client.exactly(1)) < 0.19


async def test_bandwidth_and_slices_keep_the_bytes(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        proxy.up.slice = 997
        proxy.down.bandwidth = 400_000
        client.send(BODY)
        begun = time.monotonic()
        assert await client.exactly(len(BODY)) == BODY
        assert time.monotonic() - begun > 0.2
        proxy.heal()
        proxy.down.slice, proxy.down.pause = 1, 0.01
        client.send(b"0123456789")
        assert await took(lambda: client.exactly(10)) > 0.08


async def test_a_stalled_direction_tells_nobody_and_goes_on_when_it_is_healed(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        proxy.down.stalled = True
        client.send(b"held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.reader.read(1)
        proxy.down.stalled = False
        assert await client.exactly(4) == b"held"


@pytest.mark.parametrize("then", ["close", "reset", "stall"])
async def test_a_limit_cuts_after_so_many_bytes(echo: Upstream, then: str) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        proxy.down.limit = 5
        proxy.down.then = then  # type: ignore[assignment]  # one of the three
        client.send(b"0123456789")
        assert await client.exactly(5) == b"01234"
        if then == "stall":
            await asyncio.sleep(0.1)
            assert not client.reader.at_eof()
            proxy.heal()
            assert await client.exactly(5) == b"56789"
        else:
            assert await client.was_reset() is (then == "reset")
            await until(lambda: not echo.open)


async def test_an_end_can_be_kept_back(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy, await connect(proxy) as client:
        proxy.down.slow_close = 0.3
        client.writer.write_eof()
        assert await client.exactly(3) == b"end"
        assert await took(client.rest) > 0.25


async def test_refused_cut_and_back_on_the_same_port(echo: Upstream) -> None:
    async with FaultProxy(echo.port) as proxy:
        client = await connect(proxy)
        client.send(b"x")
        await client.exactly(1)
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        client.send(b"y")
        assert await client.exactly(1) == b"y"
        await proxy.cut()
        assert await client.was_reset()
        await client.close()
        await proxy.listen()
        async with await connect(proxy) as again:
            again.send(b"z")
            assert await again.exactly(1) == b"z"
        await echo.close()
        async with await connect(proxy) as nobody:
            assert await nobody.was_reset()


async def test_a_reset_on_one_side_is_one_on_the_other() -> None:
    upstream = Upstream(Act(then="reset"))
    async with upstream, FaultProxy(upstream.port) as proxy, await connect(proxy) as client:
        client.get()
        assert await client.was_reset()


async def test_a_black_hole_does_not_even_connect() -> None:
    with black_hole() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.open_connection("127.0.0.1", port)


async def test_servers_misbehave_as_they_should() -> None:
    for raw, beginning in ((endless, b"10000\r\nxxx"), (huge(100_000), b"xxx"), (ticking, b"tick\ntick\n")):
        async with Upstream(raw=raw) as server, Upstream(raw=silent) as nothing:
            client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
            client.get()
            assert (await client.head()).status == 200
            assert await client.exactly(len(beginning)) == beginning
            quiet = Client(*await asyncio.open_connection("127.0.0.1", nothing.port))
            quiet.get()
            await asyncio.sleep(0.05)
            assert not quiet.reader.at_eof()
            await client.close()
            await quiet.close()


def test_other_tests_have_them_in_the_background() -> None:
    with Background() as background:
        upstream = background.enter(Upstream(ok(b"here")))
        proxy = background.enter(FaultProxy(upstream.port))
        for limit, expected in ((None, b"here"), (20, b"HTTP/1.1 200 OK\r\nCon")):
            proxy.down.limit = limit
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                got = b""
                while not got.endswith(expected):
                    data = client.recv(1000)
                    assert data
                    got += data
        background.run(proxy.refuse())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
