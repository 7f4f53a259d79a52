"""Paths into JSON documents: what rules name, and what differences are reported at.

Law: a path is a tuple of steps, read once when rules are compiled; a name matches whole or not at all. What
``template`` writes, ``parse_path`` reads back.

The language is a small part of RFC 9535: ``$``, ``.name``, ``['name']``, ``[3]``, ``[*]`` and ``.*`` (any child),
``..name`` and ``..*`` (at any depth below). Names as XML and HTML trees have them (``@id``, ``#text``) need no quotes.
"""

from __future__ import annotations

import re
from types import NoneType
from typing import Any, NamedTuple

from proxy.compare.document import Number

_NAME = re.compile(r"[^\W\d][\w@$#-]*|[@$#_][\w@$#-]*")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_INDEX = re.compile(r"\d{1,9}")
_SLICE = re.compile(r"\s*-?\d*\s*:[-\d\s:]*")
_FROM_THE_END = re.compile(r"\s*-\s*\d+\s*")
_ESCAPED = re.compile(r"\\(.)")


class Step(NamedTuple):
    """One step down. ``name`` is a member, ``position`` an item; neither is any child. ``deep``: at any depth below."""

    name: str | None = None
    position: int | None = None
    deep: bool = False

    @property
    def wild(self) -> bool:
        """Whether it is any child."""
        return self.name is None and self.position is None


EVERYTHING: tuple[tuple[Step, ...], ...] = ((), (Step(),), (Step(deep=True),))
"""Paths beside which nothing of a document is left."""


def parse_path(text: str) -> tuple[Step, ...]:
    """Read a path such as ``$.items[*].price``; ``$`` alone is the whole document.

    Raises ValueError with the column (1-based) of the first fault.
    """
    if not text.startswith("$"):
        raise ValueError(f"a path begins with $ (column 1), like $.items[*].price: {text!r}")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        step, at = _step(text, at)
        steps.append(step)
    return tuple(steps)


def _step(text: str, at: int) -> tuple[Step, int]:
    deep = text.startswith("..", at)
    if deep:
        at += 2
    elif text[at] == ".":
        at += 1
    elif text[at] == "[":
        return _bracket(text, at, deep=False)
    else:
        raise _fault("expected '.' or '['", text, at)
    if deep and text.startswith("[", at):
        return _bracket(text, at, deep=True)
    if text.startswith("*", at):
        return Step(deep=deep), at + 1
    match = _NAME.match(text, at)
    if match is None:
        raise _fault("expected a name or '*' (a name with other characters is written ['so'])", text, at)
    return Step(name=match[0], deep=deep), match.end()


def _bracket(text: str, at: int, *, deep: bool) -> tuple[Step, int]:
    inside = at + 1
    if text.startswith("*", inside):
        step, end = Step(deep=deep), inside + 1
    elif match := _QUOTED.match(text, inside):
        name = match[1] if match[1] is not None else match[2]
        step, end = Step(name=_ESCAPED.sub(r"\1", name), deep=deep), match.end()
    elif match := _INDEX.match(text, inside):
        step, end = Step(position=int(match[0]), deep=deep), match.end()
    else:
        raise _fault(_unknown(text, inside), text, inside)
    if not text.startswith("]", end):
        raise _fault(_unknown(text, inside) if text[end : end + 1] in (":", ",") else "expected ']'", text, end)
    return step, end + 1


def _unknown(text: str, inside: int) -> str:
    """What to say of a bracket that RFC 9535 may know and this language does not."""
    content = text[inside:].partition("]")[0]
    if _SLICE.fullmatch(content):
        return "a slice names no place that stays; write [*] or one position"
    if _FROM_THE_END.fullmatch(content):
        return "a position counts from the beginning of the list; write [0], [1] … or [*]"
    if content.startswith("?"):
        return "a filter is not accepted; write [*], and match the items by `unordered`"
    if "," in content:
        return "one position or name at a time; write a path for each"
    return "expected '*', a number or a quoted name after '['"


def _fault(what: str, text: str, at: int) -> ValueError:
    return ValueError(f"{what} at column {at + 1} of {text!r}")


MAX_MEMBERS = 50
"""An object with more members than this may be a map: its keys are data, not names."""
_MAX_FIELDS = 1000
"""With more than this it is one, whatever it holds: so telling costs little."""

_NUMBERS = frozenset({int, float, Number})

_PLAIN_KEY = re.compile(r"[@$#_]{0,2}[^\W\d_][\w .:/$#-]{0,99}")
_DATA_KEY = re.compile(r"\d{5}|^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|^(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}$")


def is_name(key: str) -> bool:
    """Whether a key looks like a field's name; ids, dates, hashes and long texts do not, and collapse to ``*``."""
    if not _PLAIN_KEY.fullmatch(key) or _DATA_KEY.search(key):
        return False
    return len(key) <= 40 or not any(c.isdigit() for c in key)


def is_map(members: dict[str, Any]) -> bool:
    """Whether an object is a map: it has very many members, and all say things of one type, or null. A record of many
    fields has several types, and each of its fields has a path of its own."""
    if not MAX_MEMBERS < len(members) <= _MAX_FIELDS:
        return len(members) > _MAX_FIELDS
    types = {float if kind in _NUMBERS else kind for kind in map(type, members.values())}
    return len(types - {NoneType}) < 2


def member(path: str, key: str) -> str:
    """The path template of member ``key`` below ``path``."""
    if not is_name(key):
        return path + ".*"
    if _NAME.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}['{key}']"
