"""Rules by chance, and documents that they allow to differ, or do not.

Law: ``allowed`` changes a document only in what its rules permit; ``forbidden`` breaks one of them. No two rules of a
book speak of the same value, so that what each permits is plain.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from proxy.config.comparing import Compare
from tests.fuzz import documents
from tests.fuzz.dice import Dice
from tests.fuzz.documents import Num, Place
from tests.fuzz.selectors import Selector, above, general, matches, text

HEX = "0123456789abcdef"
EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SKEW_SECONDS = 60
MAPPED: dict[str, Any] = {"ACTIVE": "active", "OFF": False, "ONE": 1, "": None}
LOOKS: dict[str, Any] = {
    "uuid": "uuid", "timestamp": {"timestamp": f"{SKEW_SECONDS}s"}, "number": "number", "opaque": "opaque",
    "url-without-host": "url-without-host", "regex": {"regex": "[a-z]{3}-[0-9]{2,4}"},
}  # fmt: skip


class Rule(NamedTuple):
    """One rule. ``what`` is a key of ``Compare`` or the name of a look; ``size`` a tolerance, ``key`` of a list."""

    what: str
    selector: Selector
    size: str = ""
    key: str | None = None


class Book(NamedTuple):
    """The rules of a case, and a document in which every value stands as its rule wants it."""

    rules: list[Rule]
    document: Any
    mode: str = "exact"

    def compare(self) -> Compare:
        """As a team would write them."""
        values: dict[str, Any] = {"ignore": [], "unordered": {}, "tolerance": {}, "match": {}, "map": {}}
        for rule in self.rules:
            path = text(rule.selector)
            if rule.what == "ignore":
                values["ignore"].append(path)
            elif rule.what == "unordered":
                values["unordered"][path] = rule.key
            elif rule.what == "tolerance":
                values["tolerance"][path] = rule.size if rule.size.endswith("%") else float(rule.size)
            elif rule.what == "map":
                values["map"][path] = MAPPED
            else:
                values["match"][path] = LOOKS[rule.what]
        return Compare(mode=self.mode, **{name: value for name, value in values.items() if value})

    def one_way(self) -> bool:
        """Whether some rule means something else when the sides are swapped."""
        return self.mode == "subset" or any(rule.what == "map" or rule.size.endswith("%") for rule in self.rules)


def make(dice: Dice, kinds: list[str]) -> Book:
    """A document and up to four rules about it."""
    document = documents.make(dice, 4)
    rules: list[Rule] = []
    positions = dice.chance(4)
    for _ in range(1 + dice.below(4)):
        what = dice.pick([kind for kind in kinds if kind != "unordered" or not positions])
        found = [place for place in documents.places(document) if _fits(what, documents.at(document, place))]
        if not found:
            continue
        place = dice.pick(found)
        rule = Rule(what, general(place, dice, positions=positions), dice.pick(("0.01", "5", "10%")))
        named = _named(rule, document)
        if what == "ignore":
            if () in named:
                continue
        elif what == "unordered":
            if any(other.what == "unordered" and set(_named(other, document)) & set(named) for other in rules):
                continue
            lists = [documents.at(document, place) for place in named]
            if all(type(item) is list and _by_id(item) for item in lists) and dice.chance(2):
                rule = rule._replace(key="id")
        elif any(type(documents.at(document, place)) in (dict, list) for place in named) or _claimed(rules, named):
            continue
        else:
            for place in named:
                document = documents.put(document, place, _fitting(rule, dice))
        rules.append(rule)
    rules = [
        rule if rule.key is None or _free_ids(rule, rules, document) else rule._replace(key=None) for rule in rules
    ]
    return Book(rules, document)


def _fits(what: str, value: Any) -> bool:
    if what == "unordered":
        return type(value) is list
    return what == "ignore" or type(value) not in (dict, list)


def _named(rule: Rule, document: Any) -> list[Place]:
    return [place for place in documents.places(document) if matches(rule.selector, place)]


def _claimed(rules: list[Rule], named: list[Place]) -> bool:
    others = [rule for rule in rules if rule.what not in ("ignore", "unordered")]
    return any(matches(rule.selector, place) for rule in others for place in named)


def _by_id(items: list[Any]) -> bool:
    ids = [item["id"] if type(item) is dict and type(item.get("id")) is Num else None for item in items]
    return None not in ids and len(set(ids)) == len(ids)


def _free_ids(rule: Rule, rules: list[Rule], document: Any) -> bool:
    """Whether no other rule speaks of what the items of a list are told apart by."""
    lists = _named(rule, document)
    if not all(_by_id(documents.at(document, place)) for place in lists):
        return False
    ids = [(*place, n, "id") for place in lists for n in range(len(documents.at(document, place)))]
    return not any(above(other.selector, place) for other in rules if other.what != "unordered" for place in ids)


def _fitting(rule: Rule, dice: Dice) -> Any:
    """Legacy's value where the rule applies."""
    if rule.what == "tolerance":
        return Num(dice.pick(("10", "10.0", "99.99", "-3.5", "0.5", "123456789012345678901234567890", "1e3")))
    if rule.what == "map":
        return dice.pick((*MAPPED, "other"))
    return looking(rule.what, dice)


def looking(look: str, dice: Dice) -> Any:
    """A value that looks like this."""
    if look == "uuid":
        digits = "".join(dice.pick(HEX) for _ in range(30))
        return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"
    if look == "timestamp":
        moment = EPOCH + dt.timedelta(seconds=dice.below(SKEW_SECONDS // 2))
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if look == "number":
        return Num(str(1 + dice.below(1000)))
    if look == "opaque":
        return "t" + "".join(dice.pick("abcdefghijklmnop") for _ in range(15))
    if look == "url-without-host":
        host = dice.pick(("legacy.example", "candidate.example:8443", "127.0.0.1"))
        return f"https://{host}/orders/17?page=2"
    return f"{dice.pick('abc')}xy-{10 + dice.below(90)}"


def allowed(book: Book, document: Any, dice: Dice) -> Any:
    """The candidate's document: other than ``document`` in what the rules allow, and in nothing else."""
    for rule in book.rules:
        if rule.what not in ("ignore", "unordered"):
            for place in _named(rule, document):
                document = documents.put(document, place, _allowed(rule, documents.at(document, place), dice))
    for rule in book.rules:
        if rule.what == "ignore":
            for place in sorted(_named(rule, document), key=len, reverse=True):
                anything = dice.pick((documents.at(document, place), "ignored", None, Num("17"), ["x"], {"fresh": "x"}))
                document = documents.put(document, place, anything)
    for rule in book.rules:
        if rule.what == "unordered":
            # The deepest first: their places are still where they were.
            for place in sorted(_named(rule, document), key=len, reverse=True):
                here = documents.at(document, place)
                if type(here) is list and len(here) < 40:
                    document = documents.put(document, place, dice.shuffled(here))
    return document


def _in_any_order(book: Book, place: Place) -> bool:
    lists = {found for rule in book.rules if rule.what == "unordered" for found in _named(rule, book.document)}
    return any(place[:end] in lists for end in range(len(place)))


def _ignored(book: Book, place: Place) -> bool:
    return any(rule.what == "ignore" and above(rule.selector, place) for rule in book.rules)


def _allowed(rule: Rule, here: Any, dice: Dice) -> Any:
    if rule.what == "tolerance":
        if type(here) is not Num:
            return here
        with localcontext(prec=80):
            return Num(str(Decimal(here.text) + _most(rule, here) * (dice.below(21) - 10) / 10))
    if rule.what == "map":
        return _json(MAPPED.get(here, here)) if type(here) is str else here
    return looking(rule.what, dice)


def _most(rule: Rule, here: Num) -> Decimal:
    if rule.size.endswith("%"):
        return abs(Decimal(here.text)) * Decimal(rule.size[:-1]) / 100
    return Decimal(rule.size)


def _json(value: Any) -> Any:
    return Num(str(value)) if type(value) is int else value


def forbidden(book: Book, rule: Rule, place: Place, dice: Dice) -> Any:
    """A value that this rule does not allow at the place."""
    here = documents.at(book.document, place)
    if rule.what == "tolerance" and type(here) is Num:
        with localcontext(prec=80):
            step = _most(rule, here) * Decimal("1.5") + Decimal("0.001")
            near = Num(str(Decimal(here.text) + step)), Num(str(Decimal(here.text) - step))
        # Beside others that may stand in any order, one of them may be near enough to it, and another to what was here.
        return dice.pick((here.text, None) if _in_any_order(book, place) else (*near, here.text, None))
    if rule.what == "map":
        return "neither" if here not in MAPPED else dice.pick(("neither", here, Num("5")))
    wrong = {
        "uuid": ("not-a-uuid", "00000000", Num("7"), None),
        "timestamp": ("2024-01-01", "yesterday", Num("1704067200"), "2024-01-01T01:00:00Z"),
        "number": ("17", None, True), "opaque": (Num("1"), None, ["x"]),
        "url-without-host": ("https://legacy.example/orders/18?page=2", "/x", "ftp://h/orders/17", None),
        "regex": ("ABC-17", "abc-17x", "abc-", Num("17"), None),
    }  # fmt: skip
    return dice.pick(wrong[rule.what])


def free_places(book: Book) -> list[Place]:
    """Places about whose value no rule says anything, neither there nor above."""
    speaking = [rule for rule in book.rules if rule.what != "unordered"]
    return [
        place
        for place in documents.places(book.document)
        if place and not any(above(rule.selector, place) for rule in speaking)
    ]


def ruled_places(book: Book) -> list[tuple[Rule, Place]]:
    """Places whose value one rule speaks of, so that it can be broken there."""
    return [
        (rule, place)
        for rule in book.rules
        if rule.what not in ("ignore", "unordered")
        for place in _named(rule, book.document)
        if not _ignored(book, place)
    ]
