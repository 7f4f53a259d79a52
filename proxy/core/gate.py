"""The gate in front of routing: what is a request, and what is refused.

Law: nothing is routed, forwarded, tunnelled or shadowed before it has passed here, and what has passed has exactly one
reading. llhttp (strict) has checked the grammar of lines and fields before; here the meaning is settled: version, form
of the target, Host, framing, control fields.

Sources: RFC 9112 sections 2.3, 3.2, 6.1, 6.3; RFC 9110 sections 7.2, 7.6.2, 9.3.6, 9.3.8.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.core.fields import Kind, classify, connection_tokens
from proxy.core.request import Request
from proxy.errors import ExchangeError, FailureKind

CHUNKED = -1
"""A body length: the body is chunked."""

MAX_LENGTH_BYTES = 2**63 - 1

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::\d{0,5})?")
_HOST_LIST = re.compile(rb"[,;]")
_DIGITS = re.compile(rb"[0-9]{1,19}")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)

_NEEDS_CARE = int(
    Kind.TRANSFER | Kind.CONNECTION | Kind.UPGRADE | Kind.EXPECT | Kind.VIA | Kind.MAX_FORWARDS | Kind.LENGTH
)


class Admitted(NamedTuple):
    """A request that may be served."""

    request: Request
    length: int  # of the body in bytes; CHUNKED (-1) if it is chunked
    kinds: int  # the Kind bits of all its fields
    keep_alive: bool  # the client allows another request on this connection
    upgrade: bytes  # the protocol asked for, or b""
    expects_continue: bool


def _refuse(detail: str, kind: FailureKind = FailureKind.BAD_REQUEST) -> ExchangeError:
    return ExchangeError(kind, detail=detail)


def admit(method: str, version: str, target: bytes, fields: list[tuple[bytes, bytes]], *, instance: bytes) -> Admitted:
    """Settle what the request means.

    ``fields`` are the parsed fields in order; ``instance`` is our own name in Via. Raises :class:`ExchangeError` with
    the failure to answer with.
    """
    if version not in ("1.1", "1.0"):
        raise _refuse(f"version {version}", FailureKind.VERSION_UNKNOWN)
    lower: dict[bytes, bytes] = {}
    kinds = 0
    hosts = 0
    transfers = 0
    for name, value in fields:
        low, kind = classify(name)
        if kind:
            kinds |= kind
            if kind == Kind.HOST:
                hosts += 1
            elif kind == Kind.TRANSFER:
                transfers += 1
        if low not in lower:
            lower[low] = value
        elif kind == Kind.CONNECTION:
            lower[low] = lower[low] + b"," + value  # a list field: its members count, wherever they stand
    if method in ("CONNECT", "TRACE"):
        raise _refuse(method, FailureKind.METHOD_REFUSED)

    # 1. the target, and with it the authority
    host = lower.get(b"host")
    if not target.startswith(b"/"):
        target, host, hosts = _reduce(method, target, host, hosts)
        if host is not None:
            lower[b"host"] = host
    if hosts != 1 and (hosts > 1 or version == "1.1"):
        raise _refuse(f"{hosts} Host fields")
    if host is not None and (not _HOST.fullmatch(host) or _HOST_LIST.search(host)):
        raise _refuse("invalid Host")
    if b"#" in target:
        raise _refuse("fragment in the target")

    # 2. the framing, and what else the connection is asked to do
    length, keep_alive, upgrade, expects = 0, version == "1.1", b"", False
    if kinds & _NEEDS_CARE:
        length = _length(version, lower, transfers)
        tokens = connection_tokens(lower.get(b"connection", b""))
        keep_alive = keep_alive and b"close" not in tokens
        if kinds & Kind.UPGRADE and b"upgrade" in tokens and length == 0 and method == "GET" and version == "1.1":
            upgrade = _upgrade(lower[b"upgrade"])
        expects = bool(kinds & Kind.EXPECT) and lower[b"expect"].lower() == b"100-continue" and version == "1.1"
        if kinds & Kind.VIA and instance in b",".join(v for n, v in fields if n.lower() == b"via"):
            raise _refuse("own name in Via", FailureKind.LOOP)
    name = b"" if host is None else host.rsplit(b":", 1)[0] if not host.endswith(b"]") else host
    request = Request(method, target, name.lower().decode("latin-1"), fields, lower, version)
    return Admitted(request, length, kinds, keep_alive, upgrade, expects)


def _reduce(method: str, target: bytes, host: bytes | None, hosts: int) -> tuple[bytes, bytes | None, int]:
    """Absolute-form to origin-form; the URI's authority is the Host then (RFC 9112 section 3.2.2)."""
    if target == b"*" and method == "OPTIONS":
        return target, host, hosts
    match = _ABSOLUTE.fullmatch(target)
    if match is None or hosts > 1:
        raise _refuse("the target is neither origin-form nor absolute-form")
    rest = match[2]
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    return rest, match[1], 1


def _length(version: str, lower: dict[bytes, bytes], transfers: int) -> int:
    declared = lower.get(b"content-length")
    if transfers:
        if version == "1.0" or declared is not None or transfers > 1:
            raise _refuse("contradictory framing")
        if lower[b"transfer-encoding"].lower() != b"chunked":
            raise _refuse("unknown transfer coding")
        return CHUNKED
    if declared is None:
        return 0
    if not _DIGITS.fullmatch(declared) or (length := int(declared)) > MAX_LENGTH_BYTES:
        raise _refuse("invalid Content-Length")
    return length


def _upgrade(value: bytes) -> bytes:
    """The protocol, unless it is another HTTP: h2c and TLS are for the next hop alone, and are dropped."""
    names = connection_tokens(value)
    return b"" if any(name.startswith((b"h2c", b"http/", b"tls/")) for name in names) else value


def unknown_method(start: bytes) -> bool:
    """True if the bytes that llhttp refused begin with a well-formed method that it does not know: 501, not 400."""
    return re.match(rb"[A-Z][A-Z-]{0,31} [/*h]", start) is not None
