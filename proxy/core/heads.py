"""The heads that Banyan writes: to an upstream, to the client.

Law: the bytes of an end-to-end field are never touched, nor its place among the others; hop-by-hop fields stay behind;
what we add stands at the end. A head that holds nothing special is passed on as the very bytes that came.

Sources: RFC 9110 sections 5.3, 7.6; RFC 9112 sections 6, 9.6; W3C Trace Context level 1.
"""

from __future__ import annotations

from proxy.core.fields import FORBIDDEN_IN_TRAILERS, NEVER_NAMED_IN_CONNECTION, PLAIN, Kind, classify, connection_tokens
from proxy.core.gate import CHUNKED, Admitted

_BARE = int(PLAIN)
_TO_UPSTREAM_DROPPED = int(
    Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.TRANSFER | Kind.LENGTH | Kind.HOST | Kind.BANYAN | Kind.TWIN
)
_TO_CLIENT_DROPPED = int(Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.TRANSFER | Kind.BANYAN)
_RESPONSE_SPECIAL = int(Kind.HOP | Kind.CONNECTION | Kind.UPGRADE | Kind.TRANSFER | Kind.BANYAN)


def upstream_head(admitted: Admitted, raw: bytes, *, tidy: bool, trusted: bool, extra: bytes) -> bytes:
    """The request head for an upstream, without its last empty line, so that marks can be added.

    ``raw`` is the head as it came, ``tidy`` says that each of its fields is ``name: value`` without further white
    space; ``extra`` are our own lines (Via, X-Forwarded-*, ids), each ending in CRLF. Fields that tell about the client
    are kept only if the peer is ``trusted``.
    """
    request, kinds = admitted.request, admitted.kinds
    if tidy and not kinds & ~_BARE:
        at = len(request.method) + 1
        if raw.startswith(b"/", at) and raw.startswith(b" HTTP/1.1\r\n", at + len(request.target)):
            return raw[:-2] + extra
    dropped = _TO_UPSTREAM_DROPPED | (0 if trusted else Kind.FORWARDED)
    named = _named_in_connection(request.lower.get(b"connection"))
    lines = [
        b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (request.method.encode(), request.target, request.lower.get(b"host", b""))
    ]
    for name, value in request.fields:
        low, kind = classify(name)
        if kind & dropped or low in named:
            continue
        lines.append(b"%s: %s\r\n" % (name, value))
    if admitted.length == CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif kinds & Kind.LENGTH:
        lines.append(b"Content-Length: %d\r\n" % admitted.length)
    if admitted.upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: %s\r\n" % admitted.upgrade)
    lines.append(extra)
    return b"".join(lines)


def client_head(
    raw: bytes,
    status: int,
    reason: bytes,
    fields: list[tuple[bytes, bytes]],
    kinds: int,
    *,
    length: int | None,
    extra: bytes,
) -> bytes:
    """The answer's head for the client, complete.

    ``raw`` is the head as the upstream sent it. ``length``: CHUNKED adds Transfer-Encoding, a number or None adds
    nothing (the upstream's own Content-Length passes as it is). ``extra`` are our lines (Connection, Date, ...).
    """
    if not kinds & _RESPONSE_SPECIAL and raw.startswith(b"HTTP/1.1"):
        return b"%b%b\r\n" % (raw[:-2], extra)
    named: frozenset[bytes] | set[bytes] = frozenset()
    if kinds & Kind.CONNECTION:
        named = _named_in_connection(b",".join(v for n, v in fields if n.lower() == b"connection"))
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, reason)]
    for name, value in fields:
        low, kind = classify(name)
        if kind & _TO_CLIENT_DROPPED or low in named:
            continue
        lines.append(b"%s: %s\r\n" % (name, value))
    if length == CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    lines.append(extra)
    lines.append(b"\r\n")
    return b"".join(lines)


def trailer_lines(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The trailers that may be passed on, as lines; b"" if there are none."""
    return b"".join(
        b"%s: %s\r\n" % (name, value)
        for name, value in trailers
        if (known := classify(name))[0] not in FORBIDDEN_IN_TRAILERS and not known[1]
    )


def _named_in_connection(value: bytes | None) -> set[bytes]:
    return connection_tokens(value) - NEVER_NAMED_IN_CONNECTION if value else set()
