"""From the bytes of a client to the bytes for an upstream, however the client wrote and cut them."""

import asyncio
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fields import Kind, classify
from proxy.core.heads import upstream_head
from proxy.core.request import Request
from proxy.errors import ExchangeError
from proxy.wire.downstream import ClientConnection
from proxy.wire.outbox import Outbox

Fields = list[tuple[bytes, bytes]]

NAMES = [
    b"X-A", b"x-a", b"X-B", b"Cookie", b"X-User_Id", b"Accept", b"Connection", b"connection", b"Keep-Alive", b"TE",
    b"Upgrade", b"X-Banyan-Arm", b"x-banyan-key", b"X-Forwarded-For", b"x_forwarded_for", b"X-Request-ID",
    b"traceparent", b"Forwarded", b"Proxy-Connection", b"Content_Length", b"Via", b"Expect", b"Max-Forwards", b"Proxy",
]  # fmt: skip
VALUES = [
    b"",
    b"1",
    b"x-a",
    b"X-B, close",
    b"keep-alive",
    b"cookie",
    b"X-A: 1",
    b"a\tb",
    b"h\xe9",
    b"upgrade",
    b"websocket",
    b"host",
]
DROPPED = Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.BANYAN | Kind.TWIN | Kind.FORWARDED

written = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from([b":", b": ", b":  ", b":\t"]),
    st.sampled_from(VALUES),
    st.sampled_from([b"", b" ", b"\t "]),
)
starts = st.sampled_from([b"GET /a?b HTTP/1.1", b"GET http://shop.test/a?b HTTP/1.1", b"GET /a?b HTTP/1.0"])


def lines(head: bytes) -> Fields:
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:] if line]
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


def take(pieces: list[bytes]) -> Request | None:
    """The request that a connection finds in these pieces."""
    made = ClientConnection(Outbox(cast("asyncio.AbstractEventLoop", None)), print, print)  # nothing is written
    request = None
    for piece in pieces:
        made._buffer += piece
        if made.pending and request is None:
            request = made.take_head(32768, 100, b"me")
    return request


@given(starts, st.lists(written, max_size=10), st.integers(0, 10), st.lists(st.integers(0, 400), max_size=5))
def test_a_head_is_passed_on_the_same_however_it_was_written_and_cut(
    start: bytes, fields: list[tuple[bytes, bytes, bytes, bytes]], place: int, places: list[int]
) -> None:
    given_lines = [b"".join(parts) for parts in fields]
    given_lines.insert(place, b"Host: shop.test")
    raw = b"\r\n".join([start, *given_lines, b"", b""])
    borders = [0, *sorted(p % (len(raw) + 1) for p in places), len(raw)]
    try:
        request = take([raw])
    except ExchangeError:
        request = None
    try:
        again = take([raw[a:b] for a, b in pairwise(borders)])
    except ExchangeError:
        again = None
    assert (request is None) == (again is None)
    if request is None or again is None:
        return
    head = upstream_head(request, trusted=False, extra=b"Via: ours\r\nX-Forwarded-For: ours\r\n")
    assert upstream_head(again, trusted=False, extra=b"Via: ours\r\nX-Forwarded-For: ours\r\n") == head
    assert head.startswith(b"GET /a?b HTTP/1.1\r\n")
    assert head.endswith(b"\r\nVia: ours\r\nX-Forwarded-For: ours\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    plain = [(name, value) for name, _, value, _ in fields]
    named = {t.strip().lower() for n, v in plain if n.lower() == b"connection" for t in v.split(b",")}
    kept = [(n, v) for n, v in plain if not classify(n)[1] & DROPPED and n.lower() not in named - {b"via", b"host"}]
    upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", request.upgrade)] if request.upgrade else []
    found = lines(head)[:-2]
    found.remove((b"Host", b"shop.test"))
    assert found == kept + upgrade


@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_a_request_a_refusal_or_too_few(data: bytes, places: list[int]) -> None:
    borders = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    refused = "bad-request"
    try:
        take([data[a:b] for a, b in pairwise(borders)])
    except ExchangeError as failure:
        refused = failure.kind.value
    assert refused in {"bad-request", "method-unknown", "method-refused", "version-unknown", "target-too-long"}
