"""Form data as documents for the walk: urlencoded and multipart.

Law: linear in the size of the bodies. The values of one name keep their order, the order of names says nothing; a name
that either side says twice is a list on both. A file is its name, its media type, its size and its digest.

A multipart body that is no form is the list of its parts.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from proxy.compare.charsets import distinct
from proxy.compare.result import Budget, Incomparable

_NAMED = re.compile(r'(?i)(?:^|[;\s])(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))')


class NotMultipartError(ValueError):
    """The body is not made of parts with the boundary that its media type names."""


def urlencoded_documents(legacy: str, candidate: str, budget: Budget) -> tuple[dict[str, Any], dict[str, Any]]:
    """``application/x-www-form-urlencoded``. Raises Incomparable ("too-many-nodes")."""
    return by_name(_fields(legacy, budget), _fields(candidate, budget))


def _fields(text: str, budget: Budget) -> list[tuple[str, Any]]:
    if text.count("&") > budget.nodes:
        raise Incomparable("too-many-nodes")
    fields: list[tuple[str, Any]] = []
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        fields.append((_plain(name), _plain(value)))
    return fields


def _plain(text: str) -> str:
    return distinct(unquote_plus(text, errors="surrogateescape"))


def by_name(legacy: list[tuple[str, Any]], candidate: list[tuple[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides' fields as objects; a name that comes twice on one of them is a list on both."""
    sides: list[dict[str, list[Any]]] = []
    for fields in (legacy, candidate):
        found: dict[str, list[Any]] = {}
        for name, value in fields:
            found.setdefault(name, []).append(value)
        sides.append(found)
    lists = {name for found in sides for name, values in found.items() if len(values) > 1}
    one, two = ({name: v if name in lists else v[0] for name, v in found.items()} for found in sides)
    return one, two


class Part(NamedTuple):
    """One part: its field name ('' if it has none), its file name (None if it is no file), its Content-Type as it
    stands, its other header fields and its content."""

    name: str
    filename: str | None
    media: str
    headers: dict[str, str]
    content: bytes


def parse_multipart(body: bytes, boundary: str, budget: Budget) -> list[Part]:
    """The parts of a body (RFC 2046 section 5.1, RFC 7578). Raises NotMultipartError and Incomparable
    ("too-many-nodes")."""
    mark = b"--" + boundary.encode("latin-1", "replace")
    if not boundary or not (body.startswith(mark) or b"\r\n" + mark in body):
        raise NotMultipartError("no boundary")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) > budget.nodes:
        raise Incomparable("too-many-nodes")
    parts: list[Part] = []
    for piece in pieces[1:]:
        behind, _, rest = piece.partition(b"\r\n")
        if behind.strip() not in (b"", b"--"):
            raise NotMultipartError("a line that only begins like the boundary")
        if behind.startswith(b"--"):
            return parts
        head, found, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if not found:
            raise NotMultipartError("a part without a head")
        parts.append(_part(head, content))
    raise NotMultipartError("the last boundary is missing")


def _part(head: bytes, content: bytes) -> Part:
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        raw, _, text = distinct(line.decode("utf-8", "surrogateescape")).partition(":")
        key, value = raw.strip().lower(), text.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    media = headers.pop("content-type", "")
    disposition = headers.pop("content-disposition", "")
    found: dict[str, str] = {}

    def take(match: re.Match[str]) -> str:
        key = match[1].lower()
        if key in found:
            return match[0]
        found[key] = match[2] if match[2] is not None else match[3]
        return ""

    beside = _NAMED.sub(take, disposition).strip("; \t")
    if beside.lower() not in ("", "form-data"):
        headers["content-disposition"] = beside  # whatever else it says, and what it says twice
    return Part(
        found.get("name", ""), found.get("filename"), media if ";" in media else media.lower(), headers, content
    )


def multipart_documents(legacy: list[Part], candidate: list[Part], *, form: bool) -> tuple[Any, Any]:
    """The documents of both sides' parts: those of a ``form`` by name if all have one, else in order."""
    if form and all(part.name for part in (*legacy, *candidate)):
        return by_name(*([(part.name, _content(part)) for part in side] for side in (legacy, candidate)))
    one, two = (
        [{"name": part.name, "part": _content(part)} if part.name else _content(part) for part in side]
        for side in (legacy, candidate)
    )
    return one, two


def _content(part: Part) -> Any:
    if part.filename is None and not part.headers and part.media in ("", "text/plain", "text/plain; charset=utf-8"):
        try:
            return part.content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    members: dict[str, Any] = {
        "type": part.media,
        "size": len(part.content),
        "digest": hashlib.sha256(part.content).hexdigest(),
    }
    if part.filename is not None:
        members["filename"] = part.filename
    if part.headers:
        members["headers"] = part.headers
    return members
