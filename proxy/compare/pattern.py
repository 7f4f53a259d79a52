"""A recorded answer as a pattern that an answer of a new service has to fit (for exported tests).

Law: where the rules of the route, or what is known as noise or accepted, let two answers differ, the pattern is looser,
and nowhere else. A masked secret asks for its type only. The language of patterns is that of ``cli/suite/patterns.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from proxy.compare.document import Number
from proxy.compare.masks import MASK
from proxy.compare.paths import member
from proxy.compare.rules import CompareRules
from proxy.compare.states import State
from proxy.compare.walk import secret_key

Expected = Callable[[str, str], bool]
"""Whether a difference of this kind at this path template is expected."""

ANY = {"$any": True}


def pattern(document: Any, rules: CompareRules, expected: Expected) -> Any:
    """The pattern of legacy's recorded document, in the candidate's words. Values in it are plain JSON values."""
    return _pattern(rules.translate(document), rules.start, "$", expected)


def extra_names(rules: CompareRules) -> list[str] | None:
    """Names that a candidate's objects may have besides: those that ``ignore`` ends in; None: any (mode subset)."""
    if rules.mode == "subset":
        return None
    last = (rule.steps[-1].name for rule in rules.rules if rule.sort == "ignore" and rule.steps)
    return sorted({name for name in last if name is not None})


def _pattern(value: Any, state: State, path: str, expected: Expected) -> Any:
    if state.ignore or expected("type", path):
        return ANY
    if isinstance(value, dict):
        return _object(value, state, path, expected)
    if isinstance(value, list):
        return _list(value, state, path, expected)
    return _scalar(value, state, path, expected)


def _object(value: dict[str, Any], state: State, path: str, expected: Expected) -> Any:
    made: dict[str, Any] = {}
    for name, inner in value.items():
        below = f"{path}.*" if secret_key(name) else member(path, name)
        found = _pattern(inner, state.member(name), below, expected)
        made[name] = {"$optional": found} if expected("missing", below) else found
    return {"$object": made} if len(made) == 1 and next(iter(made)).startswith("$") else made


def _list(value: list[Any], state: State, path: str, expected: Expected) -> Any:
    if expected("size", path) or state.mode == "schema":
        return {"$type": "list"}
    items = [_pattern(item, state.item(n), f"{path}[*]", expected) for n, item in enumerate(value)]
    return {"$unordered": items} if state.unordered or expected("order", path) else items


def _scalar(value: Any, state: State, path: str, expected: Expected) -> Any:
    if isinstance(value, str) and (masked := MASK.search(value)):
        kind = masked[1] if masked[0] == value else "text"
        return {"$type": "string" if kind == "text" else kind}
    loose = state.matcher is not None or state.mode == "schema" or expected("value", path) or expected("format", path)
    if loose:
        return {"$type": _type(value)}
    plain = _plain(value)
    if state.tolerance is not None and isinstance(plain, int | float) and not isinstance(plain, bool):
        size = float(state.tolerance.size)
        return {"$near": [plain, abs(plain) * size if state.tolerance.relative else size]}
    return plain


def _type(value: Any) -> str:
    if value is None:
        return "null"
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _plain(value: Any) -> Any:
    if not isinstance(value, Number):
        return value
    number = Decimal(value.written)
    return int(value.written) if value.whole else float(number)
