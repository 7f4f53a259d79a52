"""Trees of elements as documents that the walk can read.

Law: two trees of a pair become equal documents if and only if the trees are equal. Which shape an element has (text or
object, one or a list) is decided for both trees together and for all elements of one name at one place, so that what
differs is their content and never only their shape.

An element ``<line id="1">two</line>`` becomes ``{"@id": "1", "#text": "two"}``; one that never has attributes or
children is its text; one that stands beside others of its name, or alone in an element named by its plural, is an item
of a list. ``#order`` lists the names of an element's children where their order cannot be seen otherwise. Names that
occur more often on one side are left out of it: what is missing or extra has been said then. ``@xmlns`` is the
namespace of an element that is in another one than its parent, where elements of one name at one place are in several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from proxy.compare.meter import Meter
from proxy.compare.secret_names import HINTING, HOLDING, LABELLING, NAMING, Secret

TEXT = "#text"
ORDER = "#order"
_GAP = "⋯"
"""Stands in ``#text`` where a child stands between two pieces of text."""

_MAX_NAMES = 64
"""Children of different names whose usual order is looked for; with more of them the order is always listed."""


Sequences = dict[tuple[str, ...], list[int]]
"""The names of an element's children in order -> how many elements of each side have such children."""


class Element:
    """One element: its name, its attributes (keys as they are to stand in the document) and its content in order; no
    two texts stand side by side. ``space`` is the namespace of its name."""

    __slots__ = ("attributes", "children", "name", "space")

    def __init__(self, name: str, space: str = "", attributes: dict[str, str] | None = None) -> None:
        self.name = name
        self.space = space
        self.attributes = {} if attributes is None else attributes
        self.children: list[Element | str] = []

    def add_text(self, text: str) -> None:
        """Add text behind what is there."""
        if self.children and isinstance(self.children[-1], str):
            self.children[-1] += text
        else:
            self.children.append(text)


class _Shape:
    """What all elements at one place have in common, on both sides."""

    __slots__ = (
        "children", "dropped", "name", "ordered", "repeated", "sequences", "spaced", "spaces", "structured",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: dict[str, _Shape] = {}
        self.repeated = False
        self.structured = False
        self.spaces: set[str] = set()
        self.spaced = False  # an element here is in another namespace than its parent
        self.sequences: Sequences = {}
        self.dropped: frozenset[str] = frozenset()
        self.ordered = True

    def settle(self) -> None:
        """Decide what is to be said of the order of children and of namespaces."""
        self.spaced = self.spaced and len(self.spaces) > 1
        if self.spaced:
            self.structured = True
        for names in self.sequences:
            if len(names) > 1 and len({*names}) < len(names):
                for name, times in Counter(names).items():
                    if times > 1 and name != TEXT:
                        self.children[name].repeated = True
        self.dropped = dropped(self.sequences)
        self.ordered = _in_one_order([[n for n in names if n not in self.dropped] for names in self.sequences])


def documents(
    legacy: Element, candidate: Element, meter: Meter, is_secret: Callable[[str], Secret]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both trees as documents with the root's name as their only member. ``is_secret`` says which names are secret:
    what stands beside or in ``name="password"`` then stands under ``#secret``. Raises Incomparable ("budget")."""
    shapes = _Shape("")
    for side, root in enumerate((legacy, candidate)):
        _look(root, shapes.children.setdefault(root.name, _Shape(root.name)), side, meter)
    pending = list(shapes.children.values())
    while pending:
        shape = pending.pop()
        meter.tick()
        shape.settle()
        pending += shape.children.values()
    one, two = (
        {root.name: _document(root, shapes.children[root.name], meter, is_secret)} for root in (legacy, candidate)
    )
    return one, two


def _look(root: Element, shape: _Shape, side: int, meter: Meter) -> None:
    meter.begin()
    pending: list[tuple[Element, _Shape, str | None]] = [(root, shape, None)]
    while pending:
        element, shape, parents = pending.pop()
        meter.spend()
        shape.spaces.add(element.space)
        if element.space != parents:
            shape.spaced = True
        if element.attributes:
            shape.structured = True
        children = element.children
        if not children:
            continue
        if len(children) == 1 and isinstance(children[0], str):
            shape.sequences.setdefault((TEXT,), [0, 0])[side] += 1
            continue
        shape.structured = True
        names = []
        for child in children:
            if isinstance(child, str):
                names.append(TEXT)
                continue
            below = shape.children.get(child.name)
            if below is None:
                below = shape.children[child.name] = _Shape(child.name)
                below.repeated = _is_plural(shape.name, child.name)
            names.append(child.name)
            pending.append((child, below, element.space))
        shape.sequences.setdefault(tuple(names), [0, 0])[side] += 1


def _document(root: Element, shape: _Shape, meter: Meter, is_secret: Callable[[str], Secret]) -> Any:
    meter.begin()
    made, top = _node(root, shape, None, is_secret)
    pending = [(root, shape, top)] if top is not None else []
    while pending:
        element, shape, members = pending.pop()
        meter.spend(len(element.children))
        for child in element.children:
            if isinstance(child, str):
                continue
            below = shape.children[child.name]
            value, inner = _node(child, below, element.space, is_secret)
            if below.repeated:
                members.setdefault(child.name, []).append(value)
            else:
                members[child.name] = value
            if inner is not None:
                pending.append((child, below, inner))
    return made


def _node(
    element: Element, shape: _Shape, parents: str | None, is_secret: Callable[[str], Secret]
) -> tuple[Any, dict[str, Any] | None]:
    """The element's value without its children, and the object to put them into, if it is one. ``parents`` is the
    namespace of the element above."""
    texts = [child for child in element.children if isinstance(child, str)]
    if not shape.structured:
        return joined(texts), None
    members: dict[str, Any] = dict(element.attributes)
    if shape.spaced and element.space != parents:
        members["@xmlns"] = element.space
    if texts:
        members[TEXT] = joined(texts)
    if not shape.ordered:
        names = (TEXT if isinstance(child, str) else child.name for child in element.children)
        order = [name for name in names if name not in shape.dropped]
        if order:
            members[ORDER] = order
    if not hide_named(members, is_secret) or len(texts) == len(element.children):
        return members, members
    within: dict[str, Any] = {}
    members["#secret" if "#secret" not in members else "#secret-within"] = within
    return members, within


def joined(texts: list[str]) -> str | list[str]:
    """The pieces of text of one element as one; as they are if that could be read in two ways. In a single one a gap
    stands twice."""
    if any(_GAP in text for text in texts):
        return texts if len(texts) > 1 else texts[0].replace(_GAP, _GAP * 2)
    return _GAP.join(texts)


def dropped(sequences: Sequences) -> frozenset[str]:
    """The names whose order is not looked at: not the same number of elements has the same number of children of this
    name on both sides. Then a child is missing or extra, and that is the difference."""
    more: dict[str, Counter[int]] = {}  # on legacy's side, by how many there are in one element
    for names, (one, two) in sequences.items():
        if one != two:
            for name, times in Counter(names).items():
                more.setdefault(name, Counter())[times] += one - two
    return frozenset(name for name, by_times in more.items() if any(by_times.values()))


def hide_named(members: dict[str, Any], is_secret: Callable[[str], Secret]) -> bool:
    """What stands beside a secret name goes where the walk sees that it is secret. True if all that is in the element
    has to."""
    if _LABELS.isdisjoint(members):
        return False
    labels = [key for key in members if key in _LABELS and is_secret(members[key])]
    if labels:
        text = [] if _HINTING.issuperset(labels) else [TEXT]
        for key in [*(key for key in members if key in _HOLDING), *text]:
            if key in members:
                members["#secret" if "#secret" not in members else f"#secret-{key[1:]}"] = members.pop(key)
    return not _NAMING.isdisjoint(labels)


def _spelled(names: Iterable[str]) -> frozenset[str]:
    """Keys of attributes in the usual spellings."""
    return frozenset(f"@{spelled}" for name in names for spelled in (name, name.capitalize(), name.upper()))


_NAMING, _HINTING, _HOLDING = _spelled(NAMING), _spelled(HINTING), _spelled(HOLDING)
_LABELS = _spelled(LABELLING) | _HINTING


def _is_plural(parent: str, child: str) -> bool:
    """Whether the parent's name is the plural of the child's: ``lines``, ``entries``, ``addresses``."""
    parent, child = parent.lower(), child.lower()
    return parent in (f"{child}s", f"{child}es", f"{child}list") or (child[-1:] == "y" and parent == f"{child[:-1]}ies")


def _in_one_order(sequences: list[list[str]]) -> bool:
    """Whether one order of names explains all sequences; then the sequences say nothing beyond the numbers."""
    usual: list[str] = []
    for names in sequences:
        before = -1
        for name in names:
            if name in usual:
                before = usual.index(name)
            else:
                before += 1
                usual.insert(before, name)
                if len(usual) > _MAX_NAMES:
                    return False
    rank = {name: number for number, name in enumerate(usual)}
    for names in sequences:
        ranks = [rank[name] for name in names]
        if any(x > y for x, y in pairwise(ranks)):
            return False
    return True
