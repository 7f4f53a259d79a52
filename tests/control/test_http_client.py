"""How the supervisor asks: exactly what it was told to, once, and with words for what goes wrong."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
from scripted import Act, Upstream, chunked, ok, reset
from yarl import URL

from proxy.control.http_client import MAX_WHY, REASONS, open_session, read_within, why
from proxy.control.names import Names


async def fetch(url: str, limit: int = 1000, seconds: float = 10.0) -> bytes | None:
    async with (
        open_session(Names()) as session,
        asyncio.timeout(seconds),
        session.get(URL(url, encoded=True), allow_redirects=False) as response,
    ):
        return await read_within(response, limit)


async def failure(url: str, seconds: float = 10.0) -> str:
    try:
        await fetch(url, seconds=seconds)
    except REASONS as error:
        return why(error)
    raise AssertionError("it went well")


async def test_the_request_is_plain_and_its_target_is_sent_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with Upstream(ok(b"fine", "Set-Cookie: a=b; Path=/")) as server:
        async with open_session(Names()) as session:
            for _ in range(2):
                target = URL(f"{server.url}/a/../b//%2f%41?x=1;y&z", encoded=True)
                async with session.get(target, allow_redirects=False) as response:
                    assert await read_within(response, 100) == b"fine"
        assert server.connections == 2  # each question on a connection of its own
        first, second = server.requests
        assert first.target == b"/a/../b//%2f%41?x=1;y&z"
        assert {name.lower(): value for name, value in second.fields} == {
            b"host": f"127.0.0.1:{server.port}".encode(), b"user-agent": b"banyan", b"accept": b"*/*",
            b"accept-encoding": b"identity", b"connection": b"close",
        }  # fmt: skip


async def test_redirects_and_codings_are_left_alone() -> None:
    async with Upstream(ok(b"not gzip", "Location: /b", "Content-Encoding: gzip", status="302 Found")) as server:
        assert await fetch(server.url) == b"not gzip"
        assert len(server.requests) == 1


async def test_a_body_is_read_up_to_its_bound_and_then_given_up() -> None:
    async with Upstream(ok(b"x" * 100)) as server:
        assert await fetch(server.url, limit=100) == b"x" * 100
        assert await fetch(server.url, limit=99) is None

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with Upstream(raw=endless) as server:
        assert await fetch(server.url, limit=65536) is None


async def test_a_name_is_looked_up_by_our_names() -> None:
    async with Upstream(ok(b"fine")) as server:
        assert await fetch(f"http://localhost:{server.port}/") == b"fine"


async def test_what_goes_wrong_is_said_in_words() -> None:
    assert await failure("http://127.0.0.1:1/") == "no connection: refused"
    assert "the name cannot be looked up: no-such-name.invalid: " in await failure("http://no-such-name.invalid/")
    async with Upstream(Act(then="close")) as server:
        assert await failure(server.url) == "the connection was closed without an answer"
    async with Upstream(Act(then="hang")) as server:
        assert await failure(server.url, seconds=0.2) == "no answer in time"
    async with Upstream(Act(b"SSH-2.0-OpenSSH\r\n\r\n", then="close")) as server:
        assert await failure(server.url) == "the answer is not HTTP"
    async with Upstream(Act(chunked(b"half")[:-5], then="close")) as server:
        assert await failure(server.url) == "the answer broke off"


async def test_a_reset_is_not_tried_again() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with Upstream(raw=cut) as server:
        assert await failure(server.url)
        assert server.connections == 1


def test_words_of_others_are_one_bounded_line() -> None:
    text = why(ValueError("a\nb " + "x" * 1000))
    assert text.startswith("a b xxx")
    assert len(text) == MAX_WHY
    assert why(ValueError()) == "ValueError"
    assert why(ConnectionResetError()) == "the connection failed: ConnectionResetError"
    assert why(OSError(113, "No route to host")) == "the connection failed: No route to host"


async def test_a_plain_server_behind_https_is_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Upstream(raw=refuse) as server:
        assert (await failure(server.url.replace("http:", "https:"))).startswith("no connection: TLS: ")


def test_all_that_aiohttp_raises_is_known() -> None:
    assert issubclass(aiohttp.ClientError, REASONS)
    assert issubclass(ssl.SSLError, REASONS)
