"""Comma- and tab-separated values (RFC 4180) as documents for the walk.

Law: line endings and the quoting of comma-separated values do not matter, every field and its place do. Rows are
objects if the first row of both sides is a header, lists otherwise; what is no well-formed table is not read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any

from proxy.compare.result import Budget, Incomparable
from proxy.compare.secret_names import Secret

_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++")
_QUOTED = re.compile(r'"[^"]*(?:"|\Z)')
_FIRST = re.compile(r"[\r\n]")
_LABEL = re.compile(r"[^\W\d].{0,79}", re.DOTALL)
MORE = "#more"
"""The fields of a row beyond its header."""

_HIDDEN = "#secret"
"""Where the walk sees that a whole table is secret."""

_WORD = re.compile(r"[^\W\d]\D{0,79}")
"""A name, where something made would have digits."""


class NotATableError(ValueError):
    """The text is not a table: a quote is not closed, or stands where none may stand."""


Table = list[list[str]]
"""The rows of a table."""


def header(table: Table) -> list[str] | None:
    """The names of the columns; None if the first row does not look like any. Of two columns of one name the second is
    ``name #2``."""
    if not table or not table[0] or not all(_LABEL.fullmatch(name) for name in table[0]):
        return None
    names: dict[str, None] = {}
    for name in table[0]:
        other, number = name, 1
        while other in names:
            number += 1
            other = f"{name} #{number}"
        names[other] = None
    return list(names)


def separator_of(text: str) -> str:
    """What separates the fields of a table that says it is comma-separated: the comma, unless its first line has none
    and another usual sign instead."""
    first = _FIRST.split(_QUOTED.sub("", text[:4096]), maxsplit=1)[0]
    if "," in first:
        return ","
    return ";" if ";" in first else "\t" if "\t" in first else ","


def parse_table(text: str, separator: str, budget: Budget, *, quoted: bool = True) -> Table:
    """Read a table; with ``quoted`` false quotes are characters like others, as in ``text/tab-separated-values``.

    Raises NotATableError and Incomparable ("too-many-nodes").
    """
    if text.count(separator) + _ends(text) > budget.nodes:
        raise Incomparable("too-many-nodes")
    lines = (match[0] for match in _LINE.finditer(text))
    try:
        if quoted:
            return list(csv.reader(lines, delimiter=separator, strict=True))
        return list(csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE))
    except csv.Error as error:
        raise NotATableError(str(error)) from None


def _ends(text: str) -> int:
    """How many ends of lines there are."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def table_documents(legacy: Table, candidate: Table, is_secret: Callable[[str], Secret]) -> tuple[Any, Any]:
    """Both tables as lists of rows; hidden whole if one begins with what ``is_secret`` says is a secret's name, and its
    value."""
    if _begins_with_a_secret(legacy, is_secret) or _begins_with_a_secret(candidate, is_secret):
        return {_HIDDEN: legacy}, {_HIDDEN: candidate}
    one, two = header(legacy), header(candidate)
    if one is None or two is None or not (_shows(legacy, one, two) and _shows(candidate, two, one)):
        return legacy, candidate
    if sorted(one) == sorted(two) and sorted(legacy[0]) != sorted(candidate[0]):
        return legacy, candidate  # a second column of one name, and one that is called so
    return _objects(legacy, one), _objects(candidate, two)


def _begins_with_a_secret(table: Table, is_secret: Callable[[str], Secret]) -> bool:
    """Whether the first row looks like a secret's name and its value, not like the names of two columns: for the others
    look like names and their values, too."""
    if not table or len(table[0]) != 2 or not is_secret(table[0][0]):
        return False
    return all(row and _WORD.fullmatch(row[0]) for row in table[1:])


def _shows(table: Table, own: list[str], other: list[str]) -> bool:
    """Whether each column that only this table has is seen in some row."""
    longest = max(map(len, table[1:]), default=0)
    return set(own[longest:]) <= set(other)


def same_columns_in_another_order(legacy: Table, candidate: Table) -> bool:
    """Whether both have a header of the same names in another order."""
    if header(legacy) is None or header(candidate) is None:
        return False
    return legacy[0] != candidate[0] and sorted(legacy[0]) == sorted(candidate[0])


def _objects(table: Table, names: list[str]) -> list[Any]:
    objects: list[Any] = []
    for row in table[1:]:
        members: dict[str, Any] = dict(zip(names, row, strict=False))
        if len(row) > len(names):
            members[MORE] = row[len(names) :]
        objects.append(members)
    return objects
