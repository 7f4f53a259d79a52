"""JSON that is not parsed: broken, cut off, or too long to be worth it.

Law: one pass over the tokens; any text is taken. What stands under a secret name is masked however deep it stands; what
is left out is left out at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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

_PAIR = 3
"""Items of a list that are looked at: two of them may be a name and its value."""
_LONGEST = 400
"""Characters of a text that may be a name, as it is written."""

_Names = dict[str, Any] | list[Any] | None


class Redacts(Protocol):
    """What is needed of a redactor."""

    def below(self, key: str, secret: Secret, *holders: Mapping[str, Any]) -> Secret:
        """Whether what stands under a key is secret."""

    def behind(self, secret: Secret, *lists: Sequence[Any]) -> Secret:
        """Whether what stands behind a list's first item is secret."""

    def mask(self, value: Any) -> str:
        """What is shown instead."""

    def text(self, value: str, secret: Secret) -> str:
        """A text, redacted; what is in it by its shape only."""

    def scalar(self, value: Any, *, secret: Secret) -> Any:
        """A scalar, redacted."""

    def key_of(self, key: str, *, secret: Secret) -> str:
        """A member's name, redacted."""


class _Level:
    """An object or list that is open, and what is in it that may be names: of an object the texts of its members, of a
    list the first of its items."""

    __slots__ = ("at", "holder", "in_object", "items", "key", "secret", "wants_key")

    def __init__(self, secret: Secret, names: _Names, *, in_object: bool) -> None:
        self.secret = secret
        self.in_object = self.wants_key = in_object
        self.key = ""
        self.at = 0
        self.holder = names if type(names) is dict else {}
        self.items = names if type(names) is list else []

    def of_value(self, redactor: Redacts) -> Secret:
        """What is said of the value that comes now."""
        if self.in_object:
            return redactor.below(self.key, self.secret, self.holder)
        return redactor.behind(self.secret, self.items) if self.at else self.secret

    def takes(self, sign: str) -> None:
        """A comma or a colon."""
        self.at += sign == ","
        self.wants_key = self.in_object and sign == ","


def json_text(text: str, redactor: Redacts, room: int, *, pretty: bool = False, secret: Secret = False) -> str:
    """The redacted text, ``room`` characters of it or a little more. ``pretty``: in lines of two spaces per level,
    otherwise as it is written."""
    out: list[str] = []
    known = _names(text[: 2 * room])
    levels = [_Level(secret, None, in_object=False)]
    size = 0
    for token in _TOKEN.finditer(text):
        if size > room:
            break
        if (sign := token[3]) is not None:
            piece = _sign(sign, levels, known, redactor, pretty=pretty, empty=bool(out) and out[-1] in ("{", "["))
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


def _names(text: str) -> Iterator[_Names]:
    """What may be names, of the objects and lists of a text in the order in which these begin: a name may stand behind
    its value, and a list of two is known at its end."""
    found: list[_Names] = [None]
    levels = [(0, _Level(False, None, in_object=False))]
    for token in _TOKEN.finditer(text):
        place, level = levels[-1]
        word = token[1] if token[1] is not None else token[4]
        if (sign := token[3]) is None:
            if word is None:
                continue
            if level.wants_key:
                level.key = _plain(token, word)
                continue
        elif sign in ",:":
            level.takes(sign)
            continue
        elif sign in "]}":
            del levels[max(1, len(levels) - 1) :]
            continue
        name = _plain(token, word) if token[1] is not None and len(token[1]) <= _LONGEST else None
        names = found[place]
        if type(names) is list:
            if len(names) < _PAIR:
                names.append(name)
        elif name is not None:
            if level.in_object:
                members = names if type(names) is dict else {}
                members.setdefault(level.key, []).append(name)
                found[place] = members
            elif not level.at and place:
                found[place] = [name]
        if sign is not None:
            levels.append((len(found), _Level(False, None, in_object=sign == "{")))
            found.append(None)
    return iter(found[1:])


def _plain(token: re.Match[str], word: str) -> str:
    """A word without its escapes, as far as they can be read."""
    if "\\" in word:
        with suppress(orjson.JSONDecodeError):
            return str(orjson.loads(token[0]))
    return word


def _line(levels: list[_Level]) -> str:
    return "\n" + "  " * min(len(levels) - 1, 100)


def _sign(
    sign: str, levels: list[_Level], known: Iterator[_Names], redactor: Redacts, *, pretty: bool, empty: bool
) -> str:
    level = levels[-1]
    before = after = ""
    if sign in "{[":
        before = _line(levels) if empty and pretty else ""
        levels.append(_Level(level.of_value(redactor), next(known, None), in_object=sign == "{"))
    elif sign in "}]":
        if len(levels) > 1:
            levels.pop()
        before = "" if empty or not pretty else _line(levels)
    else:
        level.takes(sign)
        after = "" if not pretty else _line(levels) if sign == "," else " "
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
    # Each level of JSON in a string doubles its backslashes, so only whole strings end by themselves.
    shown = redactor.scalar(value, secret=secret) if whole else redactor.text(value, secret)
    return token[0] if shown is value or shown == value else _quoted(shown)


def _quoted(text: str) -> str:
    return orjson.dumps(legible(text)).decode()
