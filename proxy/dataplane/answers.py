"""Answers that Banyan makes itself.

Law: they are small, they carry the request's id and the failure's fixed text, and nothing of the inside: no upstream,
no address, no version, no trace.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from http import HTTPStatus

from proxy.errors import CONSEQUENCES, ExchangeError

RETRY_AFTER_SECONDS = 1


@lru_cache(maxsize=64)
def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def wants_json(accept: str | None) -> bool:
    """True if the client names JSON in Accept; text otherwise."""
    return accept is not None and "json" in accept.lower()


def failure_answer(
    failure: ExchangeError, request_id: str, date: bytes, *, accept: str | None, head_only: bool, extra: bytes
) -> bytes:
    """The whole answer for a failure, which must have a status; ``extra`` are further header lines."""
    status, message = failure.status, CONSEQUENCES[failure.kind].message
    if wants_json(accept):
        media = "application/json"
        text = json.dumps({"error": {"status": status, "message": message, "request_id": request_id}})
    else:
        media = "text/plain; charset=utf-8"
        text = f"{status} {_reason(status)}\n{message}\nRequest id: {request_id}\n"
    body = text.encode()
    lines = [
        b"HTTP/1.1 %d %s\r\n" % (status, _reason(status).encode()),
        b"Date: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
        % (date, media.encode(), len(body)),
    ]
    if status == 405:
        lines.append(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n")
    if status == 503:
        lines.append(b"Retry-After: %d\r\n" % max(RETRY_AFTER_SECONDS, math.ceil(failure.retry_after)))
    lines.append(extra)
    lines.append(b"\r\n")
    if not head_only:
        lines.append(body)
    return b"".join(lines)


def options_answer(date: bytes, extra: bytes) -> bytes:
    """To ``OPTIONS`` with ``Max-Forwards: 0``: this hop answers itself (RFC 9110 section 7.6.2)."""
    return b"HTTP/1.1 204 No Content\r\nDate: %s\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n%b\r\n" % (
        date,
        extra,
    )
