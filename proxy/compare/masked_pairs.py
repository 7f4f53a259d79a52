"""Masks on both sides of a comparison: what stands in the place of secrets that nobody has any more.

Law: a mask is taken for what it says and no more: a value of its type, equal to those with the same mask. Where a rule
lets values differ, all masks of one type are equal, for nobody can see how far apart the values are.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Any

import orjson

from proxy.compare.cookies import SAME_MOMENT_SECONDS, parse_cookie
from proxy.compare.document import Number
from proxy.compare.masks import MASK
from proxy.compare.redact import Redactor
from proxy.compare.rules import CompareRules
from proxy.compare.states import Rule, State

_EXPIRES = re.compile(r"(?i)(;\s*expires\s*=\s*)([^;]*)")


class AfterRedaction(Redactor):
    """A redactor for what it has redacted before: a mask stays the mask that it is."""

    def __init__(self, redactor: Redactor) -> None:
        self.__dict__.update(vars(redactor))

    def mask(self, value: Any) -> str:
        """What is shown instead of a secret value, or of a mask."""
        written = value.written if isinstance(value, Number) else value
        return str(written) if isinstance(written, str) and MASK.fullmatch(written) else super().mask(value)


class MaskedBoolean(str):
    """A mask of a boolean, which is of another type than text."""

    __slots__ = ()


class Masked:
    """Masks in documents, as values of the types that they hide. At places where a rule lets values differ they show
    their type only; ``loose`` counts those of legacy's answer."""

    def __init__(self) -> None:
        self.loose = 0
        self._legacy = True

    def prepare(self, document: Any, start: State) -> Any:
        """The document with such values; to be called with legacy's first."""
        counted = self.loose
        made = self._node(document, start)
        if not self._legacy:
            self.loose = counted
        self._legacy = False
        return made

    def _node(self, node: Any, state: State) -> Any:
        if state.ignore:
            return node
        if type(node) is dict:
            return {name: self._node(child, state.member(name)) for name, child in node.items()}
        if type(node) is list:
            return [self._node(child, state.item(at)) for at, child in enumerate(node)]
        if type(node) is not str or "«" not in node:
            return node
        loose = state.matcher is not None or state.tolerance is not None or state.mode == "schema"
        node = self.by_type(node) if loose else node
        whole = MASK.fullmatch(node)
        if whole is None or whole[1] == "text":
            return node
        if whole[1] == "number":
            return Number(f'"{node}"', whole=True, written=node)
        return True if loose else MaskedBoolean(node)

    def by_type(self, text: str) -> str:
        """The text with masks that show their type only."""
        text, number = MASK.subn(r"«masked \1»", text)
        self.loose += number
        return text


def under_rules(name: str, value: str, rules: CompareRules, masks: Masked | None) -> str:
    """A field value in which masks show their type only if a rule of this field, or of this cookie, has a matcher."""
    if "«" not in value:
        return value
    place = f"header:{name.lower()}"
    if place == "header:set-cookie":
        place = f"cookie:{value.partition('=')[0].strip().lower()}"
    state = rules.places.get(place)
    if state is None or state.matcher is None:
        return value
    return (masks or Masked()).by_type(value)


def without_hashes(side: dict[str, Any], rules: CompareRules) -> tuple[dict[str, Any], int]:
    """The side with masks that show no more than type and length, and how many there are in what is compared. A number
    may be written in several lengths, so of numbers only the type is shown."""
    count = 0

    def shorter(text: str) -> str:
        nonlocal count
        text, number = MASK.subn(lambda m: f"«masked {m[1]}, {m[2]}»" if m[1] == "text" else f"«masked {m[1]}»", text)
        count += number
        return text

    headers = [[name, shorter(value) if name.lower() in rules.headers else value] for name, value in side["headers"]]
    body = side["body"]
    if body["text"] is not None:
        body = {**body, "text": shorter(body["text"])}
    return {**side, "headers": headers, "body": body}, count


def also_masked(rule: Rule, redactor: Redactor) -> Rule:
    """A ``map`` that also knows its values by their masks under the redactor's key."""
    if rule.mapping is None:
        return rule
    more: dict[str, Any] = {}
    for legacy, candidate in rule.mapping.items():
        masked = None if candidate is None else redactor.mask(candidate)
        for value in _meant(legacy):
            more[redactor.mask(value)] = masked
    return rule._replace(mapping={**more, **rule.mapping})


def _meant(text: str) -> list[Any]:
    """The values that a key of ``map`` may stand for: the text, and what it is as JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [text]
    return [text, value] if isinstance(value, bool | int | float) else [text]


def moved_on(recorded: dict[str, Any], side: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The recorded side as if it had been answered ``seconds`` later: cookies that end some time after the answer end
    later. One whose end the other side names, too, ends on a fixed day."""
    ends = {(cookie, end) for cookie, end in map(_end, _cookies(side)) if end is not None}

    def later(value: str) -> str:
        cookie, end = _end(value)
        if end is None or any(cookie == name and abs(end - other) <= SAME_MOMENT_SECONDS for name, other in ends):
            return value
        try:
            return _EXPIRES.sub(rf"\g<1>{formatdate(end + seconds, usegmt=True)}", value)
        except (ValueError, OverflowError, OSError):  # a year that dates do not have
            return value

    headers = [[name, later(value) if name.lower() == "set-cookie" else value] for name, value in recorded["headers"]]
    return {**recorded, "headers": headers}


def _cookies(side: dict[str, Any]) -> list[str]:
    return [value for name, value in side["headers"] if name.lower() == "set-cookie"]


def _end(value: str) -> tuple[str, int | None]:
    cookie = parse_cookie(value.encode("utf-8", "replace"), 0.0)
    text = cookie.attributes.get("expires", "")
    return cookie.name, int(text) if re.fullmatch(r"-?\d{1,15}", text) else None
