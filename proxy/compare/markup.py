"""Secrets in XML and HTML: where they stand.

Law: one pass from the beginning to the end, nothing is read twice, and broken markup is read as browsers do: a tag that
does not end goes on. Secret is the content of an element with a secret name (with all that is in it), the value of an
attribute with a secret name, and what an input, a meta element or a property named as a secret holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.compare.html_tokens import unescape
from proxy.compare.secret_names import Secret, Span

_MARK = re.compile(r"<(?:!--|!\[CDATA\[|(/?)([A-Za-z_][\w.:-]*))")
_INSIDE = re.compile(
    r"""(/?>|<)|([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)("?)|'([^']*)('?)|([^\s"'<>]+)))?|["'/=]|\s+""", re.DOTALL
)
_CLOSES = re.compile(r"</([A-Za-z_][\w.:-]*)")
_NAMES = ("name", "key", "property", "http-equiv", "itemprop", "id", "autocomplete")
_VALUES = ("value", "content")
_EMPTY = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_PARTS_OF_PAGES = frozenset({"form", "fieldset", "a", "iframe", "object", "label", "slot", "div", "section", "html"})
"""What has a name or key but is no field: its content speaks for itself."""


Attribute = tuple[str, Span, bool]
"""Name in lower case, where its value stands, whether the value ends."""


class Markup:
    """One reading. ``named`` gets the spans of secrets, ``revealed`` of what the configuration shows. ``judge`` says of
    a name whether it is secret, ``holds_secret`` of a text whether it holds a secret by its shape."""

    def __init__(self, text: str, judge: Callable[[str], Secret], holds_secret: Callable[[str], bool]) -> None:
        self.named: list[Span] = []
        self.revealed: list[Span] = []
        self._text = text
        self._judge = judge
        self._holds_secret = holds_secret
        self._closes = {match[1].lower(): match.start() for match in _CLOSES.finditer(text)}  # the last of each name
        self._read()

    def _read(self) -> None:
        text = self._text
        hiding, depth, hidden_from = "", 0, 0  # the element that hides all that is in it; its namesakes in it
        at = 0
        while (mark := _MARK.search(text, at)) is not None:
            at = mark.end()
            name = (mark[2] or "").lower()
            if not name:
                if hiding:  # what stands in a comment or CDATA ends nothing
                    at = _past(text, "]]>" if mark[0][2] == "[" else "-->", at)
                continue
            if mark[1]:
                depth -= name == hiding
                if hiding and not depth:
                    self._hide(hidden_from, mark.start())
                    hiding = ""
                continue
            attributes, at, end = _attributes(text, at)
            opens = end == ">" and name not in _EMPTY
            if hiding:
                depth += opens and name == hiding
            elif self._element(name, attributes, at, opens=opens):
                hiding, depth, hidden_from = name, 1, at
        if hiding:
            self._hide(hidden_from, len(text))

    def _element(self, name: str, attributes: list[Attribute], at: int, *, opens: bool) -> bool:
        """Judge one tag that ends at ``at``; True if all that is in the element is secret."""
        secret = self._judge(name.rpartition(":")[2])
        if self._called_secret(attributes) and name not in _PARTS_OF_PAGES:
            secret = True
        if not opens or secret is False:
            return False
        if self._closes.get(name, -1) >= at:
            if secret is None:
                self.revealed.append((at, _before(self._text, "<", at)))
            return bool(secret)
        if secret:  # it never ends: an example in prose ("<token>"), or the text was cut
            end = _before(self._text, "<", at)
            self._hide(at, _before(self._text, "\n", at, end))
        return False

    def _called_secret(self, attributes: list[Attribute]) -> bool:
        """Judge the attributes of one tag; True if a name or key says that what is in the element is secret."""
        field: Secret = False
        called = False
        for name, (start, end), _ in attributes:
            if name in _NAMES:
                said = self._judge(unescape(self._text[start:end], attribute=True))
                field = field or said
                called = called or (said is True and name in ("name", "key"))
            elif name == "type":
                field = field or self._text[start:end].lower() == "password"
        for name, (start, end), ends in attributes:
            said = self._judge(name)
            if name in _VALUES:
                said = said or field
            value = self._text[start:end]
            if said or (said is False and "&" in value and self._holds_secret(unescape(value, attribute=True))):
                self._hide(start, end)
            elif said is None and ends:
                self.revealed.append((start, end))
        return called

    def _hide(self, start: int, end: int) -> None:
        hidden = self._text[start:end]
        start += len(hidden) - len(hidden.lstrip())
        end -= len(hidden) - len(hidden.rstrip())
        if start < end:
            self.named.append((start, end))


def _attributes(text: str, at: int) -> tuple[list[Attribute], int, str]:
    """The attributes of a tag whose name ends at ``at``, where the tag ends, and how (``>``, ``/>``, or not at all)."""
    found: list[Attribute] = []
    while (token := _INSIDE.match(text, at)) is not None:
        if token[1] is not None:
            return (found, at, "") if token[1] == "<" else (found, token.end(), token[1])
        at = token.end()
        group = token.lastindex or 0
        if group >= 3:
            group = {4: 3, 6: 5}.get(group, group)
            found.append((token[2].lower(), token.span(group), group == 7 or bool(token[group + 1])))
    return found, len(text), ""


def _before(text: str, mark: str, start: int, end: int | None = None) -> int:
    found = text.find(mark, start, end)
    return found if found >= 0 else len(text) if end is None else end


def _past(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)
