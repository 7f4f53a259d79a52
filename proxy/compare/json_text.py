"""JSON that is not parsed: broken, cut off, or too long to be worth it.

Law: one pass over the tokens; any text is taken. What stands under a secret name is masked however deep it stands; what
is left out is left out at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import orjson

from proxy.compare.decode import legible
from proxy.compare.secret_names import Secret

_TOKEN = re.compile(
    r'"([^"\\]*+(?:\\.[^"\\]*+)*+)("?)|([{}\[\],:])|([^\s"{}\[\],:]+)|\s+', re.DOTALL
)  # every character is in one of these


_BEGINS = frozenset('"-0123456789tfn')
"""With one of these every JSON scalar begins."""


class Redacts(Protocol):
    """What is needed of a redactor."""

    def below(self, key: str, secret: Secret, *holders: Mapping[str, Any]) -> Secret:
        """Whether what stands under a key is secret."""

    def mask(self, value: Any) -> str:
        """What is shown instead."""

    def text(self, value: str, secret: Secret) -> str:
        """A text, redacted; what is in it by its shape only."""

    def scalar(self, value: Any, *, secret: Secret) -> Any:
        """A scalar, redacted."""

    def key_of(self, key: str, *, secret: Secret) -> str:
        """A member's name, redacted."""


class _Level:
    __slots__ = ("holder", "in_object", "key", "secret", "wants_key")

    def __init__(self, secret: Secret, *, in_object: bool) -> None:
        self.secret = secret
        self.in_object = self.wants_key = in_object
        self.key = ""
        self.holder: dict[str, Any] = {}

    def of_value(self, redactor: Redacts) -> Secret:
        """What is said of the value that comes now."""
        return redactor.below(self.key, self.secret, self.holder) if self.in_object else self.secret


def json_text(text: str, redactor: Redacts, room: int, *, pretty: bool = False, secret: Secret = False) -> str:
    """The redacted text, ``room`` characters of it or a little more. ``pretty``: in lines of two spaces per level,
    otherwise as it is written."""
    out: list[str] = []
    levels = [_Level(secret, in_object=False)]
    size = 0
    for token in _TOKEN.finditer(text):
        if size > room:
            break
        if (sign := token[3]) is not None:
            piece = _sign(sign, levels, redactor, pretty=pretty, empty=bool(out) and out[-1] in ("{", "["))
        elif token[1] is None and token[4] is None:
            if pretty:
                continue
            piece = token[0]
        else:
            piece = _word(token, levels[-1], redactor)
            if pretty and out and out[-1][-1:] in ("{", "["):
                piece = _line(levels) + piece
        out.append(piece)
        size += len(piece)
    return "".join(out)


def _line(levels: list[_Level]) -> str:
    return "\n" + "  " * min(len(levels) - 1, 100)


def _sign(sign: str, levels: list[_Level], redactor: Redacts, *, pretty: bool, empty: bool) -> str:
    level = levels[-1]
    before = after = ""
    if sign in "{[":
        before = _line(levels) if empty and pretty else ""
        levels.append(_Level(level.of_value(redactor), in_object=sign == "{"))
    elif sign in "}]":
        if len(levels) > 1:
            levels.pop()
        before = "" if empty or not pretty else _line(levels)
    elif sign == ",":
        level.wants_key = level.in_object
        after = _line(levels) if pretty else ""
    else:
        level.wants_key = False
        after = " " if pretty else ""
    return before + sign + after


def _word(token: re.Match[str], level: _Level, redactor: Redacts) -> str:
    """A string, number or bare word: a key or a value."""
    value: Any = token[1] if token[1] is not None else token[4]
    whole = False
    if token[0][0] in _BEGINS:
        with suppress(orjson.JSONDecodeError):
            value, whole = orjson.loads(token[0]), True
    if level.wants_key:
        level.key = str(value)
        shown = redactor.key_of(level.key, secret=level.secret)
        return token[0] if shown == level.key else _quoted(shown)
    secret = level.of_value(redactor)
    if type(value) is str:
        level.holder[level.key] = value
    # Each level of JSON in a string doubles its backslashes, so only whole strings end by themselves.
    shown = redactor.scalar(value, secret=secret) if whole else redactor.text(value, secret)
    return token[0] if shown is value or shown == value else _quoted(shown)


def _quoted(text: str) -> str:
    return orjson.dumps(legible(text)).decode()
