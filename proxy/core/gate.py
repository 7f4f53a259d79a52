"""The gate in front of routing: what is a request, and what is refused.

Law: nothing is routed, forwarded, tunnelled or shadowed before it has passed here, and what has passed has exactly one
reading. llhttp (strict) has checked the grammar of lines and fields before; here the meaning is settled: version, form
of the target, Host, framing, control fields.

Sources: RFC 9112 sections 2.3, 3.2, 6.1, 6.3; RFC 9110 sections 7.2, 7.6.2, 9.3.6, 9.3.8.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import Final

from proxy.core.fields import Kind, Shape, classify, connection_tokens, known
from proxy.core.request import Request
from proxy.errors import ExchangeError, FailureKind

CHUNKED: Final = -1
"""A body length: the body is chunked."""

MAX_LENGTH_BYTES: Final = 2**63 - 1

_HOST_KIND: Final = Kind.HOST
_TRANSFER_KIND: Final = Kind.TRANSFER
_CONNECTION_KIND: Final = Kind.CONNECTION

_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+=%-]+)(?::\d{0,5})?")
_DIGITS: Final = re.compile(rb"0|[1-9][0-9]{0,18}")
_REFUSED_METHODS: Final = frozenset({"CONNECT", "TRACE"})
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)

# As a number: `in` with bytes raises and clears an error inside CPython, and costs four times as much.
_HASH: Final = ord("#")
_NEEDS_CARE: Final = Kind.TRANSFER | Kind.CONNECTION | Kind.UPGRADE | Kind.EXPECT | Kind.VIA | Kind.LENGTH


_value = itemgetter(1)


def _refuse(detail: str, kind: FailureKind = FailureKind.BAD_REQUEST) -> ExchangeError:
    return ExchangeError(kind, detail=detail)


def admit(
    method: str,
    version: str,
    target: bytes,
    fields: list[tuple[bytes, bytes]],
    shape: Shape | None = None,
    *,
    instance: bytes,
) -> Request:
    """Settle what the request means.

    ``fields`` are the parsed fields in order, ``shape`` what their names mean, if the caller knows it; ``instance`` is
    our own name in Via. Raises :class:`ExchangeError` with
    the failure to answer with.
    """
    if version != "1.1" and version != "1.0":
        raise _refuse(f"version {version}", FailureKind.VERSION_UNKNOWN)
    if shape is not None and shape.unique:
        kinds = shape.kinds
        lower = dict(zip(shape.lower, map(_value, fields), strict=True))
        hosts, transfers = kinds & _HOST_KIND, 1 if kinds & _TRANSFER_KIND else 0
    else:
        lower, kinds, hosts, transfers = _survey(fields)
    if method in _REFUSED_METHODS:
        raise _refuse(method, FailureKind.METHOD_REFUSED)

    # 1. the target, and with it the authority
    host = lower.get(b"host")
    if not target.startswith(b"/"):
        target, host, hosts = _reduce(method, target, host, hosts)
        if host is not None:
            lower[b"host"] = host
    if hosts != 1 and (hosts > 1 or version == "1.1"):
        raise _refuse(f"{hosts} Host fields")
    if _HASH in target:
        raise _refuse("fragment in the target")
    request = Request(method, target, "" if host is None else _host_name(host), fields, lower, version)
    request.kinds = kinds

    # 2. the framing, and what else the connection is asked to do
    if kinds & _NEEDS_CARE:
        request.length = _length(version, lower, transfers)
        tokens = connection_tokens(lower.get(b"connection", b""))
        request.keep_alive = version == "1.1" and b"close" not in tokens
        if (
            kinds & Kind.UPGRADE
            and b"upgrade" in tokens
            and not request.length
            and method == "GET"
            and version == "1.1"
        ):
            request.upgrade = _upgrade(lower[b"upgrade"])
        request.expects_continue = lower.get(b"expect", b"").lower() == b"100-continue" and version == "1.1"
        if kinds & Kind.VIA and _passed_here(fields, instance):
            raise _refuse("own name in Via", FailureKind.LOOP)
    return request


def _passed_here(fields: list[tuple[bytes, bytes]], instance: bytes) -> bool:
    """Our own name stands as received-by in a member of Via (RFC 9110 section 7.6.3)."""
    members = b",".join(value for name, value in fields if name.lower() == b"via").split(b",")
    return any(instance in member.split()[1:2] for member in members)


@lru_cache(maxsize=256)
def _host_name(host: bytes) -> str:
    """The Host, lower-case and without port; refused if it does not fit the grammar (RFC 3986 section 3.2)."""
    if not _HOST.fullmatch(host):
        raise _refuse("invalid Host")
    name = host if host.endswith(b"]") else host.rsplit(b":", 1)[0]
    return name.lower().decode("latin-1")


def _survey(fields: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], int, int, int]:
    """One pass: (first value by lower-case name, all kinds, number of Host fields, number of Transfer-Encodings)."""
    lower: dict[bytes, bytes] = {}
    kinds = hosts = transfers = 0
    for name, value in fields:
        low, kind = known.get(name) or classify(name)
        if kind:
            kinds |= kind
            if kind == _HOST_KIND:
                hosts += 1
            elif kind == _TRANSFER_KIND:
                transfers += 1
            elif kind == _CONNECTION_KIND and low in lower:
                value = lower.pop(low) + b"," + value  # a list field: its members count, wherever they stand
        if low not in lower:
            lower[low] = value
    return lower, kinds, hosts, transfers


def _reduce(method: str, target: bytes, host: bytes | None, hosts: int) -> tuple[bytes, bytes | None, int]:
    """Absolute-form to origin-form; the URI's authority is the Host then (RFC 9112 section 3.2.2)."""
    if target == b"*" and method == "OPTIONS":
        return target, host, hosts
    match = _ABSOLUTE.fullmatch(target)
    if match is None or hosts > 1:
        raise _refuse("the target is neither origin-form nor absolute-form")
    rest = match[2]
    if not rest and method == "OPTIONS":
        rest = b"*"  # for the whole server (section 3.2.4)
    elif not rest.startswith(b"/"):
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
