"""Mode ``schema``: two documents by their shape.

Law: names, presence and types are compared, values and lengths are not. The items of a list share one shape, which
holds all that any of them says, and so do the members of an object whose keys are data; a list without items says
nothing about them. Null is a type, and all numbers are of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.compare.paths import is_map, is_name
from proxy.compare.states import State

if TYPE_CHECKING:
    from proxy.compare.walk import Walk

_TYPES = {str: "text", bool: "boolean", type(None): "null", dict: "object", list: "list"}


class Shape:
    """What some nodes are. ``types`` of them; ``members`` by name; ``rest``: what the members under keys that are data
    share; ``items``: what the items of lists share; ``is_map``: the keys of an object are data."""

    __slots__ = ("is_map", "items", "members", "rest", "types")

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.members: dict[str, Shape] = {}
        self.rest: Shape | None = None
        self.items: Shape | None = None
        self.is_map = False

    def add(self, other: Shape) -> None:
        """Hold what the other one says, too."""
        self.types |= other.types
        self.is_map = self.is_map or other.is_map
        for name, member in other.members.items():
            self.members.setdefault(name, Shape()).add(member)
        if other.rest is not None:
            self.rest = self.rest or Shape()
            self.rest.add(other.rest)
        if other.items is not None:
            self.items = self.items or Shape()
            self.items.add(other.items)

    def forget_names(self) -> None:
        """Take all members for data."""
        for member in self.members.values():
            self.rest = self.rest or Shape()
            self.rest.add(member)
        self.members = {}


def compare_schemas(walk: Walk, a: Any, b: Any, state: State, path: str) -> None:
    """Report how the shapes of legacy's and the candidate's document differ. Raises Incomparable ("budget")."""
    one, two = Shape(), Shape()
    _read(walk, one, a, state)
    _read(walk, two, b, state)
    _compare(walk, one, two, path)


def _read(walk: Walk, shape: Shape, value: Any, state: State) -> None:
    """Make ``shape`` hold what ``value`` says."""
    if state.ignore:
        return
    walk.spend(1)
    shape.types.add(_TYPES.get(type(value), "number"))
    if type(value) is dict:
        shape.is_map = shape.is_map or is_map(value)
        for key, child in value.items():
            below = state.member(key)
            if below.ignore:
                continue
            if is_name(key) and not walk.hides(key):
                _read(walk, shape.members.setdefault(key, Shape()), child, below)
            else:
                shape.rest = shape.rest or Shape()
                _read(walk, shape.rest, child, below)
    elif type(value) is list:
        for at, child in enumerate(value):
            shape.items = shape.items or Shape()
            _read(walk, shape.items, child, state.item(at))


def _compare(walk: Walk, a: Shape, b: Shape, path: str) -> None:
    walk.spend(1)
    if a.types != b.types:
        walk.report("type", path, lambda: _shown(a), lambda: _shown(b))
    if "object" in a.types & b.types:
        _members(walk, a, b, path)
    if a.items is not None and b.items is not None and a.items.types and b.items.types:
        _compare(walk, a.items, b.items, f"{path}[*]")


def _members(walk: Walk, a: Shape, b: Shape, path: str) -> None:
    if a.is_map or b.is_map:
        a.forget_names()
        b.forget_names()
    for name, member in a.members.items():
        if name in b.members:
            _compare(walk, member, b.members[name], walk.below(path, name))
        else:
            walk.absent("missing", walk.below(path, name), lambda member=member: _shown(member))  # type: ignore[misc]  # mypy cannot type bound loop variables
    for name, member in b.members.items():
        if name not in a.members:
            walk.absent("extra", walk.below(path, name), lambda member=member: _shown(member))  # type: ignore[misc]  # as above
    if a.rest is not None and b.rest is not None:
        _compare(walk, a.rest, b.rest, f"{path}.*")
    elif a.rest is not None and b.members:  # an object without members says nothing, like an empty list
        walk.absent("missing", f"{path}.*", lambda: _shown(a.rest))
    elif b.rest is not None and a.members:
        walk.absent("extra", f"{path}.*", lambda: _shown(b.rest))


def _shown(shape: Shape | None) -> str:
    return " or ".join(sorted(shape.types)) if shape is not None else ""
