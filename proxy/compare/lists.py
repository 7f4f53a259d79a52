"""Two lists, item by item.

Law: if the lists differ under the rules something is reported, if not nothing is; ``size`` means that one is longer,
``order`` that the same items stand in another order. Items put in or left out are named, and do not make all that
follows look different.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from proxy.compare.align import MAX_ALIKE, Pairs, align, increasing
from proxy.compare.document import canonical
from proxy.compare.multisets import Multisets
from proxy.compare.pairing import Item, Pairing
from proxy.compare.secret_names import Secret
from proxy.compare.sketch import traits
from proxy.compare.states import State

if TYPE_CHECKING:
    from proxy.compare.walk import Walk

Keys = tuple[str | int, ...]
"""Of members and items, from an item of a list down."""

_IDENTITIES = ("id", "_id", "@id", "uuid", "guid", "key")
"""Members that identify an item where nobody says so: only if each item of a stretch has one of its own."""

_NAMES = ("id", "_id", "@id", "uuid", "key", "sku", "code", "name", "slug", "title", "number")
"""Members by which people know an item, the surest first; only to show which items stand in another order."""
_MEMBERS = 8
"""Members of an object that are looked at where none of these names tells its like apart: elements have other names."""
_DEPTH = 3
"""Objects and lists in one another in which they are looked for."""
_ITEMS = 4
"""Items of a list that are shown."""
_SHOWN = 60
"""Characters of one of them: with all of them a line can still be read."""


def compare_lists(walk: Walk, a: list[Any], b: list[Any], state: State, path: str, *, secret: Secret) -> None:
    """Report how two lists differ. Raises Incomparable ("budget")."""
    walk.spend(len(a) + len(b) + 1)
    if len(a) == 2 or len(b) == 2:  # which item is compared with which is not known yet
        secret = walk.redactor.behind(secret, a, b)
    if state.unordered:
        Multisets(walk, state, path, secret=secret).lists(a, b)
    else:
        _Ordered(walk, state, path, secret=secret).lists(a, b)


class _Ordered(Pairing):
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
            if not self._by_identity(xs, ys):
                self._aligned(xs, ys, align([x.sketch for x in xs], [y.sketch for y in ys]))
        if self.moved:
            self.walk.report("order", self.path, lambda: self._shown(a, b, 0), lambda: self._shown(a, b, 1))

    def _by_position(self, a: list[Any], b: list[Any]) -> None:
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            self.compare(x, y, self.state.item(i))
        for i in range(min(len(a), len(b)), max(len(a), len(b))):
            if not self.state.item(i).ignore:
                self.without(a[i : i + 1])
                self.beyond(b[i : i + 1])

    def _of_one_length(self, a: list[Any], b: list[Any]) -> None:
        if len(a) == 1:
            self.compare(a[0], b[0])
            return
        places = self.unequal(a, b)
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
        elif self._by_identity(xs, ys):
            return
        elif self.state.mode == "exact":
            pairs = align(mine, yours)
            shifted = sum(i != j for i, j in pairs)
            self._aligned(xs, ys, pairs if 2 * shifted > len(xs) else [(i, j) for i, j in pairs if i == j])
        else:
            self._in_place(xs, ys)  # an item that says more may be the same

    def _ends(self, a: list[Any], b: list[Any]) -> tuple[int, int]:
        """How many items are the same at the beginning, and then at the end."""
        encode = self.walk.encode
        most, start, end = min(len(a), len(b)), 0, 0
        while start < most and encode(a[start]) == encode(b[start]):
            start += 1
        while end < most - start and encode(a[-1 - end]) == encode(b[-1 - end]):
            end += 1
        return start, end

    def _aligned(self, xs: list[Item], ys: list[Item], pairs: Pairs) -> None:
        """Compare what was paired, and what lies between."""
        low = low_b = 0
        for i, j in [*pairs, (len(xs), len(ys))]:
            self._stretch(xs[low:i], ys[low_b:j])
            if i < len(xs) and not self.item.plain:
                self.compare(xs[i].value, ys[j].value)
            low, low_b = i + 1, j + 1

    def _stretch(self, xs: list[Item], ys: list[Item]) -> None:
        """Compare items of which no two have the same sketch."""
        if len(xs) == len(ys):
            self._in_place(xs, ys)
        elif not self._by_identity(xs, ys):
            self._paired(xs, ys, self._likeliest(xs, ys) if xs and ys else [])

    def _likeliest(self, xs: list[Item], ys: list[Item]) -> Pairs:
        """Pairs of the most alike that are in order on both sides; between them nothing tells which is which, and
        objects and lists are taken in their order."""
        pairs: Pairs = []
        low = low_b = 0
        for i, j in [*self.alike(xs, ys, in_order=True), (len(xs), len(ys))]:
            for k in range(min(i - low, j - low_b)):
                if type(xs[low + k].value) is type(ys[low_b + k].value) in (dict, list):
                    pairs.append((low + k, low_b + k))
            if i < len(xs):
                pairs.append((i, j))
            low, low_b = i + 1, j + 1
        return pairs

    def _by_identity(self, xs: list[Item], ys: list[Item]) -> bool:
        """Compare items that say who they are with their namesakes, if they all do and stand at other places."""
        for name in _IDENTITIES:
            if not self.item.member(name).plain:
                continue
            mine, yours = _identities(xs, name), _identities(ys, name)
            if mine is None or yours is None:
                continue
            pairs = [(i, yours[key]) for key, i in mine.items() if key in yours]
            if not pairs or (len(xs) == len(ys) and not self._tells_more(xs, ys, pairs)):
                return False
            self.moved = self.moved or len(increasing(pairs)) < len(pairs)
            self._paired(xs, ys, pairs)
            return True
        return False

    def _tells_more(self, xs: list[Item], ys: list[Item], pairs: Pairs) -> bool:
        """Whether the pairs have more in common than what stands at the same places: else names changed."""
        self.walk.spend(4 * (len(xs) + len(ys)))
        mine = [frozenset(traits(x.shape).parts) for x in xs[:MAX_ALIKE]]
        yours = [frozenset(traits(y.shape).parts) for y in ys[:MAX_ALIKE]]
        known = [(i, j) for i, j in pairs if max(i, j) < MAX_ALIKE]
        by_place = sum(len(x & y) for x, y in zip(mine, yours, strict=True))
        return sum(len(mine[i] & yours[j]) for i, j in known) > by_place

    def _paired(self, xs: list[Item], ys: list[Item], pairs: Pairs) -> None:
        """Compare the pairs; the rest is missing or too many."""
        for i, j in pairs:
            if not self.item.plain or xs[i].sketch != ys[j].sketch:
                self.compare(xs[i].value, ys[j].value)
        mine, yours = {i for i, _ in pairs}, {j for _, j in pairs}
        self.without([x.value for i, x in enumerate(xs) if i not in mine])
        self.beyond([y.value for j, y in enumerate(ys) if j not in yours])

    def _in_place(self, xs: list[Item], ys: list[Item]) -> None:
        for x, y in zip(xs, ys, strict=True):
            self.compare(x.value, y.value)

    def _shown(self, a: list[Any], b: list[Any], side: int) -> str:
        """Some of the items, from the first place on where the two lists differ, by what tells them apart."""
        told, keys = self._told(a, b)
        items = (a, b)[side]
        start = next((i for i, (x, y) in enumerate(zip(*told, strict=False)) if _apart(x, y)), 0)
        shown = ["…"] if start else []
        for item, value in list(zip(items, told[side], strict=True))[start : start + _ITEMS]:
            shown.append(_cut(self.walk.show(value, secret=self._hidden(item, keys))))
        if len(items) > start + _ITEMS:
            shown.append("…")
        return f"[{', '.join(shown)}]"

    def _told(self, a: list[Any], b: list[Any]) -> tuple[tuple[list[Any], list[Any]], Keys]:
        """What tells the items of both lists apart, and the keys it stands under; the items themselves without any."""
        names = [(name,) for name in _NAMES if not self.item.member(name).ignore]
        # Of the members of both first items the same ones, whichever side they are of.
        members = min((list(islice(_scalars(side[0]), _MEMBERS)) for side in (a, b)), key=repr)
        for keys in [*names, *filter(self._exact, members)]:
            mine, yours = _values(a, keys), _values(b, keys)
            if mine is not None and yours is not None and mine != yours:
                return (mine, yours), keys
        return (a, b), ()

    def _exact(self, keys: Keys) -> bool:
        """Whether no rule is about what stands there."""
        state = self.item
        for key in keys:
            if state.unordered:
                return False
            state = state.member(key) if isinstance(key, str) else state.item(key)
        return state.plain

    def _hidden(self, item: Any, keys: Keys) -> Secret:
        """Whether what stands there is secret, by all names above it."""
        hidden = self.secret
        for key in keys:
            if isinstance(key, str):
                hidden = self.walk.redactor.below(key, hidden, item)
            elif key > 0:
                hidden = self.walk.redactor.behind(hidden, item)
            item = item[key]
        return hidden


def _scalars(item: Any, above: Keys = ()) -> Iterator[Keys]:
    """The keys under which texts and numbers stand, those near the top first."""
    if type(item) not in (dict, list) or len(above) == _DEPTH:
        return
    members = list(islice(item.items() if type(item) is dict else enumerate(item), _MEMBERS))
    yield from ((*above, key) for key, value in members if _tells(value))
    for key, value in members:
        yield from _scalars(value, (*above, key))


def _values(items: list[Any], keys: Keys) -> list[Any] | None:
    """What the items say there; None unless each says something, and no object or list."""
    values = []
    for value in items:
        for key in keys:
            if isinstance(key, str):
                value = value.get(key) if type(value) is dict else None
            else:
                value = value[key] if type(value) is list and key < len(value) else None
        if not _tells(value):
            return None
        values.append(value)
    return values


def _tells(value: Any) -> bool:
    return value is not None and type(value) not in (dict, list, bool)


def _apart(x: Any, y: Any) -> bool:
    """Whether two items are shown in different ways; of two objects or lists nothing is that would tell them apart."""
    return type(x) is not type(y) or (type(x) not in (dict, list) and bool(x != y))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _identities(items: list[Item], name: str) -> dict[bytes, int] | None:
    """The items' places by what they say under ``name``; None unless each says something of its own."""
    found: dict[bytes, int] = {}
    for place, item in enumerate(items):
        value = item.value.get(name) if type(item.value) is dict else None
        if value is None or type(value) in (dict, list, bool):
            return None
        found[canonical(value)] = place
    return found if len(found) == len(items) else None
