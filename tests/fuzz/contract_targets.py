"""Contracts that changed on purpose, and candidates that may say more or other: renames, subset and schema.

Law: what the contract says is no mismatch; one change beyond it is one, and its place is named.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.paths import MAX_MEMBERS
from proxy.config.comparing import Compare
from proxy.messages import Answer
from tests.fuzz import documents
from tests.fuzz.codings import wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.documents import Num, Place
from tests.fuzz.oracles import Court, Finding, names_place
from tests.fuzz.selectors import Piece, Selector, matches, text

FRESH = "fresh-zq"


def renamed(court: Court, dice: Dice) -> None:
    """Members that have other names, or stand one deeper, in the candidate's answers."""
    document = documents.make(dice)
    named = [place for place in documents.places(document) if place and type(place[-1]) is str]
    if not named:
        return
    place = dice.pick(named)
    source: Selector = tuple(Piece(step if type(step) is str else None) for step in place)
    last: tuple[str, ...] = dice.pick((("moved",), ("moved", "inner")))
    target: Selector = (*source[:-1], *(Piece(name) for name in last))
    compare = Compare(rename={text(source): text(target)})
    moved = document
    for here in [place for place in documents.places(document) if matches(source, place)]:
        value = documents.at(moved, here)
        for name in reversed(last[1:]):
            value = {name: value}
        parent = {key: item for key, item in documents.at(moved, here[:-1]).items() if key != here[-1]}
        moved = documents.put(moved, here[:-1], {**parent, last[0]: value})
    _hold(court, dice, document, moved, (*place[:-1], *last), compare, "rename")


def subset(court: Court, dice: Dice) -> None:
    """The candidate says more than legacy: members are added anywhere."""
    document = documents.make(dice)
    more = document
    for place in documents.places(document):
        here = documents.at(document, place)
        if type(here) is dict and dice.chance(3):
            more = documents.put(more, place, {**documents.at(more, place), "more": documents.make(dice, 1)})
    leaves = [place for place in documents.places(document) if type(documents.at(document, place)) not in (dict, list)]
    if leaves:
        _hold(court, dice, document, more, dice.pick(leaves), Compare(mode="subset"), "subset")


def schema(court: Court, dice: Dice) -> None:
    """Values may be others of the same type; names and types may not. (Where an object is a map its names are data, and
    a list's items share one shape, so that a member more may be one more key: such documents are left out.)"""
    document = documents.make(dice)
    if any(type(here) is dict and len(here) > MAX_MEMBERS for here in _all(document)):
        return
    other = document
    leaves = [place for place in documents.places(document) if type(documents.at(document, place)) not in (dict, list)]
    for place in leaves:
        other = documents.put(other, place, _another(documents.at(document, place), dice))
    if leaves:
        _hold(court, dice, document, other, dice.pick(leaves), Compare(mode="schema"), "schema")


def _all(document: Any) -> list[Any]:
    return [documents.at(document, place) for place in documents.places(document)]


def _another(here: Any, dice: Dice) -> Any:
    if type(here) is Num:
        return Num(dice.pick((*documents.INTS, *documents.FRACTIONS)))
    if type(here) is str:
        return dice.pick(documents.STRINGS)
    return (not here) if type(here) is bool else here


def _hold(court: Court, dice: Dice, legacy: Any, candidate: Any, place: Place, compare: Compare, what: str) -> None:
    def answered(document: Any) -> Answer:
        return wrapped(documents.write(document, dice).encode(), b"application/json", dice, codings=0)

    one, two = answered(legacy), answered(candidate)
    result = court.ask(one, two, compare)
    if result.verdict == "mismatched":
        raise Finding(f"{what}: a false mismatch", repr(result.differences)[:1500], pair=(one, two), compare=compare)
    broken = documents.put(candidate, place, {FRESH: Num("1")})
    if documents.write(broken) == documents.write(legacy):
        return  # equal answers match under any rules
    three = answered(broken)
    result = court.ask(one, three, compare)
    evidence = {"pair": (one, three), "compare": compare, "place": place}
    if result.verdict in ("matched", "ignored"):
        raise Finding(f"{what}: a change beyond it is {result.verdict}", repr(place), **evidence)
    if result.verdict == "mismatched" and not names_place(result, [place]):
        raise Finding(f"{what}: the place of a change is not named", f"{place}: {result}"[:1500], **evidence)
