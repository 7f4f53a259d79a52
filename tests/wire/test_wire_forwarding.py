"""What passes through, byte for byte: methods, statuses, framing, header fields, interim answers."""

import asyncio
import http

import pytest
from harness import Act, Client, Message, Upstream, Worker, chunked, ok, plain, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = [
    "DELETE", "GET", "HEAD", "POST", "PUT", "OPTIONS", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH",
    "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE", "M-SEARCH",
    "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PATCH", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE",
]  # fmt: skip


async def test_every_method_that_llhttp_knows_passes(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            for method in METHODS:
                client.get(f"/{method}", method=method)
                assert (await client.answer(method)).status == 200, method
        assert [request.method.decode() for request in legacy.requests] == METHODS


@pytest.mark.parametrize(("method", "status"), [("BREW", 501), ("X-ROTATE", 501), ("CONNECT", 405), ("TRACE", 405)])
async def test_other_methods_are_refused_and_the_connection_ends(worker: Worker, method: str, status: int) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(
            f"{method} {'shop.test:80' if method == 'CONNECT' else '/'} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode()
        )
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (status, b"close")
        client.writer.write_eof()
        assert await client.rest() == b""
        assert legacy.heads == []


async def test_every_final_status_passes(worker: Worker) -> None:
    codes = [s.value for s in http.HTTPStatus if s.value >= 200] + [299, 420, 599, 799]

    def reply(message: Message) -> bytes:
        code = int(message.target[1:])
        return b"HTTP/1.1 204 X\r\n\r\n" if code == 204 else ok(b"" if code == 304 else b"x", status=f"{code} Such")

    async with Upstream(reply) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for code in codes:
            client.get(f"/{code}")
            answer = await client.answer()
            assert answer.status == code


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: a\r\n\r\n", [b"12345"]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", []),
        (b"HTTP/1.1 200 OK\r\n\r\n", []),
    ],
)
async def test_an_answer_to_head_ends_at_its_head(worker: Worker, answer: bytes, kept: list[bytes]) -> None:
    async with Upstream(answer) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for _ in range(3):
            client.get(method="HEAD")
            got = await client.answer("HEAD")
            assert got.status == 200
            assert got.all("content-length") == kept
        assert legacy.connections == 1


@pytest.mark.parametrize("head", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_ends_at_its_head(worker: Worker, head: bytes) -> None:
    async with Upstream(b"HTTP/1.1 " + head + b"\r\nContent-Length: 5\r\nX-A: b\r\n\r\n") as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            for _ in range(2):
                client.get()
                answer = await client.answer()
                assert (answer.line, answer.get("x-a")) == (b"HTTP/1.1 " + head, b"b")
        assert legacy.connections == 1


SIZES = [1, 1000, 16 * 1024, 70_000, 300_000, 1_500_000]


@pytest.mark.parametrize("size", SIZES)
async def test_bodies_of_known_length_pass_both_ways(worker: Worker, size: int) -> None:
    async with Upstream(lambda message: ok(message.body[::-1])) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        body = (b"%d," * 10 % tuple(range(10)) * size)[:size]
        for _ in range(2):
            client.get(method="POST", body=body)
            answer = await client.answer()
            assert answer.body == body[::-1]
            assert legacy.requests[-1].body == body
            assert legacy.requests[-1].all("content-length") == [str(size).encode()]
            assert legacy.requests[-1].get("transfer-encoding") is None


@pytest.mark.parametrize("size", SIZES[1:])
async def test_chunked_bodies_pass_both_ways(worker: Worker, size: int) -> None:
    async with Upstream(lambda message: chunked(message.body[: size // 2], message.body[size // 2 :])) as legacy:
        await worker.apply(plain(legacy))
        body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        async with await worker.connect() as client:
            for _ in range(2):
                client.send(chunked(body[: size // 3], body[size // 3 :], head="POST / HTTP/1.1\r\nHost: a\r\n"))
                answer = await client.answer()
                assert answer.whole
                assert answer.body == legacy.requests[-1].body == body
                assert legacy.requests[-1].all("transfer-encoding") == [b"chunked"]
                assert legacy.requests[-1].get("content-length") is None
        assert legacy.connections == 1


async def test_one_byte_segments_both_ways_change_nothing(worker: Worker) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = Message(await reader.readuntil(b"\r\n\r\n"))
            await message.read_body(reader)
            for byte in chunked(message.body, b"end", end=b"0\r\nX-T: 1\r\n\r\n"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)

    async with Upstream(raw=slowly) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for data in (
            request("/slow", method="POST", body=b"hello"),
            chunked(b"he", b"llo", head="PUT /slow HTTP/1.1\r\nHost: a\r\n"),
        ):
            for byte in data:
                client.send(bytes([byte]))
                await asyncio.sleep(0)
            answer = await client.answer()
            assert answer.body == b"helloend"
            assert answer.trailers == [(b"X-T", b"1")]


TRAILERS = (
    b"X-Sum: 1\r\nx-sum: 2\r\nContent-Length: 99\r\nHost: evil\r\nX-Banyan-Arm: legacy\r\n"
    b"X-Forwarded-For: 1\r\nset-cookie: a=b\r\n"
)


async def test_trailers_pass_both_ways_but_for_those_that_would_change_the_message(worker: Worker) -> None:
    end = b"0\r\n" + TRAILERS + b"\r\n"
    async with Upstream(chunked(b"body", end=end)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(chunked(b"up", head="POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\n", end=end))
        answer = await client.answer()
        passed = [(b"X-Sum", b"1"), (b"x-sum", b"2")]
        assert answer.trailers == passed
        assert legacy.requests[0].trailers == passed
        assert legacy.requests[0].get("trailer") == b"X-Sum"


async def test_chunk_extensions_end_at_banyan(worker: Worker) -> None:
    data = b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0;x\r\n\r\n"
    async with Upstream(b"HTTP/1.1 200 OK\r\n" + data) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + data)
        head = await client.head()
        assert head.status == 200
        assert await client.exactly(14) == b"4\r\nbody\r\n0\r\n\r\n"
        assert legacy.requests[0].body == b"body"


async def test_interim_answers_pass_in_order_with_their_fields(worker: Worker) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\nConnection: x\r\n\r\n"
    async with Upstream(early + b"HTTP/1.1 102 Processing\r\n\r\n" + ok()) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for _ in range(2):
            client.get()
            first = await client.answer(interim=True)
            assert (first.status, first.fields) == (103, [(b"Link", b"</a.css>; rel=preload"), (b"link", b"</b.js>")])
            assert (await client.answer(interim=True)).status == 102
            assert (await client.answer(interim=True)).body == b"ok"
        assert legacy.connections == 1


async def test_interim_answers_do_not_go_to_http_1_0(worker: Worker) -> None:
    async with Upstream(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok()) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            client.get(version="1.0")
            assert (await client.answer(interim=True)).status == 200


async def test_interim_answers_of_more_bytes_than_are_read_at_once_hold_up_nothing(worker: Worker) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % b"".join(b"Link: %b\r\n" % (b"x" * 400) for _ in range(100))
    async with Upstream(hint * 15 + ok(b"final")) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get()
        assert [(await client.answer(interim=True)).status for _ in range(16)] == [103] * 15 + [200]


async def test_a_flood_of_interim_answers_is_an_invalid_answer(worker: Worker) -> None:
    async with Upstream(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + ok()) as legacy:
        await worker.apply(plain(legacy))
        assert (await worker.ask()).status == 502


async def expecting(client: Client, body: bytes = b"hello") -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))


async def test_expect_is_passed_on_and_the_upstreams_100_comes_back(worker: Worker) -> None:
    seen: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(0.05)
        assert not reader._buffer  # type: ignore[attr-defined]  # nothing came before our word
        writer.write(b"HTTP/1.1 100 Continue\r\nX-Mine: yes\r\n\r\n")
        seen.append(await reader.readexactly(5))
        writer.write(ok())
        await reader.read()

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        await expecting(client)
        interim = await client.answer(interim=True)
        assert (interim.status, interim.get("x-mine")) == (100, b"yes")
        client.send(b"hello")
        assert (await client.answer(interim=True)).status == 200
        assert b"\r\nExpect: 100-continue\r\n" in seen[0]
        assert seen[1] == b"hello"


async def test_banyan_says_100_itself_when_the_upstream_is_silent_and_only_once(worker: Worker) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(5)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" + ok())
        await reader.read()

    async with Upstream(raw=server) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        await expecting(client)
        assert (await client.answer(interim=True)).status == 100
        client.send(b"hello")
        assert (await client.answer(interim=True)).status == 200


async def test_expect_may_be_answered_finally_and_the_body_is_not_awaited(worker: Worker) -> None:
    async with (
        Upstream(raw=answers_at_the_head(ok(b"no", status="417 No"))) as legacy,
        await worker.connect() as client,
    ):
        await worker.apply(plain(legacy))
        await expecting(client)
        answer = await client.answer(interim=True)
        assert (answer.status, answer.body, answer.get("connection")) == (417, b"no", b"close")


def answers_at_the_head(data: bytes):  # type: ignore[no-untyped-def]  # a server function
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await reader.read()

    return server


async def test_http_1_0_gets_a_known_length_and_a_close(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = Message(b"".join([await client.reader.readuntil(b"\r\n\r\n")]))
        assert (answer.status, answer.get("content-length"), answer.get("connection")) == (200, b"2", b"close")
        assert await client.rest() == b"ok"
        assert legacy.requests[0].line == b"GET /old HTTP/1.1"


@pytest.mark.parametrize("answer", [chunked(b"he", b"llo"), b"HTTP/1.1 200 OK\r\n\r\nhello"])
async def test_http_1_0_gets_an_answer_of_unknown_length_up_to_the_close(worker: Worker, answer: bytes) -> None:
    async with Upstream(Act(answer, "close")) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get(version="1.0")
        head = await client.head()
        assert head.get("transfer-encoding") is None
        assert await client.rest() == b"hello"


async def test_http_1_0_sees_a_reset_when_the_answer_breaks_off(worker: Worker) -> None:
    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"5\r\nhe")

    async with Upstream(raw=breaks_off) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get(version="1.0")
        assert (await client.head()).status == 200
        assert await client.was_reset()


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        chunked(b"hello", end=b""),
        chunked(b"hello", end=b"5\r\nhe"),
    ],
)
async def test_f06_a_truncated_answer_is_never_finished(worker: Worker, answer: bytes, then: str) -> None:
    async with Upstream(Act(answer, then)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get()
        head = await client.head()
        rest = await client.rest()
        assert head.status == 200
        assert b"HTTP/1.1" not in rest
        assert not rest.endswith(b"0\r\n\r\n")
        assert len(rest) < 10 or b"transfer-encoding" in head.head.lower()


async def test_a_body_up_to_the_close_of_the_upstream_reaches_http_1_1_in_chunks(worker: Worker) -> None:
    async with Upstream(Act(b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello", "close")) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            for _ in range(2):
                client.get()
                answer = await client.answer()
                assert (answer.line, answer.body, answer.whole) == (b"HTTP/1.1 200 OK", b"hello", True)
        assert legacy.connections == 2
