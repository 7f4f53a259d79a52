"""What an answer has to look like: the recorded one, with places where it may differ.

A pattern is the recorded JSON value itself, or an object with one key that begins with ``$``:

- ``{"$any": true}``: whatever stands there;
- ``{"$type": "string"}``: any value of this type ("object", "list", "string", "number", "boolean", "null");
- ``{"$near": [12.5, 0.01]}``: a number that differs by at most so much;
- ``{"$optional": pattern}``: may be absent;
- ``{"$unordered": [patterns]}``: a list in any order;
- ``{"$object": {name: pattern}}``: an object whose own names begin with ``$``.
"""

import json
from typing import Any

ABSENT = object()


def mismatches(pattern: Any, value: Any, extra: frozenset[str] | None = frozenset(), path: str = "$") -> list[str]:
    """Where ``value`` does not fit, in words. ``extra`` are names that may be there besides; None: any may."""
    if isinstance(pattern, dict):
        if len(pattern) == 1:
            (word, inner), *_ = pattern.items()
            if word.startswith("$"):
                return _special(word, inner, value, extra, path)
        return _objects(pattern, value, extra, path)
    if isinstance(pattern, list):
        return _lists(pattern, value, extra, path)
    if value is ABSENT or type(pattern) is not type(value) or pattern != value:
        return [f"{path}: expected {_shown(pattern)}, got {_shown(value)}"]
    return []


def _special(word: str, inner: Any, value: Any, extra: frozenset[str] | None, path: str) -> list[str]:
    if word == "$any" or (word == "$optional" and value is ABSENT):
        return []
    if word == "$optional":
        return mismatches(inner, value, extra, path)
    if word == "$object":
        return _objects(inner, value, extra, path)
    if word == "$type":
        return [] if _type(value) == inner else [f"{path}: expected a {inner}, got {_shown(value)}"]
    if word == "$near":
        number, tolerance = inner
        near = _type(value) == "number" and abs(value - number) <= tolerance
        return [] if near else [f"{path}: expected {number} within {tolerance}, got {_shown(value)}"]
    return _unordered(inner, value, extra, path)


def _objects(pattern: dict[str, Any], value: Any, extra: frozenset[str] | None, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: expected an object, got {_shown(value)}"]
    found = []
    for name, inner in pattern.items():
        found += mismatches(inner, value.get(name, ABSENT), extra, f"{path}.{name}")
    if extra is not None:
        unknown = sorted(value.keys() - pattern.keys() - extra)
        found += [f"{path}.{name}: not expected, got {_shown(value[name])}" for name in unknown]
    return found


def _lists(pattern: list[Any], value: Any, extra: frozenset[str] | None, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: expected a list, got {_shown(value)}"]
    found = [] if len(pattern) == len(value) else [f"{path}: expected {len(pattern)} items, got {len(value)}"]
    for number, (inner, item) in enumerate(zip(pattern, value, strict=False)):
        found += mismatches(inner, item, extra, f"{path}[{number}]")
    return found


def _unordered(pattern: list[Any], value: Any, extra: frozenset[str] | None, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: expected a list, got {_shown(value)}"]
    rest = list(value)
    found = []
    for inner in pattern:
        fits = next((n for n, item in enumerate(rest) if not mismatches(inner, item, extra)), None)
        if fits is None:
            found.append(f"{path}: no item like {_shown(inner)}")
        else:
            del rest[fits]
    return found + [f"{path}: not expected: {_shown(item)}" for item in rest]


def _type(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int | float, "number"), (str, "string"), (list, "list"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "absent"


def _shown(value: Any) -> str:
    text = "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:117] + "..."
