"""A body as it may be stored.

Law: linear in what is stored, whatever the bytes are; never raises. What has a structure is redacted by it (JSON,
forms, parts, rows, events, markup), other text by shape; what is not text is never stored, only its length and digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any
from urllib.parse import unquote_plus

import orjson

from proxy.compare.decode import content_type, decode_body, legible, to_text
from proxy.compare.document import (
    DuplicateKeyError,
    NotJsonError,
    Number,
    has_duplicate_keys,
    is_risky,
    parse_json,
)
from proxy.compare.json_text import json_text
from proxy.compare.redact import Redactor
from proxy.compare.redact_fields import form, headers
from proxy.compare.result import Budget, Incomparable
from proxy.compare.secret_names import Secret, held
from proxy.compare.verdict import family
from proxy.messages import Fields

MAX_STORED_BODY = 64 * 1024
"""Characters of one body in a record; the rest is cut off, which the record says."""

MAX_STORED_PARTS = 100
_LONGEST_NAME = 257
"""Bytes of a part that may be the name of what is in another one; with one more it is none."""

_PARSED = 4 * MAX_STORED_BODY
"""Bytes of JSON that are worth parsing for a record; longer documents are read only as far as they are stored."""

_LOOKED_AT = MAX_STORED_BODY + 16 * 1024
"""Characters of a text that are redacted. Masks are shorter than most of what they hide."""

_BROKEN_OFF = 4096
"""Characters at the end of a redacted text that was cut before: half a secret has lost its shape."""

_READ_AT_MOST = 4 * 1024 * 1024
_OPEN_DIGEST_FROM = 4096
"""Bytes from which on a body's SHA-256 is stored: that of a short one would tell its content to whoever tries. Under
the redactor's key all have a digest."""

_NAME = re.compile(r"""(?i)[;\s]name(?:\*=[\w-]*'[\w-]*')?\s*=?\s*(?:"((?:[^"\\]|\\.)*)|([^";\s]*))""")
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq"})
_TABLES = frozenset({"text/csv", "application/csv", "text/tab-separated-values"})
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_SECTION = re.compile(r"\s*\[[\w .:/-]{1,100}\][ \t]*(?:\r?\n|\Z)")
"""The first line of an INI file is no JSON."""

_UNTIL_BLANK = re.compile(rb"\r?\n\r?\n")


def body(
    raw: bytes, fields: Fields, budget: Budget, redactor: Redactor, *, truncated: bool = False, size: int = 0
) -> dict[str, Any]:
    """A body: ``kind`` ("none", "json", "text", "form", "multipart", "bytes"), ``bytes`` (as it came), ``size`` (of the
    whole body, which may be longer than what came; None if nobody knows), ``text`` (redacted, None if it is not text),
    ``cut``; ``digest`` (under the redactor's key) of what is not text, or whose text is not stored to its end: of the
    whole redacted document or else of the decoded bytes; and of long bytes ``sha256``."""
    made = _body(raw, fields, budget, redactor, truncated=truncated)
    made["size"] = len(raw) if not truncated else size or None
    if made["cut"] and made["kind"] != "bytes" and not truncated:
        made.setdefault("digest", redactor.digest(decode_body(raw, fields, budget)[0]))
    return made


def _body(raw: bytes, fields: Fields, budget: Budget, redactor: Redactor, *, truncated: bool) -> dict[str, Any]:
    if not raw:
        return {"kind": "none", "bytes": 0, "text": "", "cut": truncated}
    media, charset, boundary = content_type(fields)
    try:
        data, known = decode_body(raw, fields, budget)
    except Incomparable:
        data, known = raw, False
    if not known or len(data) > _READ_AT_MOST:
        return _opaque(raw, redactor, truncated=truncated)
    kind: str = family(media)
    if media == "multipart/form-data" and boundary:
        return _stored("multipart", multipart(data, boundary, budget, redactor), raw, truncated=truncated)
    if media in _LINES:
        kind = "text"
    elif kind == "bytes" and media in ("", "text/json") and data.lstrip()[:1] in (b"{", b"["):
        kind = "json"  # no media type, but plainly JSON
    if kind == "json":
        document = json_document(data, budget, redactor) if len(data) <= _PARSED and not truncated else None
        if document is not None:
            text = _dump(document[0])
            stored = _stored("json", text, raw, truncated=False)
            return {**stored, "digest": redactor.digest(text.encode())} if stored["cut"] else stored
        pretty = len(data) > _PARSED
        made = _redacted(to_text(data, charset), lambda text: json_text(text, redactor, _LOOKED_AT, pretty=pretty))
        return _stored("json" if pretty else "text", redactor.by_shape(made[0]), raw, truncated=truncated or made[1])
    if kind == "form":
        made = _redacted(to_text(data, charset), lambda text: form(text, redactor))
        return _stored("form", made[0], raw, truncated=truncated or made[1])
    if kind == "text" or (media == "" and _looks_like_text(data)):
        return _text(to_text(data, charset), media, raw, redactor, truncated=truncated)
    return _opaque(raw, redactor, truncated=truncated)


def json_document(data: bytes, budget: Budget, redactor: Redactor) -> tuple[Any] | None:
    """The redacted document, wrapped because null is one; None if the body is not JSON within the budget, is nested
    too deep, or says one name twice, of which a document would keep the last only."""
    try:
        document = parse_json(data, budget, guarded=is_risky(data))
        if has_duplicate_keys(data, document, budget):
            return None
    except (NotJsonError, DuplicateKeyError, Incomparable):
        return None
    return (json_value(document, redactor),)


def json_value(value: Any, redactor: Redactor, secret: Secret = False) -> Any:
    """A parsed document with every secret masked: below a secret name every scalar, elsewhere by shape."""
    if type(value) is dict:
        return {
            redactor.key_of(key, secret=secret): json_value(item, redactor, redactor.below(key, secret, value))
            for key, item in value.items()
        }
    if type(value) is list:
        if len(value) == 2:
            behind = redactor.behind(secret, value)
            return [json_value(value[0], redactor, secret), json_value(value[1], redactor, behind)]
        return [json_value(item, redactor, secret) for item in value]
    return redactor.scalar(value, secret=secret)


def multipart(data: bytes, boundary: str, budget: Budget, redactor: Redactor) -> str:
    """A multipart/form-data body, part by part (RFC 7578), as text; files only by length and digest."""
    parts: list[tuple[str, bytes, bytes]] = []
    for part in data.split(b"--" + boundary.encode("latin-1", "replace"))[1 : MAX_STORED_PARTS + 1]:
        if part.startswith(b"--"):
            break
        head, content = [*_UNTIL_BLANK.split(part, 1), b""][:2]
        named = _NAME.search(head.decode("utf-8", "replace"))
        name = unquote_plus(named[1] if named[1] is not None else named[2]) if named else ""
        parts.append((name, head, content.removesuffix(b"\n").removesuffix(b"\r")))
    holder: dict[str, list[str]] = {}
    for name, _, content in parts:
        holder.setdefault(name, []).append(content[:_LONGEST_NAME].decode("utf-8", "replace"))
    lines: list[str] = []
    room = MAX_STORED_BODY
    for name, head, content in parts:
        shown, text = _part(head, content, redactor.below(name, False, holder), budget, redactor)
        lines += [*shown, "", text, ""]
        room -= len(text)
        if room < 0:
            break
    return "\n".join(lines)


def _part(head: bytes, content: bytes, secret: Secret, budget: Budget, redactor: Redactor) -> tuple[list[str], str]:
    """The header fields and the content of a part; ``secret``: what its name says of it."""
    fields: Fields = [
        (name.strip(), value.strip())
        for name, sign, value in (line.partition(b":") for line in head.splitlines())
        if sign
    ]
    if secret:
        text = redactor.mask(content)
    elif not content_type(fields)[0] and b"filename" not in head.lower() and _looks_like_text(content):
        value = to_text(content, "")
        text = value if secret is None else _redacted(value, lambda text: redactor.scalar(text, secret=False))[0]
    else:
        stored = body(content, fields, budget, redactor)
        text = stored["text"] if stored["text"] is not None else f"{len(content)} bytes, {_told(stored)}"
    return [f"{name}: {value}" for name, value in headers(fields, redactor)], text


def _told(stored: dict[str, Any]) -> str:
    return f"digest {stored['digest']}" if stored["digest"] else f"sha256 {stored.get('sha256', 'not shown')}"


def _text(text: str, media: str, raw: bytes, redactor: Redactor, *, truncated: bool) -> dict[str, Any]:
    """Text, by its structure and by shape."""

    def redact(text: str) -> str:
        if media in _LINES:
            text = "\n".join(_json_line(line, redactor) for line in text.split("\n"))
        elif media == "text/event-stream":
            text = "\n".join(_events(text.split("\n"), redactor))
        elif media in _TABLES:
            text = table(text, redactor)
        elif text.lstrip()[:1] in ("{", "[") and _SECTION.match(text) is None:
            text = json_text(text, redactor, _LOOKED_AT)
        return redactor.by_shape(text)

    shown, cut = _redacted(text, redact)
    return _stored("text", shown, raw, truncated=truncated or cut)


def _redacted(text: str, redact: Callable[[str], str]) -> tuple[str, bool]:
    """The beginning of a text, redacted, and whether the text is longer."""
    if len(text) <= _LOOKED_AT:
        return redact(text), False
    return redact(text[:_LOOKED_AT])[:-_BROKEN_OFF], True


def _json_line(line: str, redactor: Redactor) -> str:
    """One document of several (NDJSON; RFC 7464 puts a sign before each)."""
    content = line.lstrip("\x1e \t")
    if content[:1] in ("{", "["):
        return line[: len(line) - len(content)] + json_text(content, redactor, _LOOKED_AT)
    return line


def _events(lines: list[str], redactor: Redactor) -> Iterator[str]:
    """An event stream; the data of an event may be JSON, also in several lines."""
    for is_data, event in groupby(lines, lambda line: line.startswith("data:")):
        if is_data:
            data = list(event)
            begin = "data: " if all(line.startswith("data: ") for line in data) else "data:"
            shown = _json_line("\n".join(line[len(begin) :] for line in data), redactor)
            yield from (begin + line for line in shown.split("\n"))
            continue
        for line in event:
            field, sign, value = line.partition(":")
            yield f"{field}: {redactor.mask(value.strip())}" if sign and redactor.is_secret(field) else line


def table(text: str, redactor: Redactor) -> str:
    """Rows of cells; those of a column with a secret name in the first row are masked, and what stands in a row beside
    such a name."""
    heads: list[str] = []
    secrets: list[Secret] = []
    spilling = holds = False
    out: list[str] = []
    row: list[tuple[str, str]] = []
    sign = max(",;\t", key=text.partition("\n")[0].count)
    for match in _cells(sign).finditer(text):
        row.append((match[1], match[2]))
        if match[2] == sign:
            continue
        named, behind = secrets, False
        if holds:
            holder = {head: _bare(cell) for head, (cell, _) in zip(heads, row, strict=False)}
            named = [redactor.below(head, False, holder) for head in heads]
        if len(row) == 2:
            behind = bool(redactor.behind(False, [_bare(cell).strip() for cell, _ in row]))
        for at, (cell, end) in enumerate(row):
            secret = (at < len(named) and named[at]) or (at and behind) or (spilling and _spills(cell, sign))
            out += [redactor.mask(_bare(cell)) if secret and cell.strip() else cell, end]
        if not heads:
            heads = [_bare(cell.lstrip("\ufeff")).strip() for cell, _ in row]
            secrets = [redactor.is_secret(head) for head in heads]
            spilling, holds = any(secrets), any(map(held, heads))
        row = []
        if not match[2]:
            break
    return "".join(out)


def _spills(cell: str, sign: str) -> bool:
    """Whether a quoted cell may be several: its quote is none, as in tab-separated values, or does not
    end where the cell does."""
    if not cell.startswith('"') or (sign not in cell and "\n" not in cell):
        return False
    return sign == "\t" or _QUOTED.fullmatch(cell) is None


def _cells(sign: str) -> re.Pattern[str]:
    return re.compile(rf'("(?:[^"]|"")*+"?[^{sign}\n]*|[^{sign}\n]*)([{sign}\n]|\Z)')


def _bare(cell: str) -> str:
    """A cell without its quotes; blanks around what has none belong to it (RFC 4180 section 2)."""
    quoted = cell.strip()
    return quoted[1:].removesuffix('"').replace('""', '"') if quoted.startswith('"') else cell.removesuffix("\r")


def _stored(kind: str, text: str, raw: bytes, *, truncated: bool) -> dict[str, Any]:
    text = legible(text)
    return {
        "kind": kind,
        "bytes": len(raw),
        "text": text[:MAX_STORED_BODY],
        "cut": truncated or len(text) > MAX_STORED_BODY,
    }


def _opaque(raw: bytes, redactor: Redactor, *, truncated: bool) -> dict[str, Any]:
    made = {"kind": "bytes", "bytes": len(raw), "text": None, "cut": truncated, "digest": redactor.digest(raw)}
    if len(raw) >= _OPEN_DIGEST_FROM:
        made["sha256"] = hashlib.sha256(raw).hexdigest()
    return made


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
