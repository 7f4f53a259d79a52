"""Items of two lists, and what is said of them.

Law: which item is compared with which only decides how clearly a difference is told, never whether there is one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.compare.align import MAX_PAIRED, Pairs, increasing, pair_alike
from proxy.compare.secret_names import Secret
from proxy.compare.sketch import stripped, traits
from proxy.compare.states import State

if TYPE_CHECKING:
    from proxy.compare.walk import Walk

_STRETCH = 64  # items of a list that are looked at together


class Item(NamedTuple):
    value: Any
    sketch: bytes
    shape: Any
    """What the rules leave of the value."""
    numbers: tuple[float, ...] = ()


class Pairing:
    """Compares two lists: ``a`` is legacy's, ``path`` the lists' path."""

    def __init__(self, walk: Walk, state: State, path: str, *, secret: Secret) -> None:
        self.walk = walk
        self.state = state
        self.item = state.item(-1)  # where positions mean nothing
        self.path = path
        self.below = f"{path}[*]"
        self.secret = secret

    def compare(self, x: Any, y: Any, state: State | None = None) -> None:
        self.walk.later(x, y, state or self.item, self.below, secret=self.secret)

    def without(self, items: list[Any]) -> None:
        for x in [] if self.item.ignore else items:
            self.walk.absent("missing", self.below, partial(self.walk.show, x, secret=self.secret))

    def beyond(self, items: list[Any]) -> None:
        for x in [] if self.item.ignore else items:
            self.walk.absent("extra", self.below, partial(self.walk.show, x, secret=self.secret))

    def sketched(self, values: list[Any], *, ranked: bool = False) -> list[Item]:
        if self.item.plain:
            return [Item(value, self.walk.encode(value), value) for value in values]
        items = []
        for value in values:
            numbers: list[float] = []
            shape = stripped(value, self.item, numbers if ranked else None)
            items.append(Item(value, self.walk.encode(shape), shape, tuple(numbers)))
        return items

    def unequal(self, a: list[Any], b: list[Any]) -> list[int]:
        """Places that both lists have, but not with the same there; equal stretches cost little."""
        encode = self.walk.encode
        places: list[int] = []
        most = min(len(a), len(b))
        for start in range(0, most, _STRETCH):
            end = min(start + _STRETCH, most)
            if encode(a[start:end]) != encode(b[start:end]):
                # What is unequal to Python is so at little cost; what is equal may still be 1 and true.
                alike = [i for i in range(start, end) if a[i] == b[i]]
                if encode([a[i] for i in alike]) != encode([b[i] for i in alike]):
                    alike = [i for i in alike if encode(a[i]) == encode(b[i])]
                places += sorted({*range(start, end)}.difference(alike))
        return places

    def alike(self, a: list[Item], b: list[Item], *, in_order: bool) -> Pairs:
        """Pairs of items that say some of the same; from both sides the same ones."""
        if [x.sketch for x in a] > [y.sketch for y in b]:
            return [(i, j) for j, i in self.alike(b, a, in_order=in_order)]
        a, b = a[:MAX_PAIRED], b[:MAX_PAIRED]
        self.walk.spend(8 * (len(a) + len(b)))
        pairs = pair_alike([traits(x.shape) for x in a], [traits(y.shape) for y in b])
        return increasing(sorted(pairs)) if in_order else pairs
