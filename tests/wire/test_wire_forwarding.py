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
        client.send(f"{method} {'shop.test:80' if method == 'CONNECT' else '/'} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())
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


TRAILERS = b"X-Sum: 1\r\nx-sum: 2\r\nContent-Length: 99\r\nHost: evil\r\nX-Banyan-Arm: legacy\r\nX-Forwarded-For: 1\r\nset-cookie: a=b\r\n"


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
    async with Upstream(raw=answers_at_the_head(ok(b"no", status="417 No"))) as legacy, await worker.connect() as client:
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


async def test_target_and_host_pass_as_they_are(worker: Worker) -> None:
    targets = ["/a//b/../c?x=%2F&&y;z=1", "/%00%ff%zz", "/~a/[b]|{c}\"'", "/?", "/?/../", "/a;b=c/d", "/+%20", "*"]
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        for target in targets:
            client.send(f"OPTIONS {target} HTTP/1.1\r\nHost: ShOp.test:8123\r\n\r\n".encode())
            assert (await client.answer()).status == 200, target
        assert legacy.targets() == targets
        assert {r.get("host") for r in legacy.requests} == {b"ShOp.test:8123"}


async def test_an_absolute_target_becomes_origin_form_and_names_the_host(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"GET http://Other.test:81?x=1 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        await client.answer()
        got = legacy.requests[0]
        assert (got.target, got.all("host"), got.get("x-forwarded-host")) == (b"/?x=1", [b"Other.test:81"], b"Other.test:81")


async def test_options_for_a_whole_server_in_absolute_form_becomes_the_asterisk(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:  # RFC 9112 section 3.2.4
        await worker.apply(plain(legacy))
        client.send(b"OPTIONS http://shop.test HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        await client.answer()
        assert legacy.targets() == ["*"]


END_TO_END = [
    (b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"1"), (b"X-A", b"\xff\xfe caf\xe9"), (b"x-empty", b""), (b"X-B", b"2"),
    (b"X-Tab", b"a\tb"), (b"!#$%&'*+-.^_`|~", b'"a, b"; c'), (b"Authorization", b"Basic YTpi"), (b"Cookie", b"a=b; c=d"),
    (b"cookie", b"e=f"), (b"Range", b"bytes=0-1"), (b"If-None-Match", b'"x"'), (b"Accept-Encoding", b"gzip, br"),
]  # fmt: skip


@pytest.mark.parametrize("extra", [b"", b"Connection: keep-alive\r\n", b"X-Odd:   spaces \t\r\n", b"Keep-Alive: 3\r\n"])
async def test_header_bytes_of_a_request_are_not_touched(worker: Worker, extra: bytes) -> None:
    lines = b"".join(b"%b: %b\r\n" % field for field in END_TO_END)
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + extra + lines + b"\r\n")
        await client.answer()
        got = [field for field in legacy.requests[0].fields if field in END_TO_END]
        assert got == END_TO_END


@pytest.mark.parametrize("extra", [b"", b"Connection: keep-alive, x-gone\r\nX-Gone: 1\r\n", b"Keep-Alive:timeout=5\r\n"])
async def test_header_bytes_of_an_answer_are_not_touched(worker: Worker, extra: bytes) -> None:
    lines = b"".join(b"%b: %b\r\n" % field for field in [*END_TO_END, (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")])
    own = b"Server: x/1\r\nWWW-Authenticate: Basic\r\nVia: 1.0 other\r\nX-Request-ID: theirs\r\nLast: 1\r\n"
    async with Upstream(b"HTTP/1.1 200 Fein, \xe4 OK\r\nDate: then\r\n" + extra + lines + own + b"Content-Length: 0\r\n\r\n") as up:
        await worker.apply(plain(up))
        answer = await worker.ask()
        assert answer.head == (
            b"HTTP/1.1 200 Fein, \xe4 OK\r\nDate: then\r\n" + lines + own + b"Content-Length: 0\r\n\r\n"
        )


HOP = [
    b"Connection: close, X-Named , te", b"connection: X-Other", b"X-Named: 1", b"x-named: 2", b"X-OTHER: 3", b"Keep-Alive: 5",
    b"Proxy-Connection: keep-alive", b"Proxy-Authenticate: x", b"TE: trailers", b"Upgrade: other", b"X-Banyan-Arm: candidate",
    b"x-banyan-anything: 1",
]  # fmt: skip


async def test_hop_by_hop_fields_of_a_request_stay_behind(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        more = [b"Proxy-Authorization: x", b"Proxy: http://evil", b"HTTP2-Settings: x", b"Content_Length: 3", b"X_Forwarded_For: 6"]
        client.send(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *HOP, *more, b"X-Kept: 1", b"", b""]))
        await client.answer()
        names = [name.lower() for name, _ in legacy.requests[0].fields]
        assert names == [
            b"host", b"x-kept", b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id",
            b"traceparent",
        ]  # fmt: skip


async def test_hop_by_hop_fields_of_an_answer_stay_behind(worker: Worker) -> None:
    answer = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: 2", *HOP, b"X-Kept: 1", b"", b"ok"])
    async with Upstream(Act(answer, "close")) as legacy:
        await worker.apply(plain(legacy))
        got = await worker.ask()
        assert [name.lower() for name, _ in got.fields] == [b"content-length", b"x-kept", b"date"]
        assert got.body == b"ok"


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: x-a\r\nConnection: x-a, x-a\r\nX-A: 1\r\n",  # named twice
        b"Connection: keep-alive, te\r\nTE: trailers\r\n",  # hop-by-hop by itself, and named
        b"Connection: proxy-authenticate\r\nProxy-Authenticate: x\r\n",
        b"Connection: x-banyan-x\r\nX-Banyan-X: x\r\n",
        b"X-A:1\r\nX-A: 1\r\nX-A:   1  \r\nConnection: x-a\r\n",
        b"Connection: x-a\r\nX-A: 1: 2\r\nX-B: X-A: 1\r\n",
    ],
)
async def test_fields_that_an_answer_names_in_connection_are_removed_once_and_for_all(
    worker: Worker, fields: bytes
) -> None:
    async with Upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + fields + b"\r\nok") as legacy:
        await worker.apply(plain(legacy))
        got = await worker.ask()
        names = {name.lower() for name, _ in got.fields}
        assert (got.status, got.body) == (200, b"ok")
        assert names <= {b"content-length", b"date", b"x-b"}


async def test_a_missing_date_is_added_and_a_present_one_is_kept(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        assert len((await worker.ask()).all("date")) == 1
        legacy.reply = ok(b"ok", "Date: Tue, 15 Nov 1994 08:12:31 GMT")
        assert (await worker.ask()).all("date") == [b"Tue, 15 Nov 1994 08:12:31 GMT"]


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
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", chunked(b"hello", end=b""), chunked(b"hello", end=b"5\r\nhe")]
)
async def test_a_truncated_answer_is_never_finished(worker: Worker, answer: bytes, then: str) -> None:
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


async def test_connection_close_of_the_client_is_honoured_and_nothing_after_it_is_read(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(request("/1", "Connection: Close") + request("/2"))
        answer = await client.answer()
        assert answer.get("connection") == b"close"
        assert await client.rest() == b""
        assert legacy.targets() == ["/1"]


async def test_pipelined_requests_are_answered_in_order(worker: Worker) -> None:
    async def reply(message: Message) -> bytes:
        number = int(message.target[1:])
        await asyncio.sleep(0.002 * (number % 3))
        body = message.target + b":" + message.body
        return chunked(body) if number % 2 else ok(body)

    async with Upstream(reply) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        sent, wanted = b"", []
        for number in range(50):
            body = b"%d" % number * (number * 17 % 900)
            match number % 3:
                case 0:
                    sent += request(f"/{number}")
                    body = b""
                case 1:
                    sent += request(f"/{number}", method="POST", body=body)
                case 2:
                    sent += chunked(*[body] if body else [], head=f"PUT /{number} HTTP/1.1\r\nHost: a\r\n")
            wanted.append(b"/%d:" % number + body)
        client.send(sent)
        client.writer.write_eof()
        assert [(await client.answer()).body for _ in range(50)] == wanted
        assert await client.rest() == b""


async def test_more_pipelined_bytes_than_are_read_at_once_are_all_answered(worker: Worker) -> None:
    async with Upstream(lambda message: Act(ok(message.target), delay=0.005)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        count = 60
        client.send(b"".join(request(f"/{n}", "X-Pad: " + "p" * 20_000) for n in range(count)))  # 1.2 MB
        for number in range(count):
            assert (await client.answer()).body == b"/%d" % number


async def test_an_empty_line_between_requests_is_forgiven(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(request("/1") + b"\r\n" + request("/2"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]


async def test_a_client_that_has_sent_all_it_will_still_gets_its_answer(worker: Worker) -> None:
    async with Upstream(Act(ok(b"x" * 300_000), delay=0.1)) as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.get(method="POST", body=b"all")
        client.writer.write_eof()
        assert len((await client.answer()).body) == 300_000
        assert await client.rest() == b""


async def test_a_body_that_breaks_off_never_looks_whole_upstream(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for data in (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
        ):
            async with await worker.connect() as client:
                client.send(data)
                client.writer.write_eof()
                rest = await client.rest()
                assert rest == b"" or rest.startswith(b"HTTP/1.1 400")
        assert legacy.requests == []


async def test_bytes_after_an_answer_never_become_an_answer(worker: Worker) -> None:
    async with Upstream(lambda m: ok(m.target) + (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as legacy:
        await worker.apply(plain(legacy))
        async with await worker.connect() as client:
            for n in range(5):
                client.get(f"/{n}")
                assert (await client.answer()).body == b"/%d" % n
                await asyncio.sleep(0.01)
