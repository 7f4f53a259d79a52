"""Two lists, item by item.

Law: if the lists differ under the rules something is reported, if not nothing is; ``size`` means that one is longer,
``order`` that the same items stand in another order. Which item is compared with which only decides how clearly a
difference is told: items put in or left out are named, and do not make all that follows look different.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.compare.align import Pairs, align, increasing, pair_alike
from proxy.compare.document import canonical
from proxy.compare.secret_names import Secret
from proxy.compare.sketch import stripped, traits
from proxy.compare.states import State

if TYPE_CHECKING:
    from proxy.compare.walk import Walk

_STRETCH = 64  # items of a list that are looked at together
_MAX_TRIALS = 256
"""Pairs of items that are tried for the best choice of equals; 16 times fewer in a trial."""
_IDENTITIES = ("id", "_id", "@id", "uuid", "guid", "key")
"""Members that identify an item where nobody says so: only if each item of a stretch has one of its own."""


class _Item(NamedTuple):
    value: Any
    sketch: bytes
    shape: Any
    """What the rules leave of the value."""
    numbers: tuple[float, ...] = ()


class _Pairing:
    """Compares two lists: ``a`` is legacy's, ``path`` the lists' path."""

    def __init__(self, walk: Walk, state: State, path: str, *, secret: Secret) -> None:
        self.walk = walk
        self.state = state
        self.item = state.item(-1)  # where positions mean nothing
        self.path = path
        self.below = f"{path}[*]"
        self.secret = secret

    def compare(self, x: Any, y: Any, state: State | None = None) -> None:
        self.walk.node(x, y, state or self.item, self.below, secret=self.secret)

    def without(self, items: list[Any]) -> None:
        for x in [] if self.item.ignore else items:
            self.walk.absent("missing", self.below, partial(self.walk.show, x, secret=self.secret))

    def beyond(self, items: list[Any]) -> None:
        for x in [] if self.item.ignore else items:
            self.walk.absent("extra", self.below, partial(self.walk.show, x, secret=self.secret))

    def sketched(self, values: list[Any], *, ranked: bool = False) -> list[_Item]:
        if self.item.plain:
            return [_Item(value, self.walk.encode(value), value) for value in values]
        items = []
        for value in values:
            numbers: list[float] = []
            shape = stripped(value, self.item, numbers if ranked else None)
            items.append(_Item(value, self.walk.encode(shape), shape, tuple(numbers)))
        return items

    def alike(self, a: list[_Item], b: list[_Item], *, in_order: bool) -> Pairs:
        """Pairs of items that say some of the same; from both sides the same ones."""
        if [x.sketch for x in a] > [y.sketch for y in b]:
            return [(i, j) for j, i in self.alike(b, a, in_order=in_order)]
        self.walk.spend(8 * (len(a) + len(b)))
        pairs = pair_alike([traits(x.shape) for x in a], [traits(y.shape) for y in b])
        return increasing(sorted(pairs)) if in_order else pairs


def compare_lists(walk: Walk, a: list[Any], b: list[Any], state: State, path: str, *, secret: Secret) -> None:
    """Report how two lists differ. Raises Incomparable ("budget")."""
    walk.spend(len(a) + len(b) + 1)
    if state.unordered:
        _Unordered(walk, state, path, secret=secret).lists(a, b)
    else:
        _Ordered(walk, state, path, secret=secret).lists(a, b)


class _Ordered(_Pairing):
    moved = False

    def lists(self, a: list[Any], b: list[Any]) -> None:
        if len(a) != len(b):
            self.walk.report("size", self.path, lambda: str(len(a)), lambda: str(len(b)))
        if self.state.by_position:
            self._by_position(a, b)
        elif len(a) == len(b):
            self._of_one_length(a, b)
        else:
            start, end = self._ends(a, b)
            xs, ys = self.sketched(a[start : len(a) - end]), self.sketched(b[start : len(b) - end])
            self._aligned(xs, ys, align([x.sketch for x in xs], [y.sketch for y in ys]))
        if self.moved:
            self.walk.report("order", self.path, lambda: self._shown(a), lambda: self._shown(b))

    def _by_position(self, a: list[Any], b: list[Any]) -> None:
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            self.compare(x, y, self.state.item(i))
        for i in range(min(len(a), len(b)), max(len(a), len(b))):
            if not self.state.item(i).ignore:
                self.without(a[i : i + 1])
                self.beyond(b[i : i + 1])

    def _of_one_length(self, a: list[Any], b: list[Any]) -> None:
        places = self._unequal(a, b)
        if len(places) < 2:
            for i in places:
                self.compare(a[i], b[i])
            return
        xs, ys = self.sketched([a[i] for i in places]), self.sketched([b[i] for i in places])
        mine, yours = [x.sketch for x in xs], [y.sketch for y in ys]
        if mine == yours:
            self._in_place(xs, ys)
        elif sorted(mine) == sorted(yours):
            self.moved = True
            if not self.item.plain:
                by_sketch = sorted(range(len(xs)), key=lambda i: mine[i])
                for i, j in zip(by_sketch, sorted(range(len(ys)), key=lambda j: yours[j]), strict=True):
                    self.compare(xs[i].value, ys[j].value)
        elif self.state.mode == "exact":
            pairs = align(mine, yours)
            shifted = sum(i != j for i, j in pairs)
            self._aligned(xs, ys, pairs if 2 * shifted > len(xs) else [(i, j) for i, j in pairs if i == j])
        else:
            self._stretch(xs, ys)  # an item that says more may be the same

    def _unequal(self, a: list[Any], b: list[Any]) -> list[int]:
        """Places at which two lists of one length do not have the same; equal stretches cost little."""
        encode = self.walk.encode
        places: list[int] = []
        for start in range(0, len(a), _STRETCH):
            xs, ys = a[start : start + _STRETCH], b[start : start + _STRETCH]
            if encode(xs) != encode(ys):
                places += [start + i for i, (x, y) in enumerate(zip(xs, ys, strict=True)) if encode(x) != encode(y)]
        return places

    def _ends(self, a: list[Any], b: list[Any]) -> tuple[int, int]:
        """How many items are the same at the beginning, and then at the end."""
        encode = self.walk.encode
        most, start, end = min(len(a), len(b)), 0, 0
        while start < most and encode(a[start]) == encode(b[start]):
            start += 1
        while end < most - start and encode(a[-1 - end]) == encode(b[-1 - end]):
            end += 1
        return start, end

    def _aligned(self, xs: list[_Item], ys: list[_Item], pairs: Pairs) -> None:
        """Compare what was paired, and what lies between."""
        low = low_b = 0
        for i, j in [*pairs, (len(xs), len(ys))]:
            self._stretch(xs[low:i], ys[low_b:j])
            if i < len(xs) and not self.item.plain:
                self.compare(xs[i].value, ys[j].value)
            low, low_b = i + 1, j + 1

    def _stretch(self, xs: list[_Item], ys: list[_Item]) -> None:
        """Compare items of which no two have the same sketch."""
        if not xs or not ys:
            self.without([x.value for x in xs])
            self.beyond([y.value for y in ys])
            return
        pairs = self._identified(xs, ys)
        if pairs is None and len(xs) == len(ys):
            self._in_place(xs, ys)
            return
        if pairs is None:
            pairs = self.alike(xs, ys, in_order=True)
            low = low_b = 0
            known, pairs = pairs, []
            for i, j in [*known, (len(xs), len(ys))]:
                for k in range(min(i - low, j - low_b)):  # nothing tells which: then in their order
                    if type(xs[low + k].value) is type(ys[low_b + k].value) in (dict, list):
                        pairs.append((low + k, low_b + k))
                if i < len(xs):
                    pairs.append((i, j))
                low, low_b = i + 1, j + 1
        for i, j in pairs:
            self.compare(xs[i].value, ys[j].value)
        mine, yours = {i for i, _ in pairs}, {j for _, j in pairs}
        self.without([x.value for i, x in enumerate(xs) if i not in mine])
        self.beyond([y.value for j, y in enumerate(ys) if j not in yours])

    def _in_place(self, xs: list[_Item], ys: list[_Item]) -> None:
        for x, y in zip(xs, ys, strict=True):
            self.compare(x.value, y.value)

    def _identified(self, xs: list[_Item], ys: list[_Item]) -> Pairs | None:
        """Pairs of items that say who they are; None if they do not, or if they stand at the same places anyway."""
        for name in _IDENTITIES:
            if not self.item.member(name).exact:
                continue
            mine, yours = _identities(xs, name), _identities(ys, name)
            if mine is None or yours is None:
                continue
            pairs = [(i, yours[key]) for key, i in mine.items() if key in yours]
            if not pairs or (len(xs) == len(ys) and all(i == j for i, j in pairs)):
                return None
            if len(increasing(pairs)) < len(pairs):
                self.moved = True
            return pairs
        return None

    def _shown(self, items: list[Any]) -> str:
        shown = ", ".join(self.walk.show(item, secret=self.secret) for item in items[:4])
        return f"[{shown}{', …' if len(items) > 4 else ''}]"[:240]


def _identities(items: list[_Item], name: str) -> dict[bytes, int] | None:
    """The items' places by what they say under ``name``; None unless each says something of its own."""
    found: dict[bytes, int] = {}
    for place, item in enumerate(items):
        value = item.value.get(name) if type(item.value) is dict else None
        if value is None or type(value) in (dict, list, bool):
            return None
        found[canonical(value)] = place
    return found if len(found) == len(items) else None


class _Unordered(_Pairing):
    def lists(self, a: list[Any], b: list[Any]) -> None:
        """Items with one identity are compared; of the rest equal ones are set aside, then the most alike compared."""
        if self.item.ignore:
            return
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
        groups: dict[bytes, tuple[list[_Item], list[_Item]]] = defaultdict(lambda: ([], []))
        for side, values in enumerate((a, b)):
            for item in self.sketched(values, ranked=True):
                groups[item.sketch][side].append(item)
        rest: tuple[list[_Item], list[_Item]] = ([], [])
        for xs, ys in groups.values():
            if not self.item.plain and xs and ys:
                xs, ys = self._without_equals(sorted(xs, key=self._rank), sorted(ys, key=self._rank))
            else:
                xs, ys = xs[len(ys) :], ys[len(xs) :]
            rest[0].extend(xs)
            rest[1].extend(ys)
        if self.state.mode == "subset" and self._few(*rest):
            rest = self._matched(*rest)
        # Their order says nothing; so that it changes nothing either, they are taken in one of ours.
        self._unequal(sorted(rest[0], key=_sketch), sorted(rest[1], key=_sketch))

    def _without_equals(self, xs: list[_Item], ys: list[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Items of one sketch in the order of what they say, without those that are equal under the rules."""
        if len(xs) == len(ys):
            pairs = list(zip(xs, ys, strict=True))
            left = [pair for pair in pairs if self.walk.differs(pair[0].value, pair[1].value, self.item)]
            if len(left) < 2:
                return [x for x, _ in left], [y for _, y in left]
        return self._matched(xs, ys) if self._few(xs, ys) else self._merged(xs, ys)

    def _few(self, xs: list[_Item], ys: list[_Item]) -> bool:
        return len(xs) * len(ys) <= _MAX_TRIALS >> (4 * self.walk.trials)

    def _matched(self, xs: list[_Item], ys: list[_Item]) -> tuple[list[_Item], list[_Item]]:
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

    def _merged(self, xs: list[_Item], ys: list[_Item]) -> tuple[list[_Item], list[_Item]]:
        """The same for many items in order: where two are not equal, the lower one has no equal."""
        alone: tuple[list[_Item], list[_Item]] = ([], [])
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

    def _rank(self, item: _Item) -> tuple[tuple[float, ...], bytes]:
        return item.numbers, self.walk.encode(item.value)

    def _unequal(self, xs: list[_Item], ys: list[_Item]) -> None:
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


def _sketch(item: _Item) -> bytes:
    return item.sketch


def _of(kind: type | None, items: list[_Item]) -> list[Any]:
    """The objects or lists among the items, or (None) the rest."""
    if kind is None:
        return [x.value for x in items if type(x.value) not in (dict, list)]
    return [x.value for x in items if type(x.value) is kind]


def _identity(value: Any, key: str | None) -> bytes:
    if key is None or type(value) is not dict or key not in value:
        return b""
    return canonical(value[key])
