"""Upstreams behind TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from harness import Act, Client, Upstream, Worker, ok, plain, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTHORITY = trustme.CA()
PIECE = b"x" * 262_144


def context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(made)
    return made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def trusting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """A worker that trusts our authority."""
    file: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    async with Upstream() as nobody, running(plain(nobody), environ={"SSL_CERT_FILE": str(file)}) as made:
        yield made


def ours() -> ssl.SSLContext:
    return context(AUTHORITY, "127.0.0.1")


async def test_bodies_pass_both_ways_and_the_connection_is_kept(trusting: Worker) -> None:
    async with Upstream(lambda m: ok(m.body[::-1]), tls=ours()) as legacy:
        await trusting.apply(plain(legacy))
        for size in (1, 1000, 3_000_000):
            body = (b"0123456789" * (size // 10 + 1))[:size]
            assert (await trusting.ask(method="POST", body=body)).body == body[::-1]
        assert legacy.connections == 1


@pytest.mark.parametrize("fault", ["stranger", "name"])
async def test_an_endpoint_that_is_not_who_it_should_be_is_not_asked(trusting: Worker, fault: str) -> None:
    authority, name = (
        (trustme.CA() if fault == "stranger" else AUTHORITY),
        ("other.test" if fault == "name" else "127.0.0.1"),
    )
    async with Upstream(tls=context(authority, name)) as legacy:
        await trusting.apply(plain(legacy, timeouts={"connect": "1s"}))
        assert (await trusting.ask()).status == 502
        assert legacy.requests == []


async def test_an_early_refusal_is_read_or_known_to_be_lost(trusting: Worker) -> None:
    """What TLS had not decrypted when the connection broke is lost, but it is never taken for an answer."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await writer.drain()

    async def upload(client: Client) -> None:
        with suppress(ConnectionError):
            for _ in range(20):
                client.send(PIECE)
                await client.writer.drain()

    async with Upstream(raw=server, tls=ours()) as legacy:
        await trusting.apply(plain(legacy))
        answers = []
        for _ in range(20):
            async with await trusting.connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (20 * len(PIECE)))
                answer, _ = await asyncio.gather(client.answer(), upload(client))
                answers.append((answer.status, b"not valid" in answer.body))
        assert set(answers) <= {(413, False), (502, False)}


async def test_an_answer_that_breaks_off_is_cut_and_nothing_encrypted_passes(trusting: Worker) -> None:
    """While both directions still move: what is left in the kernel is not the answer."""

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
        for _ in range(8):
            writer.write(b"a" * 65536)
            await asyncio.sleep(0.002)
        writer.transport.abort()

    async def upload(client: Client) -> None:
        with suppress(ConnectionError):
            for _ in range(40):
                client.send(PIECE)
                await client.writer.drain()

    async with Upstream(raw=server, tls=ours()) as legacy:
        await trusting.apply(plain(legacy))
        for _ in range(10):
            async with await trusting.connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (40 * len(PIECE)))
                answer, _ = await asyncio.gather(client.answer(), upload(client))
                if answer.status == 200:
                    assert not answer.whole
                    assert set(answer.body) <= {ord("a")}


async def test_a_silent_upstream_is_a_504(trusting: Worker) -> None:
    async with Upstream(Act(then="hang"), tls=ours()) as legacy:
        await trusting.apply(plain(legacy, timeouts={"first_byte": "300ms"}))
        assert (await trusting.ask()).status == 504
