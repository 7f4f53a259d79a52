"""Paths as routes write them, and paths that nobody may match.

Law: a path is compared segment by segment, as raw bytes, or percent-decoded once if it holds a ``%``. A path that two
parsers could read differently fits no pattern at all, so no rule can be walked around by spelling.

Three spellings in a route become one :class:`PathPattern`: ``path`` (a template), ``path_prefix`` and ``path_regex``.
A template without ``{name}`` is an exact path, or, with a trailing ``/**``, a prefix; so the same thing said in two
ways has the same rank, and lint can see the tie.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.config.model import Match
from proxy.core.regex import PathRegex

EXACT: Final = 4
TEMPLATE: Final = 3
PREFIX: Final = 2
REGEX: Final = 1
ANY: Final = 0
"""Kinds of a pattern, in order of precedence."""

_HEX: Final = rb"[0-9A-Fa-f]"
_find_ambiguity = re.compile(
    # Every alternative begins with one of four literals: the engine then skips other bytes at the speed of memchr.
    rb"//"  # empty segment: merged by some, kept by others
    rb"|/(?:\.|%2[eE]){1,2}(?:/|;|%3[bB]|\Z)"  # . and .., also encoded, also with parameters
    rb"|\\"  # a slash to some
    rb"|;"  # path parameters: cut off by servlet containers, kept by others
    rb"|%(?:2[fF]|5[cC]|00)"  # encoded slash, backslash, NUL
    rb"|%25(?:2[eEfF]|5[cC]|00)"  # the same, encoded twice
    rb"|%[cC][01]%[89aAbB]"  # overlong UTF-8 of an ASCII character
    rb"|%(?!" + _HEX + _HEX + rb")"  # not an escape at all
).search
# As numbers: `in` with bytes raises and clears an error inside CPython, and costs four times as much.
_PERCENT, _SEMICOLON, _BACKSLASH = b"%;\\"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def ambiguous(path: bytes) -> bool:
    """True for a path (without query) that two parsers could read differently; it never matches a route.

    Dot segments, double slashes, backslashes, ``;`` parameters, encoded slash, backslash or NUL (also encoded twice),
    overlong UTF-8, and ``%`` without two hex digits.
    """
    # What every alternative of the expression begins with; most paths hold none of it, and this is a third of the cost.
    if not (
        path.find(b"//") >= 0 or path.find(b"/.") >= 0 or _PERCENT in path or _SEMICOLON in path or _BACKSLASH in path
    ):
        return False
    return _find_ambiguity(path) is not None


def decoded(path: bytes) -> bytes:
    """The path that patterns are compared with: percent-decoded once (RFC 3986 section 2.1)."""
    return unquote_to_bytes(path) if _PERCENT in path else path


class PathPattern(NamedTuple):
    """One compiled path pattern. ``segments`` holds literals and None for ``{name}``.

    ``open`` says what may follow the segments: "" nothing, "any" any rest (also none), "some" a slash and any rest.
    """

    kind: int
    segments: tuple[bytes | None, ...] = ()
    open: str = ""
    regex: PathRegex | None = None
    text: str = ""

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Higher is more specific: kind, then literals, closed before open, segments; for a prefix its length."""
        if self.kind == TEMPLATE:
            literals = sum(segment is not None for segment in self.segments)
            return (TEMPLATE, literals, int(not self.open), len(self.segments))
        if self.kind == PREFIX:
            length = sum(len(segment or b"") + 1 for segment in self.segments) + (self.open == "some")
            return (PREFIX, length, 0, 0)
        return (self.kind, 0, 0, 0)


def path_pattern(match: Match) -> PathPattern:
    """The pattern of a route's ``match``. Raises ValueError with a message for people."""
    if match.path is not None:
        return parse_template(match.path)
    if match.path_prefix is not None:
        return _parse_prefix(match.path_prefix)
    if match.path_regex is not None:
        return PathPattern(REGEX, regex=PathRegex(match.path_regex), text=match.path_regex)
    return PathPattern(ANY)


def parse_template(text: str) -> PathPattern:
    """``/orders/{id}/**``: ``{name}`` is exactly one segment that is not empty, a trailing ``/**`` any rest.

    Raises ValueError with a message for people.
    """
    body, is_open = (text[:-3], "any") if text.endswith("/**") else (text, "")
    _check(text, body)
    segments: list[bytes | None] = []
    names: set[str] = set()
    for part in body.split("/")[1:]:
        if "{" not in part and "}" not in part:
            segments.append(_literal(text, part))
            continue
        name = part[1:-1]
        if not (part.startswith("{") and part.endswith("}") and _NAME.fullmatch(name)):
            raise ValueError(f"{text!r}: {part!r} is neither a plain segment nor a whole {{name}}")
        if name in names:
            raise ValueError(f"{text!r} names {{{name}}} twice")
        names.add(name)
        segments.append(None)
    without_names = PREFIX if is_open else EXACT
    kind = TEMPLATE if names else without_names
    return PathPattern(kind, tuple(segments), is_open, text=text)


def _parse_prefix(text: str) -> PathPattern:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r}: a prefix holds no {{name}}; write it as path: {text.rstrip('/')}/**")
    _check(text, text)
    parts = text.split("/")[1:]
    rest = "any"
    if parts[-1] == "":
        parts.pop()
        rest = "some" if parts else "any"  # "/" is every path
    return PathPattern(PREFIX, tuple(_literal(text, part) for part in parts), rest, text=text)


def _check(text: str, body: str) -> None:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} must begin with a slash")
    if "?" in text or "#" in text:
        raise ValueError(f"{text!r} holds more than a path; conditions on the query go to query:")
    if ambiguous(body.encode()):
        raise ValueError(f"{text!r} can never match: a path that could be read in two ways matches no route")


def _literal(text: str, part: str) -> bytes:
    if "*" in part:
        raise ValueError(f"{text!r}: '*' has no meaning here; {{name}} is one segment, /** at the very end any rest")
    return decoded(part.encode())
