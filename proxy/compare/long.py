"""Bodies that were too long to be kept: compared by length and digest, as far as these go.

Law: only what is certain is said. Equal digests are equal bodies; different ones are a difference only of media in
which other bytes say other things, and only of bodies that no content coding was applied to.
"""

from __future__ import annotations

import hashlib

from proxy.compare import text
from proxy.compare.charsets import Charset, charset_of
from proxy.compare.decode import codings
from proxy.compare.media import UNSTRUCTURED
from proxy.compare.readers import Content, content
from proxy.compare.redact import cut
from proxy.compare.result import Incomparable
from proxy.compare.walk import Walk
from proxy.messages import Answer


def compare_long(walk: Walk, legacy: Answer, candidate: Answer) -> None:
    """Compare two bodies of which at least one is cut off. Raises Incomparable ("too-large")."""
    a, b = content(legacy.body, legacy.fields), content(candidate.body, candidate.fields)
    same_coding = codings(legacy.fields) == codings(candidate.fields)
    one, two = _sized(legacy), _sized(candidate)
    if one is not None and one == two and same_coding and _charset(a) == _charset(b):
        return
    if a.reader != b.reader:
        report_media(walk, a, b)
        return
    if a.reader not in UNSTRUCTURED or not same_coding or codings(legacy.fields) or _charset(a) != _charset(b):
        raise Incomparable("too-large")
    if one is not None and two is not None:
        if one[0] != two[0]:
            walk.report("size", "body", lambda: f"{one[0]} bytes", lambda: f"{two[0]} bytes")
        else:
            walk.report("digest", "body", lambda: _shown(one, walk), lambda: _shown(two, walk))
    elif legacy.truncated != candidate.truncated and len(_whole(legacy, candidate)) < len(_cut(legacy, candidate)):
        # (of one that was cut because its time was over, what came may be all of it)
        walk.report("size", "body", lambda: _length(legacy), lambda: _length(candidate))
    else:
        kept = min(len(a.body), len(b.body))
        if a.body[:kept] == b.body[:kept]:
            raise Incomparable("too-large")
        text.compare_bytes(walk, a.body, b.body)


def report_media(walk: Walk, a: Content, b: Content) -> None:
    """The bodies are of different kinds, by their media types."""
    one, two = (walk.redactor.by_shape(side.media) or "no media type" for side in (a, b))
    walk.report("type", "body", lambda: cut(one), lambda: cut(two))


def _sized(answer: Answer) -> tuple[int, bytes] | None:
    """Length and digest of the whole body; None if it was not read to its end."""
    if not answer.truncated:
        return len(answer.body), hashlib.sha256(answer.body).digest()
    return (answer.size, answer.digest) if answer.digest else None


def _charset(side: Content) -> Charset | str:
    """What else than its bytes says what a body is: its charset, or the boundary between its parts."""
    if side.reader == "multipart":
        return side.boundary
    return charset_of(side.body, side.charset, side.media) if side.reader not in ("image", "bytes") else ""


def _whole(legacy: Answer, candidate: Answer) -> bytes:
    return candidate.body if legacy.truncated else legacy.body


def _cut(legacy: Answer, candidate: Answer) -> bytes:
    return legacy.body if legacy.truncated else candidate.body


def _shown(sized: tuple[int, bytes], walk: Walk) -> str:
    return f"{sized[0]} bytes, {walk.redactor.digest(sized[1]) or f'sha256 {sized[1].hex()[:16]}…'}"


def _length(answer: Answer) -> str:
    return f"more than {len(answer.body)} bytes" if answer.truncated else f"{len(answer.body)} bytes"
