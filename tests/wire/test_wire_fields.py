"""Targets and header fields pass byte for byte, but for those that belong to one connection."""

import pytest
from harness import Act, Upstream, Worker, ok, plain

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        assert (got.target, got.all("host"), got.get("x-forwarded-host")) == (
            b"/?x=1",
            [b"Other.test:81"],
            b"Other.test:81",
        )


async def test_options_for_a_whole_server_in_absolute_form_becomes_the_asterisk(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:  # RFC 9112 section 3.2.4
        await worker.apply(plain(legacy))
        client.send(b"OPTIONS http://shop.test HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        await client.answer()
        assert legacy.targets() == ["*"]


END_TO_END = [
    (b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"1"), (b"X-A", b"\xff\xfe caf\xe9"), (b"x-empty", b""), (b"X-B", b"2"),
    (b"X-Tab", b"a\tb"), (b"!#$%&'*+-.^_`|~", b'"a, b"; c'), (b"Authorization", b"Basic YTpi"),
    (b"Cookie", b"a=b; c=d"),
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


@pytest.mark.parametrize(
    "extra", [b"", b"Connection: keep-alive, x-gone\r\nX-Gone: 1\r\n", b"Keep-Alive:timeout=5\r\n"]
)
async def test_header_bytes_of_an_answer_are_not_touched(worker: Worker, extra: bytes) -> None:
    lines = b"".join(b"%b: %b\r\n" % field for field in [*END_TO_END, (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")])
    own = b"Server: x/1\r\nWWW-Authenticate: Basic\r\nVia: 1.0 other\r\nX-Request-ID: theirs\r\nLast: 1\r\n"
    async with Upstream(
        b"HTTP/1.1 200 Fein, \xe4 OK\r\nDate: then\r\n" + extra + lines + own + b"Content-Length: 0\r\n\r\n"
    ) as up:
        await worker.apply(plain(up))
        answer = await worker.ask()
        assert answer.head == (
            b"HTTP/1.1 200 Fein, \xe4 OK\r\nDate: then\r\n" + lines + own + b"Content-Length: 0\r\n\r\n"
        )


HOP = [
    b"Connection: close, X-Named , te", b"connection: X-Other", b"X-Named: 1", b"x-named: 2", b"X-OTHER: 3",
    b"Keep-Alive: 5",
    b"Proxy-Connection: keep-alive", b"Proxy-Authenticate: x", b"TE: trailers", b"Upgrade: other",
    b"X-Banyan-Arm: candidate",
    b"x-banyan-anything: 1",
]  # fmt: skip


async def test_hop_by_hop_fields_of_a_request_stay_behind(worker: Worker) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        more = [
            b"Proxy-Authorization: x",
            b"Proxy: http://evil",
            b"HTTP2-Settings: x",
            b"Content_Length: 3",
            b"X_Forwarded_For: 6",
        ]
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


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"X-Banyan-Arm", b"Connection", b"X-A"])
async def test_a_folded_line_cannot_carry_anything_past_the_gate(worker: Worker, name: bytes) -> None:
    async with Upstream() as legacy, await worker.connect() as client:
        await worker.apply(plain(legacy))
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-First: 1\r\n" + name + b": one,\r\n two\r\nX-Last: 1\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, legacy.heads) == (400, [])


async def test_a_folded_line_of_an_answer_passes_whole_or_not_at_all(worker: Worker) -> None:
    async with Upstream(
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: x-b,\r\n x-c\r\nContent-Length: 2\r\n\r\nok"
    ) as legacy:
        await worker.apply(plain(legacy))
        answer = await worker.ask()
        assert answer.status == 502 or b"x-c" not in answer.head
