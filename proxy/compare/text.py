"""What has no structure: lines of text, and bytes.

Law: linear in the size of the bodies, and unequal bodies always yield exactly one difference.
"""

from __future__ import annotations

import hashlib

from proxy.compare.images import dimensions
from proxy.compare.redact import Redactor, cut
from proxy.compare.walk import ABSENT, Walk

_CONTEXT = 200
_OPEN_DIGEST_FROM = 4096
"""Bytes from which on a digest is shown that is not keyed: that of a short body would tell its content."""


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
    return f"line {start + 1}: {cut(_visible(redacted[start - first]).strip(' '))}{more}"


def _visible(line: str) -> str:
    """Characters without a shape are written out: it may be they that differ."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line.encode("utf-8", "replace").decode())


def compare_bytes(walk: Walk, legacy: bytes, candidate: bytes) -> None:
    """Anything else: length and digest; of pictures format and size in pixels, too."""
    walk.report(
        "digest", "body", lambda: _described(legacy, walk.redactor), lambda: _described(candidate, walk.redactor)
    )


def _described(body: bytes, redactor: Redactor) -> str:
    picture = dimensions(body)
    shown = [f"{picture[0]} {picture[1]} x {picture[2]}"] if picture else []
    shown.append(f"{len(body)} bytes")
    digest = redactor.digest(body)
    if digest:
        shown.append(digest)
    elif len(body) >= _OPEN_DIGEST_FROM:
        shown.append(f"sha256 {hashlib.sha256(body).hexdigest()[:16]}…")
    return ", ".join(shown)
