"""Step 3 of a request's life: what the upstreams are told besides the client's own words.

Law: only a trusted proxy is believed about the client; everybody else's claims are replaced by what we see. What is
added stands in one block, made once per request and sent with every try.
"""

from __future__ import annotations

import re
from random import getrandbits
from typing import TYPE_CHECKING, Final

from proxy.dataplane.answers import options_answer
from proxy.dataplane.cells import RECORDED_BODY_BYTES, keeps_body
from proxy.dataplane.request_body import RequestBody

if TYPE_CHECKING:
    from proxy.core.request import Request
    from proxy.dataplane.exchange import Exchange

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,128}")


def our_lines(exchange: Exchange, prefix: bytes) -> bytes:
    """Via, X-Forwarded-*, X-Request-ID, traceparent: what an upstream may believe, whatever the client said."""
    number = b"%016x" % (getrandbits(64) | 1)
    exchange.request_id = request_id = prefix + number
    lines = (
        exchange.runtime.via,
        exchange.client.forwarded,
        exchange.request.lower.get(b"host", b""),
        b"\r\nX-Request-ID: ",
        request_id,
        b"\r\ntraceparent: 00-",
        request_id,
        b"-",
        number,
        b"-00\r\n",
    )
    return b"".join(lines)


def trusted_lines(exchange: Exchange, prefix: bytes) -> bytes:
    """The same behind a trusted proxy: what it said stays, what is missing is added."""
    request = exchange.request
    lower = request.lower
    number = b"%016x" % (getrandbits(64) | 1)
    made = prefix + number
    lines = [exchange.runtime.via, b"X-Forwarded-For: %b\r\n" % exchange.client.peer.encode()]
    if b"x-forwarded-proto" not in lower:
        lines.append(b"X-Forwarded-Proto: http\r\n")
    if b"x-forwarded-host" not in lower:
        lines.append(b"X-Forwarded-Host: %b\r\n" % lower.get(b"host", b""))
    given = lower.get(b"x-request-id", b"")
    exchange.request_id = given if _REQUEST_ID.fullmatch(given) else made
    if exchange.request_id is made:  # also in place of one that is not fit for a log
        _replace_field(request, b"x-request-id", None)
        lines.append(b"X-Request-ID: %b\r\n" % made)
    if b"traceparent" not in lower:
        lines.append(b"traceparent: 00-%b-%b-00\r\n" % (made, number))
    return b"".join(lines)


def open_body(exchange: Exchange) -> None:
    """Bound the request's body, and decide whether a copy of it is kept for whoever may need it again."""
    decision, plan = exchange.decision, exchange.decision.plan
    limit, cap = exchange.runtime.limits.body, 0
    if plan is not None:
        limit = plan.max_body
        if decision.fallback or exchange.route.may_retry:
            cap = plan.max_replay_body
        if decision.shadow and decision.purpose != "read-back":  # no write is copied
            cap = max(cap, plan.route.shadow.max_body)
        if not cap and decision.arm == "legacy" and keeps_body(exchange.route, exchange.request):
            cap, exchange.recorded = RECORDED_BODY_BYTES, True
    elif exchange.route.may_retry:
        cap = UNROUTED_REPLAY_BYTES
    exchange.body = RequestBody(exchange.client, exchange.request, cap, limit, exchange.memory)


def answered_here(exchange: Exchange) -> bool:
    """OPTIONS with Max-Forwards: 0 ends at this hop; a larger number is passed on, one less."""
    request = exchange.request
    value = request.lower.get(b"max-forwards", b"")
    if request.method != "OPTIONS" or not value.isdigit():
        return False
    hops = int(value[:9])
    if hops == 0:
        exchange.status = 204
        exchange.keep = request.keep_alive and exchange.body is None
        exchange.client.write(options_answer(exchange.date, b"" if exchange.keep else b"Connection: close\r\n"))
        return True
    _replace_field(request, b"max-forwards", b"%d" % (hops - 1))
    return False


UNROUTED_REPLAY_BYTES: Final = 1024 * 1024
"""Of a body without a route, kept for a retry; the default of ``fallback.max_replay_body``."""


def _replace_field(request: Request, lower: bytes, value: bytes | None) -> None:
    """Give a field of the request another value, or remove it; its head is written anew then."""
    kept = [(n, v if n.lower() != lower else value) for n, v in request.fields]
    request.fields = [(n, v) for n, v in kept if v is not None]
    request.tidy = False
