"""The heads that Banyan writes: to an upstream, to the client.

Law: the bytes of an end-to-end field are never touched, nor its place among the others; hop-by-hop fields stay behind;
what we add stands at the end. So a head is passed on as the very bytes that came, with single lines cut out; only a
request that was not written in origin-form HTTP/1.1 is written anew.

Sources: RFC 9110 sections 5.3, 7.6; RFC 9112 sections 6, 9.6; W3C Trace Context level 1.
"""

from __future__ import annotations

from typing import Final

from proxy.core.fields import (
    FORBIDDEN_IN_TRAILERS,
    NEVER_NAMED_IN_CONNECTION,
    Kind,
    classify,
    connection_tokens,
    known,
)
from proxy.core.request import Request

_TO_UPSTREAM_DROPPED: Final = Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.TRANSFER | Kind.BANYAN | Kind.TWIN

_OF_WRITES: Final = frozenset(
    {
        b"digest",
        b"expect",
        b"idempotency-key",
        b"range",
        b"repr-digest",
        b"signature",
        b"signature-input",
        b"trailer",
        b"transfer-encoding",
    }
)
"""Fields that tell about a request's body, its range or its being sent once. Those with the prefixes below, too, and
those that name another method."""

_ZERO: Final = ord("0")
_CHUNKED_LINE: Final = b"Transfer-Encoding: chunked\r\n"


def upstream_head(request: Request, *, trusted: bool, extra: bytes) -> bytes:
    """The request head for an upstream, complete.

    ``extra`` are our own lines (Via, X-Forwarded-*, ids), each ending in CRLF. Fields that tell about the client are
    kept only if the peer is ``trusted``.
    """
    dropped = _TO_UPSTREAM_DROPPED if trusted else _TO_UPSTREAM_DROPPED | Kind.FORWARDED
    raw = request.raw if request.tidy else _anew(request)
    if request.kinds & dropped:
        named = _named_in_connection(request.lower.get(b"connection"))
        for name, value in request.fields:
            low, kind = known.get(name) or classify(name)
            if kind & dropped or low in named:
                raw = _cut(raw, name, value)
        if request.kinds & Kind.TRANSFER:
            extra = _CHUNKED_LINE + extra
        if request.upgrade:
            extra = b"Connection: Upgrade\r\nUpgrade: %b\r\n%b" % (request.upgrade, extra)
    return b"%b%b\r\n" % (raw[:-2], extra)


def marked(head: bytes, mark: bytes) -> bytes:
    """A complete head with further lines at its end, each ending in CRLF."""
    return b"%b%b\r\n" % (head[:-2], mark) if mark else head


def read_head(head: bytes, target: bytes) -> bytes:
    """The head of a GET for ``target``, made of the head of a write that an upstream got.

    Who asks and for what stays; the body, conditions and ranges of the write are left out, and so is whatever could
    make a write of it again.
    """
    lines = [line for line in head[:-4].split(b"\r\n")[1:] if not of_write(line.partition(b":")[0].lower())]
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, *lines, b"", b""])


def of_write(name: bytes) -> bool:
    """Whether a field (in lower case) belongs to a write and not to a read that follows it."""
    name = name.replace(b"_", b"-")  # to some servers they are the same
    return name in _OF_WRITES or name.startswith((b"content-", b"if-")) or bool(classify(name)[1] & Kind.OVERRIDE)


def _anew(request: Request) -> bytes:
    """A head of the same meaning, as we would have written it."""
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.target)]
    lines.append(b"Host: %b\r\n" % request.lower.get(b"host", b""))
    lines += [b"%b: %b\r\n" % field for field in request.fields if field[0].lower() != b"host"]
    lines.append(b"\r\n")
    return b"".join(lines)


def client_head(raw: bytes, hidden: list[tuple[bytes, bytes]], *, chunked: bool, extra: bytes) -> bytes:
    """The answer's head for the client, complete.

    ``raw`` is the head as the upstream sent it, already checked by llhttp; ``hidden`` are the fields to leave out;
    ``chunked`` adds Transfer-Encoding; ``extra`` are our lines (Connection, Date, ...).
    """
    if raw[7] == _ZERO:
        raw = b"HTTP/1.1" + raw[8:]
    for name, value in hidden:
        raw = _cut(raw, name, value)
    if chunked:
        extra += _CHUNKED_LINE
    return b"%b%b\r\n" % (raw[:-2], extra) if extra else raw


def _cut(raw: bytes, name: bytes, value: bytes) -> bytes:
    """``raw`` without the first line ``name: value``, whatever white space stands around the value."""
    without = raw.replace(b"\r\n%b: %b\r\n" % (name, value), b"\r\n", 1)
    if len(without) != len(raw):
        return without
    begin = raw.lower().find(b"\r\n%b:" % name.lower())
    if begin < 0:
        return raw
    return raw[:begin] + raw[raw.index(b"\r\n", begin + 2) :]


def trailer_lines(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The trailers that may be passed on, as lines; b"" if there are none."""
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in trailers
        if (answer := classify(name))[0] not in FORBIDDEN_IN_TRAILERS and not answer[1]
    )


def _named_in_connection(value: bytes | None) -> set[bytes]:
    return connection_tokens(value) - NEVER_NAMED_IN_CONNECTION if value else set()
