"""A contract that changed on purpose: legacy's document in the candidate's words.

Law: a translation moves and rewrites what its rules name and loses nothing. Where a value cannot go, because something
stands there already, the rule is left out for this document, so that the difference shows. Documents are shared, never
changed: a translation copies what lies on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from proxy.compare.document import Number, parse_json
from proxy.compare.paths import Step, parse_path
from proxy.compare.result import Budget
from proxy.compare.states import State
from proxy.config.comparing import Scalar

_NOTHING = object()

Place = tuple[tuple[str | int, int], ...]
"""Which child each ``*`` of a path stood for, and how many there were."""
_Found = list[tuple[Place, Any]]


class Rename(NamedTuple):
    """A value at ``source`` in legacy's document stands at ``target`` in the candidate's."""

    source: tuple[Step, ...]
    target: tuple[Step, ...]


def renamed_path(text: str) -> tuple[Step, ...]:
    """The steps of one side of a rename. Raises ValueError for what does not name one member of each object."""
    steps = parse_path(text)
    if any(step.deep for step in steps):
        raise ValueError(f"{text!r}: a rename may not hold '..', for it must be sure what goes where")
    if any(step.position is not None for step in steps):
        raise ValueError(f"{text!r}: a rename is of all items of a list; write [*]")
    if not steps or steps[-1].name is None:
        raise ValueError(f"{text!r}: a rename ends with the name of a member")
    return steps


def compile_rename(source: str, target: str) -> Rename:
    """One rename. Raises ValueError for paths that do not fit each other."""
    rename = Rename(renamed_path(source), renamed_path(target))
    stars = [sum(step.wild for step in steps) for steps in rename]
    if stars[0] != stars[1]:
        raise ValueError(
            f"{source!r} has [*] {_times(stars[0])} and {target!r} {_times(stars[1])}; both need the same number, "
            "for each [*] of the one is that of the other"
        )
    if rename.source == rename.target:
        raise ValueError(f"{source!r} is renamed to itself")
    return rename


def _times(number: int) -> str:
    return {0: "nowhere", 1: "once"}.get(number, f"{number} times")


def translate(document: Any, renames: tuple[Rename, ...], maps: State, beside: Any = None) -> Any:
    """``document`` after the renames, its values then mapped by ``maps``; the same object if nothing applies. Numbers
    that are put in are as in ``beside``, the document that it will be compared with, and in itself."""
    if renames:
        document = _rename(document, renames)
    if not maps.plain:
        document = _Mapping([document, beside]).map(document, maps)
    return document


def _rename(document: Any, renames: tuple[Rename, ...]) -> Any:
    left = list(renames)
    while left:
        result = document
        taken: list[tuple[Rename, _Found]] = []
        for rename in sorted(left, key=lambda one: -len(one.source)):  # what lies within another value, first
            found: _Found = []
            result = _take(result, rename.source, (), found)
            if found:
                taken.append((rename, found))
        blocked = []
        for rename, found in sorted(taken, key=lambda one: len(one[0].target)):
            fits, result = _put(result, rename.target, 0, found)
            if not fits:
                blocked.append(rename)
        if not blocked:
            moved = {id(value) for _, found in taken for _, value in found}
            return document if result is document else _pruned(document, result, moved)
        left = [rename for rename in left if rename not in blocked]
    return document


def _take(node: Any, steps: tuple[Step, ...], place: Place, found: _Found) -> Any:
    """The node without what ``steps`` lead to, which goes to ``found``; the node itself if they lead nowhere. A
    member that held nothing else goes, too."""
    step, rest = steps[0], steps[1:]
    if step.name is not None:
        if type(node) is not dict or step.name not in node:
            return node
        child = node[step.name]
        if not rest:
            found.append((place, child))
            return {key: value for key, value in node.items() if key != step.name}
        left = _take(child, rest, place, found)
        if left is child:
            return node
        if _pruned(child, left, set()) is _NOTHING:
            return {key: value for key, value in node.items() if key != step.name}
        return {**node, step.name: left}
    if type(node) is list:
        items = [_take(child, rest, (*place, (at, len(node))), found) for at, child in enumerate(node)]
        return items if any(a is not b for a, b in zip(items, node, strict=True)) else node
    if type(node) is dict:
        members = {key: _take(child, rest, (*place, (key, len(node))), found) for key, child in node.items()}
        return members if any(members[key] is not child for key, child in node.items()) else node
    return node


def _pruned(before: Any, after: Any, moved: set[int]) -> Any:
    """``after`` without the members that held only what was taken; _NOTHING if it is itself such a one. An item of a
    list keeps its place while another one holds something. ``moved``: ids of values that stand where they were put."""
    if after is before or id(after) in moved or type(after) is not type(before) or not before:
        return after
    if type(after) is dict:
        members = {key: _pruned(before.get(key), child, moved) for key, child in after.items()}
        left = {key: child for key, child in members.items() if child is not _NOTHING}
        return left or _NOTHING
    if type(after) is list and len(after) == len(before):
        items = [_pruned(old, child, moved) for old, child in zip(before, after, strict=True)]
        if all(item is _NOTHING for item in items):
            return _NOTHING
        return [child if item is _NOTHING else item for item, child in zip(items, after, strict=True)]
    return after


def _put(node: Any, steps: tuple[Step, ...], star: int, values: _Found) -> tuple[bool, Any]:
    """Whether the values could go where ``steps`` lead, and the node with them. ``star``: how many ``*`` lie above."""
    step, rest = steps[0], steps[1:]
    if step.name is not None:
        members = {} if node is _NOTHING else node
        if type(members) is not dict or (not rest and (step.name in members or len(values) != 1)):
            return False, node
        if not rest:
            return True, {**members, step.name: values[0][1]}
        fits, child = _put(members.get(step.name, _NOTHING), rest, star, values)
        return fits, {**members, step.name: child} if fits else node
    groups: dict[Any, _Found] = {}
    for place, value in values:
        groups.setdefault(place[star][0], []).append((place, value))
    example = values[0][0]
    deeper = rest[0].wild and type(example[star + 1][0]) is int
    children = _children(node, groups, example[star][1], [] if deeper else {})
    if children is None:
        return False, node
    for key, group in groups.items():
        fits, children[key] = _put(children[key], rest, star + 1, group)
        if not fits:
            return False, node
    return True, children


def _children(node: Any, keys: Iterable[Any], length: int, empty: Any) -> Any:
    """A copy of the node, which has children at ``keys``, or a new one for them; None if it has not. ``length``: of the
    list that the keys came from; ``empty``: what its other items become."""
    wanted = dict.fromkeys(keys)
    if type(next(iter(wanted))) is int:
        if node is _NOTHING:
            return [_NOTHING if at in wanted else empty for at in range(length)]
        return list(node) if type(node) is list and max(wanted) < len(node) else None
    if node is _NOTHING:
        return dict.fromkeys(wanted, _NOTHING)
    return dict(node) if type(node) is dict and all(key in node for key in wanted) else None


def scalar_text(value: Any) -> Iterable[str]:
    """The keys of ``map`` that a scalar of a document may stand under: its text, or its JSON text."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Number):
        return (value.written, value.text)
    return (orjson.dumps(value).decode(),)


class _Mapping:
    def __init__(self, documents: list[Any]) -> None:
        self._documents = documents
        self._guarded: bool | None = None

    def map(self, node: Any, state: State) -> Any:
        """The node with its scalars mapped; the node itself if none is."""
        if state.plain:
            return node
        if type(node) is dict:
            members = {key: self.map(child, state.member(key)) for key, child in node.items()}
            return members if any(members[key] is not child for key, child in node.items()) else node
        if type(node) is list:
            items = [self.map(child, state.item(at)) for at, child in enumerate(node)]
            return items if any(a is not b for a, b in zip(items, node, strict=True)) else node
        if state.mapping is None:
            return node
        for text in scalar_text(node):
            if text in state.mapping:
                return self._as_here(state.mapping[text])
        return node

    def _as_here(self, value: Scalar) -> Any:
        """A value as the parser of the documents would have read it."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if self._guarded is None:
            self._guarded = any(map(_holds_guarded, self._documents))
        return parse_json(orjson.dumps(value), Budget(), guarded=True) if self._guarded else value


def _holds_guarded(document: Any) -> bool:
    """Whether the document's numbers are of the guarded way; the first number tells."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Number):
            return True
        if type(node) in (int, float):
            return False
        if type(node) is dict:
            waiting.extend(node.values())
        elif type(node) is list:
            waiting.extend(node)
    return False
