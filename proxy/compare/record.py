"""A pair as it may be stored.

Law: everything in a record has been redacted, and its size is bounded. Bodies are decoded first, JSON is redacted
member by member, other text by shape; what is not text is never stored, only its length and digest.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import unquote

import orjson

from proxy.compare.decode import content_type, decode_body, to_text
from proxy.compare.document import DuplicateKeyError, NotJsonError, Number, is_risky, parse_json
from proxy.compare.redact import PLAIN
from proxy.compare.result import Budget, Incomparable, Result
from proxy.compare.verdict import family
from proxy.messages import Answer, Fields, Pair

MAX_STORED_BODY = 64 * 1024
"""Characters of one body in a record; the rest is cut off, which the record says."""

MAX_STORED_FIELDS = 100
MAX_STORED_VALUE = 8 * 1024
MAX_STORED_PARTS = 100
_MARGIN = 4096
_READ_AT_MOST = 4 * 1024 * 1024
_COOKIE = re.compile(r"\s*([^=;\s]{1,200})\s*=\s*([^;]*)")


def record(pair: Pair, result: Result, budget: Budget) -> dict[str, Any]:
    """The pair and what was found, as JSON values."""
    return {
        "request_id": PLAIN.by_shape(pair.request_id[:200]),
        "route": pair.route,
        "at": pair.at,
        "generation": pair.generation,
        "arm": pair.arm,
        "reason": pair.reason,
        "cohorts": pair.cohorts[:100],
        "request": {
            "method": pair.method[:32],
            "target": target(pair.target),
            "headers": headers(pair.fields),
            "body": body(pair.body, pair.fields, budget),
        },
        "legacy": answer(pair.legacy, budget),
        "candidate": answer(pair.candidate, budget),
        "verdict": result.verdict,
        "differences": [found._asdict() for found in result.differences],
        "more_differences": result.more,
    }


def answer(side: Answer, budget: Budget) -> dict[str, Any]:
    """One side of a pair."""
    return {
        "status": side.status,
        "failure": side.failure,
        "seconds": side.seconds,
        "headers": headers(side.fields),
        "body": body(side.body, side.fields, budget, truncated=side.truncated),
    }


def target(raw: bytes) -> str:
    """A request target: secret parameters masked, and what looks like a secret anywhere, percent-encoded or not."""
    text = raw[:MAX_STORED_VALUE].decode("utf-8", "replace")
    path, mark, query = text.partition("?")
    segments = "/".join(PLAIN.by_shape_encoded(segment) for segment in path.split("/"))
    return PLAIN.by_shape(segments) + mark + form(query)


def form(text: str) -> str:
    """``name=value&…`` with secret values masked; what is not masked keeps its spelling."""
    parts = []
    for part in text.split("&"):
        name, sign, value = part.partition("=")
        if PLAIN.is_secret(unquote(name)):
            parts.append(f"{name}{sign}{PLAIN.mask(value) if value else ''}")
        else:
            parts.append(f"{PLAIN.by_shape_encoded(name)}{sign}{PLAIN.by_shape_encoded(value)}")
    return PLAIN.by_shape("&".join(parts))


def headers(fields: Fields) -> list[list[str]]:
    """Header fields in order; of a secret one only that it was there, of cookies the names."""
    return [
        [name.decode("latin-1")[:200], header(name.decode("latin-1"), value.decode("utf-8", "replace"))]
        for name, value in fields[:MAX_STORED_FIELDS]
    ]


def header(name: str, value: str) -> str:
    """One field value, redacted."""
    value = value[:MAX_STORED_VALUE]
    lower = name.lower()
    if lower == "cookie":
        return "; ".join(_cookie(part) for part in value.split(";"))
    if lower == "set-cookie":
        first, sign, attributes = value.partition(";")
        return _cookie(first) + sign + PLAIN.by_shape(attributes)
    if PLAIN.is_secret(name):
        return PLAIN.mask(value)
    if lower in ("location", "referer", "content-location", "refresh", "link"):
        before, sign, query = value.partition("?")
        return PLAIN.by_shape(before) + sign + form(query)
    return PLAIN.by_shape(value)


def _cookie(text: str) -> str:
    match = _COOKIE.fullmatch(text)
    return f" {match[1]}={PLAIN.mask(match[2])}".lstrip() if match else PLAIN.mask(text)


def body(raw: bytes, fields: Fields, budget: Budget, *, truncated: bool = False) -> dict[str, Any]:
    """A body: ``kind`` ("none", "json", "text", "form", "multipart", "bytes"), ``bytes`` (as it came), ``text``
    (redacted, None if it is not text), ``cut``, and ``sha256`` of what is not text."""
    if not raw:
        return {"kind": "none", "bytes": 0, "text": "", "cut": truncated}
    media, charset, boundary = content_type(fields)
    try:
        data, known = decode_body(raw, fields, budget)
    except Incomparable:
        data, known = raw, False
    if not known or len(data) > _READ_AT_MOST:
        return _opaque(raw, truncated=truncated)
    kind: str = family(media)
    if kind == "bytes" and media == "multipart/form-data" and boundary:
        return _stored("multipart", multipart(data, boundary, budget), raw, truncated=truncated)
    if kind == "bytes" and media in ("", "text/json") and data.lstrip()[:1] in (b"{", b"["):
        kind = "json"  # no media type, but plainly JSON
    if kind == "json":
        document = json_document(data, budget)
        if document is not None:
            return _stored("json", _dump(document[0]), raw, truncated=truncated)
        kind = "text"
    if kind == "form":
        return _stored("form", form(to_text(data, charset)), raw, truncated=truncated)
    if kind == "text" or (media == "" and _looks_like_text(data)):
        return _stored_text(to_text(data, charset), raw, truncated=truncated)
    return _opaque(raw, truncated=truncated)


def json_document(data: bytes, budget: Budget) -> tuple[Any] | None:
    """The redacted document, wrapped because null is one; None if the body is not JSON within the budget."""
    try:
        return (json_value(parse_json(data, budget, guarded=is_risky(data))),)
    except (NotJsonError, DuplicateKeyError, Incomparable):
        return None


def json_value(value: Any, *, secret: bool = False) -> Any:
    """A parsed document with every secret masked: below a secret name every scalar, elsewhere by shape."""
    if type(value) is dict:
        named = secret or (type(value.get("name")) is str and PLAIN.is_secret(value["name"]))
        return {
            PLAIN.key_of(key, secret=secret): json_value(
                item, secret=secret or PLAIN.is_secret(key) or (named and key in ("value", "content"))
            )
            for key, item in value.items()
        }
    if type(value) is list:
        return [json_value(item, secret=secret) for item in value]
    return PLAIN.scalar(value, secret=secret)


def multipart(data: bytes, boundary: str, budget: Budget) -> str:
    """A multipart/form-data body, part by part (RFC 7578), as text; files only by length and digest."""
    lines: list[str] = []
    for part in data.split(b"--" + boundary.encode("latin-1", "replace"))[1 : MAX_STORED_PARTS + 1]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        fields: Fields = [
            (name.strip(), value.strip())
            for name, sign, value in (line.partition(b":") for line in head.split(b"\r\n"))
            if sign
        ]
        shown = [f"{name}: {value}" for name, value in headers(fields)]
        named = re.search(rb'(?i)[;\s]name="?([^";\r\n]*)', head)
        name = named[1].decode("utf-8", "replace") if named else ""
        is_file = re.search(rb"(?i)filename", head) is not None
        if PLAIN.is_secret(name):
            text = PLAIN.mask(content)
        elif not content_type(fields)[0] and not is_file and _looks_like_text(content):
            text = PLAIN.by_shape(content.decode("utf-8", "replace"))
        else:
            stored = body(content, fields, budget)
            text = stored["text"] if stored["text"] is not None else f"{len(content)} bytes, sha256 {stored['sha256']}"
        lines += [*shown, "", text, ""]
    return "\n".join(lines)


def _stored(kind: str, text: str, raw: bytes, *, truncated: bool) -> dict[str, Any]:
    text = text.encode("utf-8", "replace").decode()  # half surrogate pairs cannot be stored
    return {
        "kind": kind,
        "bytes": len(raw),
        "text": text[:MAX_STORED_BODY],
        "cut": truncated or len(text) > MAX_STORED_BODY,
    }


def _stored_text(text: str, raw: bytes, *, truncated: bool) -> dict[str, Any]:
    """Redact what can come to be stored and some more. What stands at the cut may be half a secret, which has lost its
    shape: it is left out."""
    begins = PLAIN.by_shape(text[: 4 * MAX_STORED_BODY])
    if len(text) > 4 * MAX_STORED_BODY:
        begins, truncated = begins[:-_MARGIN], True
    return _stored("text", begins, raw, truncated=truncated)


def _opaque(raw: bytes, *, truncated: bool) -> dict[str, Any]:
    digest = hashlib.sha256(raw).hexdigest()
    return {"kind": "bytes", "bytes": len(raw), "text": None, "cut": truncated, "sha256": digest}


def _looks_like_text(data: bytes) -> bool:
    try:
        return data[:MAX_STORED_BODY].decode("utf-8").isprintable() or b"\x00" not in data
    except UnicodeDecodeError:
        return False


def _dump(document: Any) -> str:
    def number(value: Any) -> orjson.Fragment:
        if isinstance(value, Number):
            return orjson.Fragment(value.written.encode())
        raise TypeError(type(value).__name__)

    return orjson.dumps(document, default=number, option=orjson.OPT_INDENT_2).decode()
