"""The shape of an answer: a short sketch of its structure, without its data.

Law: equal structure gives an equal sketch, whatever the order of members and the number of items; no value of an answer
is in it, and no key that is data or a secret. Length and effort are bounded: what does not fit is cut and told apart by
a digest.

``{id: number, items[{price: number, sale?: bool, sku: string}], note: null}``: members by name; ``?`` marks one that
only some items of a list have; ``*`` stands for keys that are data.
"""

from __future__ import annotations

import hashlib
from typing import Any

from proxy.compare.charsets import utf8
from proxy.compare.decode import content_type, decode_body
from proxy.compare.document import NotJsonError, Number, parse_json
from proxy.compare.paths import is_map, is_name
from proxy.compare.redact import PLAIN, is_secret_key
from proxy.compare.result import Budget, Incomparable
from proxy.messages import Answer

MAX_SKETCH = 240
"""Characters; a longer one is cut, and ends in a digest of the whole."""

MAX_DEPTH = 8
MAX_ITEMS = 50
"""Of one list that are looked at: what a list holds shows in its beginning."""
MAX_VISITED = 4000
"""Values of one document that are looked at: two milliseconds at most."""

_DIGEST = 8


def answer_shape(answer: Answer, media: str, budget: Budget) -> str:
    """The shape of an answer that came: of JSON its sketch, else ``media``, the family of its media type."""
    if not answer.body:
        return media
    if media == "unnamed" and answer.body[:64].lstrip()[:1] in (b"{", b"["):
        media = "json"  # as the comparison takes it
    if media != "json":
        return media
    if answer.truncated:
        return "json (too large)"
    try:
        data, known = decode_body(answer.body, answer.fields, budget)
        if not known:
            return "json (encoded)"
        charset = content_type(answer.fields)[1]
        return sketch(parse_json(utf8(data, charset), budget, guarded=False))
    except (NotJsonError, Incomparable):
        return "json (not readable)"


def sketch(document: Any) -> str:
    """The sketch of a parsed JSON document."""
    node = _Node()
    _see(node, document, 0, [MAX_VISITED])
    text = _text(node)
    if len(text) <= MAX_SKETCH:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{text[: MAX_SKETCH - _DIGEST - 2]}… {digest}"


class _Node:
    """What the values in one place look like: scalar types, members of objects, items of lists."""

    __slots__ = ("deeper", "items", "lists", "members", "objects", "scalars")

    def __init__(self) -> None:
        self.scalars: set[str] = set()
        self.members: dict[str, tuple[_Node, list[int]]] = {}  # the list holds how many objects have it
        self.objects = 0
        self.items: _Node | None = None
        self.lists = 0
        self.deeper = False


_SCALARS: dict[type, str] = {bool: "bool", int: "number", float: "number", Number: "number", str: "string"}


def _see(node: _Node, value: Any, depth: int, left: list[int], *, secret: bool = False) -> None:
    left[0] -= 1
    if left[0] < 0:
        return
    kind = type(value)
    if kind is dict:
        node.objects += 1
        if depth >= MAX_DEPTH:
            node.deeper = True
            return
        _see_members(node, value, depth, left, secret=secret)
    elif kind is list:
        node.lists += 1
        if depth >= MAX_DEPTH:
            node.deeper = True
            return
        secret = bool(PLAIN.behind(secret, value))
        for item in value[:MAX_ITEMS]:
            if node.items is None:
                node.items = _Node()
            _see(node.items, item, depth + 1, left, secret=secret)
            if left[0] < 0:
                return
    else:
        node.scalars.add(_SCALARS.get(kind, "null"))


def _see_members(node: _Node, value: dict[str, Any], depth: int, left: list[int], *, secret: bool) -> None:
    as_map = is_map(value)
    seen: set[str] = set()
    for key, item in value.items():
        name = "*" if as_map or not is_name(key) or is_secret_key(key, below_secret=secret) else key
        known = node.members.get(name)
        if known is None:
            known = node.members[name] = (_Node(), [0])
        if name not in seen:
            seen.add(name)
            known[1][0] += 1
        _see(known[0], item, depth + 1, left, secret=bool(PLAIN.below(key, secret, value)))
        if left[0] < 0:
            return


def _text(node: _Node) -> str:
    parts = sorted(node.scalars)
    if node.objects:
        members = [_member(name, node.members[name], node.objects) for name in sorted(node.members)]
        parts.append("{…}" if node.deeper and not members else "{" + ", ".join(members) + "}")
    if node.lists:
        inside = _text(node.items) if node.items is not None else ""
        parts.append("[…]" if node.deeper and not inside else f"[{inside}]")
    return "|".join(parts)


def _member(name: str, known: tuple[_Node, list[int]], objects: int) -> str:
    node, times = known
    shown = name if times[0] >= objects or name == "*" else name + "?"
    inside = _text(node)
    return shown + inside if inside[:1] in ("{", "[") and not node.scalars else f"{shown}: {inside}"
