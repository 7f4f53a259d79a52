"""JSON documents: made, written in many ways that say the same, and changed in one place.

Law: ``write`` never changes what a document says, ``change`` always does, and names the places that it touched. Numbers
are kept as they are written, so that no digit is lost before the comparing begins.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.fuzz.dice import Dice

Place = tuple[str | int, ...]
"""Names and positions from the root of a document downwards."""


class Num(NamedTuple):
    """A number as it is written."""

    text: str


NAMES = (
    "a",
    "b",
    "id",
    "name",
    "items",
    "price",
    "total",
    "created_at",
    "x-y",
    "größe",
    "a b",
    "@type",
    "$ref",
    "status",
)
ODD_NAMES = (
    "", "2024-01-01", "17", "9f86d081-884c-4d65-9a2f-000000000000", "it's", 'q"q', "a.b", "[*]", "*", "\\",
    "\u0000", "é", "e\u0301", "\U0001f333", "k" * 120, "deadbeef01", "«masked»", "..", "true", "\u2028",
)  # fmt: skip
SECRET_NAMES = ("password", "apiKey", "X-Secret", "session_id", "csrf_token", "refresh-token", "clientSecret")
INTS = ("0", "1", "2", "-1", "7", "100", "100000", "1700000000", "-0", "9007199254740993", "9007199254740992",
    "18446744073709551615", "18446744073709551616", "123456789012345678901234567890",
    "123456789012345678901234567891", "-123456789012345678901234567890")  # fmt: skip
FRACTIONS = (
    "0.0", "1.0", "1.5", "-0.0", "0.1", "1.10", "3.14", "10.01", "1e5", "1E+5", "1e-7", "1e999", "1e998", "-1e999",
    "1e-999", "0.12345678901234567890", "0.12345678901234567891", "2.5e-3", "1e22", "1e23", "123456.789e3", "0e0",
    "5e-324",
)  # fmt: skip
STRINGS = (
    "", "a", "b", "ACTIVE", "active", "1", "1.0", "true", "null", "é", "e\u0301", "\U0001f333", "x" * 50,
    "line\nline", "tab\t", 'quote " and \\ back', "/", "\u0000", "\u2028", "\u007f", "[[[[", '{"a":1}', "a:b", " a",
    "a ", "2024-01-01T00:00:00Z", "9f86d081-884c-4d65-9a2f-000000000000", "http://h:1/x?y=1", "«masked text, 8»",
    "absent", "<b>&amp;</b>",
)  # fmt: skip
LETTERS = 'abcdefghij KLMN0123456789"\\/\néß\U0001f333'


def make(dice: Dice, depth: int = 4, secrets: list[str] | None = None) -> Any:
    """A document. With ``secrets``, some stand in it, under secret names or in a shape that tells them, and are added
    to the list."""
    kind = dice.below(8 if depth > 0 else 4)
    if kind < 4:
        return scalar(dice)
    if kind == 7 and dice.chance(8):
        return wide(dice)
    if kind < 6:
        members: dict[str, Any] = {}
        for _ in range(dice.below(6)):
            if secrets is not None and dice.chance(12):
                members[dice.pick(SECRET_NAMES)] = secret(dice, secrets)
            else:
                members[name(dice)] = make(dice, depth - 1, secrets)
        return members
    if dice.chance(2):
        return records(dice, depth - 1, secrets)
    return [make(dice, depth - 1, secrets) for _ in range(dice.below(6))]


def records(dice: Dice, depth: int, secrets: list[str] | None = None) -> list[Any]:
    """A list of objects of one shape, as services answer with."""
    fields = [name(dice) for _ in range(dice.below(4))]
    return [
        {"id": Num(str(number)), **{field: make(dice, depth - 1, secrets) for field in fields}}
        for number in range(dice.below(5))
    ]


def wide(dice: Dice) -> Any:
    """An object that is a map, or a long list: what is seen as one place has many."""
    size = dice.pick((51, 52, 70, 130))
    items = [scalar(dice) for _ in range(3)]
    if dice.chance(2):
        return {f"k{number}": items[number % 3] for number in range(size)}
    return [items[number * number % 3] for number in range(size)]


def name(dice: Dice) -> str:
    """A member's name, mostly an ordinary one."""
    return dice.pick(ODD_NAMES) if dice.chance(8) else dice.pick(NAMES)


def scalar(dice: Dice) -> Any:
    """Anything but a container."""
    kind = dice.below(6)
    if kind == 0:
        return Num(dice.pick(INTS) if dice.chance(3) else str(dice.below(100)))
    if kind == 1:
        return dice.pick(STRINGS)
    if kind == 2:
        return dice.pick((True, False, None))
    if kind == 3:
        return Num(dice.pick(FRACTIONS))
    if kind == 4:
        return Num(dice.text("123456789", 40) or "0")
    return dice.text(LETTERS, 12)


def secret(dice: Dice, secrets: list[str]) -> Any:
    """A value that may not be shown when it stands under a secret name; below it as well."""
    token = f"Zq{dice.text('abcdefghkmnpqrstuvwxyzQWRT', 24)}zQxqZ"
    secrets.append(token)
    return dice.pick((token, [token], {"deep": [token]}, {"x": {"y": token}}))


def write(value: Any, dice: Dice | None = None) -> str:
    """The document as JSON text; with ``dice`` in any spelling that says the same."""
    if type(value) is dict:
        members = list(value.items())
        if dice is not None:
            members = dice.shuffled(members) if len(members) < 40 else members[::-1]
        return (
            f"{{{_gap(dice)}"
            + ",".join(
                f"{_gap(dice)}{string(key, dice)}{_gap(dice)}:{_gap(dice)}{write(item, dice)}" for key, item in members
            )
            + f"{_gap(dice)}}}"
        )
    if type(value) is list:
        return f"[{_gap(dice)}" + f",{_gap(dice)}".join([write(item, dice) for item in value]) + f"{_gap(dice)}]"
    if type(value) is Num:
        return value.text if dice is None else _respelled(value.text, dice)
    return string(value, dice) if type(value) is str else json.dumps(value)


def _gap(dice: Dice | None) -> str:
    return "" if dice is None else dice.pick(("", "", "", " ", "\n  ", "\t", "\r\n"))


def string(text: str, dice: Dice | None = None) -> str:
    """A JSON string; with ``dice`` some characters are escaped that need not be."""
    if dice is None or dice.below(3):
        return json.dumps(text, ensure_ascii=dice is not None and dice.chance(2))
    out = []
    for c in text:
        if c in '"\\' or c < " " or dice.chance(4):
            units = c.encode("utf-16-be")
            out += [f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2)]
        elif c == "/" and dice.chance(2):
            out.append("\\/")
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def _respelled(text: str, dice: Dice) -> str:
    """The same number: of a fraction or exponent the digits may be moved; an integer has one spelling."""
    if "." in text and "e" not in text and "E" not in text:
        way = dice.below(4)
        if way == 1:
            return text + "0"
        if way == 2:
            return text + "e0"
        if way == 3:
            before, _, after = text.partition(".")
            return f"{before}.{after}E+00"
    elif "e" in text and dice.chance(3):
        before, _, after = text.partition("e")
        return f"{before}E{after}" if after.startswith("-") else f"{before}{'' if '.' in before else '.0'}e+{after}"
    return text


def places(value: Any, at: Place = ()) -> list[Place]:
    """Every place of a document, the root first."""
    found = [at]
    if type(value) is dict:
        for key, item in value.items():
            found += places(item, (*at, key))
    elif type(value) is list:
        for number, item in enumerate(value):
            found += places(item, (*at, number))
    return found


def at(value: Any, place: Place) -> Any:
    """What stands at a place."""
    for step in place:
        value = value[step]
    return value


def put(value: Any, place: Place, new: Any) -> Any:
    """The document with something else at a place; the one that was given stays as it is."""
    if not place:
        return new
    step, rest = place[0], place[1:]
    if type(value) is dict:
        return {**value, step: put(value.get(step), rest, new)}
    return [put(item, rest, new) if number == step else item for number, item in enumerate(value)]


def without(value: Any, place: Place) -> Any:
    """The document without the member or item at a place (which is not the root)."""
    *above, last = place
    parent = at(value, tuple(above))
    if type(parent) is dict:
        left: Any = {key: item for key, item in parent.items() if key != last}
    else:
        left = [item for number, item in enumerate(parent) if number != last]
    return put(value, tuple(above), left)


def change(value: Any, dice: Dice) -> tuple[Any, list[Place]]:
    """The document with one thing changed, and the places that this touches."""
    where = dice.pick(places(value))
    here = at(value, where)
    if where and dice.chance(5):
        # Where an item of a list is missing, the list is what differs.
        return without(value, where), [where if type(where[-1]) is str else where[:-1]]
    if type(here) is dict:
        if here and dice.chance(3):
            old = dice.pick(list(here))
            new = old + dice.pick(("X", "_", " "))
            if new not in here:
                renamed = {new if key == old else key: item for key, item in here.items()}
                return put(value, where, renamed), [(*where, old), (*where, new)]
        return put(value, where, {**here, "fresh": None}), [(*where, "fresh")]
    if type(here) is list:
        if len(here) > 1 and dice.chance(2):
            first, second = dice.below(len(here)), dice.below(len(here))
            if write(here[first]) != write(here[second]):
                turned = list(here)
                turned[first], turned[second] = turned[second], turned[first]
                return put(value, where, turned), [where]
        return put(value, where, [*here, scalar(dice)]), [where]
    return put(value, where, other(here, dice)), [where]


def other(here: Any, dice: Dice) -> Any:
    """Another scalar (or container) than ``here``, mostly a near one."""
    if type(here) is Num:
        return dice.pick(_near_number(here.text))
    if type(here) is str:
        near: list[Any] = [here + "x", here + " ", here.swapcase() + "y", None, [here], {"v": here}, here + "\u0301"]
        if len(here) > 1:
            near += [here[:-1], here[1:] + "!"]
        return dice.pick(near)
    if type(here) is bool:
        return dice.pick((not here, None, str(here).lower(), Num(str(int(here)))))
    return dice.pick((False, "null", Num("0"), "", [], {}))


def _near_number(text: str) -> list[Any]:
    last = text[:-1] + str((int(text[-1]) + 1) % 10) if text[-1].isdigit() and text != "0" else "7"
    negated = text[1:] if text.startswith("-") else f"-{text}"
    near: list[Any] = [Num(negated), text, True, None, [Num(text)]]
    if text.lstrip("-").isdigit():
        near += [Num(f"{text}.0"), Num(f"{text}e0"), Num(str(int(text) + 1))]
    if last.lstrip("-").isdigit():
        near.append(Num(str(int(last)) if int(last) or not last.startswith("-") else "7"))
    return [item for item in near if item != Num(text)]
