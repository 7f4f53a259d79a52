"""A recorded answer as a pattern that an answer of a new service has to fit (for exported tests).

Law: where the rules of the route, or what is known as noise or accepted, let two answers differ, the pattern is looser,
and nowhere else. A masked secret asks for its type only. The language of patterns is that of
``cli/suite/test_recorded.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

from proxy.compare.document import Number
from proxy.compare.masks import MASK
from proxy.compare.matchers import Matcher, Reading, read
from proxy.compare.paths import is_map, is_name, member
from proxy.compare.rules import CompareRules
from proxy.compare.states import State, Tolerance
from proxy.compare.walk import secret_key

ANY = {"$any": True}

_NAMES = {"text": "string", "number": "number", "boolean": "boolean"}
_LAST = re.compile(r"(?:\.(\*)|\.([^.\['\]]+)|\['((?:[^'\\]|\\.)*)'\])\Z")
_DIGITS = Context(prec=1000)
_NO_NAME = "\0"


class Expected:
    """The differences that are expected: accepted, or noise. ``pairs`` are kinds with path templates."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = frozenset(pairs)
        self._besides: dict[str, list[str]] = {}
        for kind, path in self._pairs:
            if kind == "extra" and (last := _LAST.search(path)):
                name = last[1] or last[2] or last[3]
                self._besides.setdefault(path[: last.start()], []).append(name)

    def __call__(self, kind: str, path: str) -> bool:
        """Whether a difference of this kind at this path template is expected."""
        return (kind, path) in self._pairs

    def besides(self, path: str) -> list[str]:
        """The members that an object may have besides; ``*`` for any."""
        return self._besides.get(path, [])


def pattern(document: Any, rules: CompareRules, expected: Expected) -> Any:
    """The pattern of legacy's recorded document, in the candidate's words. Numbers in it are ``Number``: parse the
    document guarded."""
    return _Maker(rules, expected).node(rules.translate(document), rules.start, "$")


class _Maker:
    def __init__(self, rules: CompareRules, expected: Expected) -> None:
        self._expected = expected
        last = [rule.steps[-1].name for rule in rules.rules if rule.sort == "ignore" and rule.steps]
        self._ignored = [name for name in dict.fromkeys(last) if name is not None]

    def node(self, value: Any, state: State, path: str) -> Any:
        if state.ignore or self._expected("type", path):
            return ANY
        if isinstance(value, dict):
            return self._object(value, state, path)
        if isinstance(value, list):
            return self._list(value, state, path)
        return _scalar(value, state, path, self._expected)

    def _object(self, value: dict[str, Any], state: State, path: str) -> Any:
        as_map = is_map(value)
        further = self._expected.besides(path)
        is_open = state.mode == "subset" or "*" in further or state.member(_NO_NAME).ignore
        may_come = [name for name in self._ignored if state.member(name).ignore]
        made: dict[str, Any] = {name: {"$optional": ANY} for name in (*may_come, *further) if name not in value}
        made.pop("*", None)
        for name, inner in value.items():
            if MASK.search(name) or (state.mode == "schema" and not is_name(name)):
                is_open = True  # a name that nobody knows, or that is data
                continue
            below = f"{path}.*" if as_map or secret_key(name) else member(path, name)
            found = self.node(inner, state.member(name), below)
            may_lack = self._expected("missing", below) or state.member(name).ignore
            made[name] = {"$optional": found} if may_lack else found
        if is_open:
            return {"$open": made}
        return {"$object": made} if len(made) == 1 and next(iter(made)).startswith("$") else made

    def _list(self, value: list[Any], state: State, path: str) -> Any:
        if self._expected("size", path) or state.mode == "schema":
            return {"$type": "list"}
        unordered = state.unordered or self._expected("order", path)
        items = [self.node(item, state.item(-1 if unordered else n), f"{path}[*]") for n, item in enumerate(value)]
        if not unordered:
            return items
        if state.key is not None and _identified(value, state.key):
            return {"$keyed": [state.key, items]}
        return {"$unordered": items}


def _identified(items: list[Any], key: str) -> bool:
    """Whether each item says under ``key`` who it is."""
    known = [item.get(key) for item in items if isinstance(item, dict)]
    if len(known) < len(items) or any(not isinstance(one, str | Number) for one in known):
        return False
    return len({str(one) for one in known}) == len(items) and not any(MASK.search(str(one)) for one in known)


def _scalar(value: Any, state: State, path: str, expected: Expected) -> Any:
    if isinstance(value, str) and (masked := MASK.search(value)):
        return {"$type": _NAMES[masked[1]] if masked[0] == value else "string"}
    if state.mode == "schema" or expected("value", path) or expected("format", path):
        return {"$type": _type(value)}
    if state.matcher is not None:
        return _matched(state.matcher, value)
    if state.tolerance is not None and isinstance(value, Number):
        return _near(state.tolerance, value)
    return value


def _matched(matcher: Matcher, value: Any) -> Any:
    """What fits the matcher as legacy's value does; what does not fit is compared by its value."""
    found = read(matcher, value)
    if found is None:
        return value
    if isinstance(value, str):
        if matcher.kind == "uuid":
            return {"$match": _uuid(found)}
        if matcher.kind == "regex" and matcher.pattern is not None:
            return {"$match": f"(?a){matcher.pattern.pattern}"}
        if matcher.kind == "url-without-host" and found.format != ("/",):
            scheme = "" if found.format == ("//",) else f"(?i:{re.escape(str(found.format[0]))}):"
            rest = "/?" if found.detail == "/" else re.escape(found.detail)
            return {"$match": f"{scheme}(?://[^/?#\\s]*)?{rest}"}
    return {"$type": _type(value)}


def _uuid(found: Reading) -> str:
    """A UUID of the same spelling."""
    before, dash, _ = found.format
    hexadecimal = {"lower": "[0-9a-f]", "upper": "[0-9A-F]"}.get(found.detail, "[0-9A-Fa-f]")
    groups = str(dash).join(f"{hexadecimal}{{{length}}}" for length in (8, 4, 4, 4, 12))
    return f"{re.escape(str(before or ''))}{groups}{re.escape('}') if before == '{' else ''}"


def _near(tolerance: Tolerance, value: Number) -> Any:
    try:
        number = Decimal(value.written)
        size = _DIGITS.multiply(tolerance.size, abs(number)) if tolerance.relative else tolerance.size
    except ArithmeticError:
        return value
    return {"$near": [value, Number(f"{size}", whole=False)]}


def _type(value: Any) -> str:
    if value is None:
        return "null"
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
