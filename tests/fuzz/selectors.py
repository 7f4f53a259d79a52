"""Paths of rules: made from places of a document, written as text, and matched without the product's help.

Law: shares no line with what it judges. ``matches`` follows RFC 9535 for the part of it that rules may use.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.fuzz.dice import Dice
from tests.fuzz.documents import Place


class Piece(NamedTuple):
    """One step: a name, a position, or (None) any child; ``deep``: at any depth below."""

    to: str | int | None
    deep: bool = False


Selector = tuple[Piece, ...]


def general(place: Place, dice: Dice, *, positions: bool) -> Selector:
    """A selector that names this place, and perhaps others. Without ``positions`` no item is told by its position."""
    pieces: list[Piece] = []
    for step in place:
        if type(step) is int:
            pieces.append(Piece(step if positions and dice.chance(3) else None))
        else:
            pieces.append(Piece(None if dice.chance(6) else step))
    if place and dice.chance(5):
        keep = 1 + dice.below(len(pieces))  # the last ones, at any depth
        pieces = [pieces[-keep]._replace(deep=True), *pieces[len(pieces) - keep + 1 :]]
    return tuple(pieces)


def text(selector: Selector) -> str:
    """The selector as it stands in YAML."""
    out = "$"
    for piece in selector:
        dots = ".." if piece.deep else ""
        if piece.to is None:
            out += f"{dots}[*]" if piece.deep else "[*]"
        elif type(piece.to) is int:
            out += f"{dots}[{piece.to}]"
        elif re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(piece.to)):
            out += f"{dots or '.'}{piece.to}"
        else:
            quoted = str(piece.to).replace("\\", "\\\\").replace("'", "\\'")
            out += f"{dots}['{quoted}']"
    return out


def matches(selector: Selector, place: Place) -> bool:
    """Whether the selector names exactly this place."""
    if not selector:
        return not place
    piece, rest = selector[0], selector[1:]
    starts = range(len(place)) if piece.deep else range(min(1, len(place)))
    return any((piece.to is None or piece.to == place[at]) and matches(rest, place[at + 1 :]) for at in starts)


def above(selector: Selector, place: Place) -> bool:
    """Whether the selector names this place or one that holds it."""
    return any(matches(selector, place[:length]) for length in range(len(place) + 1))
