"""What a value comes to under the rules, as bytes.

Law: two values that are equal under the rules have the same sketch; where the rules ask for nothing but equality, two
that have the same sketch are equal.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.align import Traits
from proxy.compare.document import canonical
from proxy.compare.matchers import sketch
from proxy.compare.states import NUMBERS, State

_MAX_PARTS = 32  # things of one item that are looked at


def stripped(value: Any, state: State, numbers: list[float] | None = None) -> Any:
    """The value without what is ignored, with unordered lists in the order of their bytes, and in the place of a value
    that need not be equal what it shares with its equals. ``numbers`` takes where such values stand among each other.
    """
    if state.ignore:
        return None
    if state.plain:
        return value
    if type(value) is dict:
        members = {}
        for key in sorted(value) if numbers is not None else value:
            below = state.member(key)
            if not below.ignore:
                members[key] = stripped(value[key], below, numbers)
        return members
    if type(value) is list:
        return _items(value, state, numbers)
    if state.matcher is not None:
        found = sketch(state.matcher, value)
        if found is not None:
            if numbers is not None:
                numbers.append(found[1])
            return found[0]
    elif state.tolerance is not None and type(value) in NUMBERS:
        if numbers is not None:
            numbers.append(_float(value))
        return ["number"]
    return value


def _items(items: list[Any], state: State, numbers: list[float] | None) -> list[Any]:
    if not state.unordered:
        shapes = []
        for at, item in enumerate(items):  # no comprehension: it would be one more level of recursion
            shapes.append(stripped(item, state.item(at), numbers))
        return shapes
    item_state = state.item(-1)
    if item_state.ignore:
        return []
    entries = []
    for item in items:
        inner: list[float] = []
        shape = stripped(item, item_state, None if numbers is None else inner)
        entries.append((canonical(shape), inner, shape))
    entries.sort(key=lambda entry: entry[:2])
    for entry in entries if numbers is not None else ():
        numbers.extend(entry[1])  # type: ignore[union-attr]  # it is a list, see above
    return [entry[2] for entry in entries]


def _float(value: Any) -> float:
    try:
        return float(str(value))
    except (ValueError, OverflowError):
        return 0.0


def traits(value: Any) -> Traits:
    """What a (stripped) item can be told by: its members and theirs, or its items, or its text."""
    if type(value) is dict:
        said: list[tuple[object, Any]] = []
        for key, inner in value.items():
            if type(inner) is dict:
                said += [((key, name), x) for name, x in inner.items()]
            else:
                said.append((key, inner))
    elif type(value) is list:
        said = [("item", inner) for inner in value]
    else:
        text = value if isinstance(value, str) else canonical(value)
        said = [("text", text if isinstance(text, str) else text.decode())]
    parts = [hash((key, canonical(inner))) for key, inner in said[:_MAX_PARTS]]
    whole = 0
    for part in parts:
        whole ^= part
    return Traits(tuple(parts), tuple(hash((whole ^ part, len(parts))) for part in parts) if len(parts) > 1 else ())
