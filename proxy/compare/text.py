"""What is not JSON: lines of text, fields of forms, bytes.

Law: linear in the size of the bodies, and unequal bodies always yield at least one difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import unquote_plus

from proxy.compare.paths import member
from proxy.compare.redact import Redactor, cut
from proxy.compare.result import Kind
from proxy.compare.secret_names import Secret
from proxy.compare.walk import ABSENT, Walk

MAX_FIELDS = 2000
_TEXT = frozenset(
    {"application/javascript", "application/xml", "application/x-ndjson", "application/yaml", "application/graphql"}
)


def is_text(media: str) -> bool:
    """Whether a media type is text that is compared by lines."""
    return media.startswith("text/") or media in _TEXT or media.endswith("+xml")


def compare_lines(walk: Walk, legacy: str, candidate: str) -> None:
    """Lines that both sides have at the beginning and the end are passed over; of the rest the first pair is shown."""
    a, b = legacy.split("\n"), candidate.split("\n")
    start, end_a, end_b = 0, len(a), len(b)
    while start < end_a and start < end_b and a[start] == b[start]:
        start += 1
    while end_a > start and end_b > start and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
    walk.report(
        "text", "body", lambda: _shown(a, start, end_a, walk.redactor), lambda: _shown(b, start, end_b, walk.redactor)
    )


_CONTEXT = 200


def _shown(lines: list[str], start: int, end: int, redactor: Redactor) -> str:
    """Line ``start``, redacted together with its surroundings: what makes it secret may stand lines above."""
    if start >= end:
        return ABSENT
    more = f" (+{end - start - 1} lines)" if end - start > 1 else ""
    first = max(0, start - _CONTEXT)
    around = [line[:2000] for line in lines[first : start + 20]]
    redacted = redactor.by_shape("\n".join(around)).split("\n")
    if len(redacted) != len(around):  # a secret of several lines; which of them is ours cannot be told
        return f"line {start + 1}: «masked text»{more}"
    return f"line {start + 1}: {cut(redacted[start - first].strip())}{more}"


def compare_forms(walk: Walk, legacy: str, candidate: str) -> None:
    """``application/x-www-form-urlencoded``: the values of each field in order, the order of fields aside."""
    a, b = _fields(legacy), _fields(candidate)
    if a == b and legacy != candidate:
        return  # the same fields, otherwise encoded or in another order
    for name in dict.fromkeys((*a, *b)):
        mine, yours = a.get(name), b.get(name)
        if mine == yours:
            continue
        secret = walk.redactor.is_secret(name)
        kind: Kind = "missing" if yours is None else "extra" if mine is None else "value"
        walk.report(
            kind, member("form", name), _field(mine, secret, walk.redactor), _field(yours, secret, walk.redactor)
        )


def _fields(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in text.split("&", MAX_FIELDS):
        name, _, value = part.partition("=")
        # Bytes that are no UTF-8 stay told apart.
        name, value = (unquote_plus(half, errors="surrogateescape") for half in (name, value))
        found.setdefault(name, []).append(value)
    return found


def _field(values: list[str] | None, secret: Secret, redactor: Redactor) -> Callable[[], str]:
    def show() -> str:
        if values is None:
            return ABSENT
        text = ", ".join(redactor.text(value, secret) for value in values)
        return cut(text.encode("utf-8", "replace").decode())

    return show


def compare_bytes(walk: Walk, legacy: bytes, candidate: bytes) -> None:
    """Anything else: length and digest."""
    walk.report("digest", "body", lambda: _digest(legacy), lambda: _digest(candidate))


def _digest(body: bytes) -> str:
    return f"{len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()[:16]}…"
