"""Two lists whose order says nothing.

Law: if their items can be paired so that all pairs are equal under the rules, nothing is reported, as long as the
items that need not be equal are few or differ in one number; if they cannot, something is. What is left unequal is
paired by what the items say, so that a report names the member that differs.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from proxy.compare.document import Number, canonical
from proxy.compare.pairing import Item, Pairing

_MAX_TRIALS = 256
"""Pairs of items that are tried for the best choice of equals; 16 times fewer in a trial."""
_MAX_DEPTH = 8  # trials within trials; further below items are taken in order


class Multisets(Pairing):
    def lists(self, a: list[Any], b: list[Any]) -> None:
        """Items with one identity are compared; of the rest equal ones are set aside, then the most alike compared."""
        if self.item.ignore:
            return
        if self.item.sharp or (_has_identities(a, self.state.key) and _has_identities(b, self.state.key)):
            # Then the same at the same place is a pair of any good pairing, and most lists are in order.
            places, most = self.unequal(a, b), min(len(a), len(b))
            a, b = [a[i] for i in places] + a[most:], [b[i] for i in places] + b[most:]
        groups: dict[bytes, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        for side, items in enumerate((a, b)):
            for x in items:
                groups[_identity(x, self.state.key)][side].append(x)
        alone: tuple[list[Any], list[Any]] = ([], [])
        for identity, (xs, ys) in groups.items():
            if identity and (not xs or not ys):
                alone[0].extend(xs)
                alone[1].extend(ys)
            elif len(xs) == len(ys) == 1:
                if self.walk.encode(xs[0]) != self.walk.encode(ys[0]):
                    self.compare(xs[0], ys[0])
            else:
                self._multiset(xs, ys)
        if alone[0] and alone[1]:
            self._renumbered(*alone)
        else:
            self.without(alone[0])
            self.beyond(alone[1])

    def beyond(self, items: list[Any]) -> None:
        if self.state.mode != "subset":
            super().beyond(items)

    def _renumbered(self, xs: list[Any], ys: list[Any]) -> None:
        """Items whose identity the other side does not have: but perhaps it writes it in another way, 7 as "7"."""
        key = self.state.key or ""
        known: dict[str, list[Any]] = defaultdict(list)
        for y in ys:
            known[str(y[key])].append(y)
        missing = []
        for x in xs:
            if same := known.get(str(x[key])):
                self.compare(x, same.pop())
            else:
                missing.append(x)
        self.without(missing)
        self.beyond([y for left in known.values() for y in left])

    def _multiset(self, a: list[Any], b: list[Any]) -> None:
        sides = self.sketched(a, ranked=True), self.sketched(b, ranked=True)
        rest = self._of_one_sketch(*sides)
        if self.state.mode == "subset" and rest[0]:
            # What says more may be near to two: that of its own sketch is only surely the right one if nothing is near.
            again = rest if self.item.sharp or not self._few(*sides) else sides
            rest = self._matched(*again) if self._few(*again) else rest
        # Their order says nothing; so that it changes nothing either, they are taken in one of ours.
        self._unequal(sorted(rest[0], key=_sketch), sorted(rest[1], key=_sketch))

    def _of_one_sketch(self, a: list[Item], b: list[Item]) -> tuple[list[Item], list[Item]]:
        """The items without those that have an equal of the same sketch."""
        groups: dict[bytes, tuple[list[Item], list[Item]]] = defaultdict(lambda: ([], []))
        for side, items in enumerate((a, b)):
            for item in items:
                groups[item.sketch][side].append(item)
        rest: tuple[list[Item], list[Item]] = ([], [])
        for xs, ys in groups.values():
            if not self.item.plain and xs and ys:
                xs, ys = self._without_equals(sorted(xs, key=self._rank), sorted(ys, key=self._rank))
            else:
                xs, ys = xs[len(ys) :], ys[len(xs) :]
            rest[0].extend(xs)
            rest[1].extend(ys)
        return rest

    def _without_equals(self, xs: list[Item], ys: list[Item]) -> tuple[list[Item], list[Item]]:
        """Items of one sketch in the order of what they say, without those that are equal under the rules."""
        if self.walk.trials >= _MAX_DEPTH:
            for x, y in zip(xs, ys, strict=False):
                self.compare(x.value, y.value)
            return xs[len(ys) :], ys[len(xs) :]
        if len(xs) == len(ys):
            pairs = list(zip(xs, ys, strict=True))
            left = [pair for pair in pairs if self.walk.differs(pair[0].value, pair[1].value, self.item)]
            # One that has no equal here may have one if others change partners, unless they differ in one number alone.
            if not left or (len(left) == 1 and (len(xs[0].numbers) < 2 or not self._few(xs, ys))):
                return [x for x, _ in left], [y for _, y in left]
        return self._matched(xs, ys) if self._few(xs, ys) else self._merged(xs, ys)

    def _few(self, xs: list[Item], ys: list[Item]) -> bool:
        return len(xs) * len(ys) <= _MAX_TRIALS >> (4 * self.walk.trials)

    def _matched(self, xs: list[Item], ys: list[Item]) -> tuple[list[Item], list[Item]]:
        """A few items without as many pairs of equals as can be made at once."""
        equals = [[j for j, y in enumerate(ys) if not self.walk.differs(x.value, y.value, self.item)] for x in xs]
        partner: dict[int, int] = {}

        def place(i: int, tried: set[int]) -> bool:
            for j in equals[i]:
                if j not in tried:
                    tried.add(j)
                    if j not in partner or place(partner[j], tried):
                        partner[j] = i
                        return True
            return False

        alone = [x for i, x in enumerate(xs) if not place(i, set())]
        return alone, [y for j, y in enumerate(ys) if j not in partner]

    def _merged(self, xs: list[Item], ys: list[Item]) -> tuple[list[Item], list[Item]]:
        """The same for many items in order: where two are not equal, the lower one has no equal."""
        alone: tuple[list[Item], list[Item]] = ([], [])
        i = j = 0
        while i < len(xs) and j < len(ys):
            if not self.walk.differs(xs[i].value, ys[j].value, self.item):
                i, j = i + 1, j + 1
            elif self._rank(xs[i]) <= self._rank(ys[j]):
                alone[0].append(xs[i])
                i += 1
            else:
                alone[1].append(ys[j])
                j += 1
        return alone[0] + xs[i:], alone[1] + ys[j:]

    def _rank(self, item: Item) -> tuple[tuple[float, ...], bytes]:
        return item.numbers, self.walk.encode(item.value)

    def _unequal(self, xs: list[Item], ys: list[Item]) -> None:
        pairs = self.alike(xs, ys, in_order=False) if xs and ys else []
        mine, yours = {i for i, _ in pairs}, {j for _, j in pairs}
        left = [x for i, x in enumerate(xs) if i not in mine]
        left_b = [y for j, y in enumerate(ys) if j not in yours]
        for i, j in pairs:
            self.compare(xs[i].value, ys[j].value)
        if len(left) == len(left_b) == 1:
            self.compare(left[0].value, left_b[0].value)
            return
        # Nothing tells which of the others belong together; objects have the same members at least, texts nothing.
        for kind in (dict, list):
            for x, y in zip(_of(kind, left), _of(kind, left_b), strict=False):
                self.compare(x, y)
        for kind in (dict, list):
            self.without(_of(kind, left)[len(_of(kind, left_b)) :])
            self.beyond(_of(kind, left_b)[len(_of(kind, left)) :])
        self.without(_of(None, left))
        self.beyond(_of(None, left_b))


def _sketch(item: Item) -> bytes:
    return item.sketch


def _of(kind: type | None, items: list[Item]) -> list[Any]:
    """The objects or lists among the items, or (None) the rest."""
    if kind is None:
        return [x.value for x in items if type(x.value) not in (dict, list)]
    return [x.value for x in items if type(x.value) is kind]


def _has_identities(items: list[Any], key: str | None) -> bool:
    """Whether each item has an identity of its own, judged quickly: 1 and true count as one."""
    if key is None:
        return False
    known = {x.get(key) if type(x) is dict and type(x.get(key)) in (str, int, Number) else None for x in items}
    return len(known) == len(items) and None not in known


def _identity(value: Any, key: str | None) -> bytes:
    if key is None or type(value) is not dict or key not in value:
        return b""
    return canonical(value[key])
