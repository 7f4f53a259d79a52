"""Secrets in XML and HTML: where they stand.

Law: one pass from the beginning to the end, nothing is read twice, and broken markup is read as browsers do: a tag that
does not end goes on. Secret is the content of an element with a secret name (with all that is in it), the value of an
attribute with a secret name, what an input, a meta element or a property named as a secret holds, and what stands
beside an element that is a secret name: in ``<key>password</key><value>…</value>``, in a row of two cells, in a list of
terms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from proxy.compare.html_tokens import unescape
from proxy.compare.secret_names import (
    HINTING,
    HOLDING,
    IN_PLISTS,
    LABEL,
    LABELLING,
    NAMING,
    Secret,
    Span,
    held,
    is_caller,
)

_MARK = re.compile(r"<(?:!--|!\[CDATA\[|(/?)([A-Za-z_][\w.:-]*))")
_INSIDE = re.compile(
    r"""(/?>|<)|([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)("?)|'([^']*)('?)|([^\s"'<>]+)))?|["'/=]|\s+""", re.DOTALL
)
_CLOSES = re.compile(r"</([A-Za-z_][\w.:-]*)")
_EMPTY = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_PARTS_OF_PAGES = frozenset({"form", "fieldset", "a", "iframe", "object", "label", "slot", "div", "section", "html"})
"""What has a name or key but is no field: its content speaks for itself."""

_WITHIN = re.compile(r"(?:\s{0,80}<[A-Za-z_][^<>]{0,200}>){1,8}")
"""Elements that begin at once in another one."""

_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_CELLS = frozenset({"td", "th"})
_TERMS = frozenset({"dt", "dd"})
_ENDS = {"td": _CELLS, "th": _CELLS, "tr": _CELLS | {"tr"}, "dt": _TERMS, "dd": _TERMS}
"""Elements whose end tags may be left out before others."""

_LOOKED_UP = 64
"""Open elements that an end tag is compared with."""

_LONGEST = 400
"""Characters of a name, as it is written."""

_WAITING = 8
"""Values before a name that it may be the name of."""

Attribute = tuple[str, Span, bool]
"""Name in lower case, where its value stands, whether the value ends."""


class _Open:
    """An element that is open, with what is known of what stands beside one another in it. ``said``: what the last name
    says, by the kind of the element that it stood in; ``waiting``: values with no name before them, by the kinds that
    may name them; ``heading``: the first cell of a row and what it says, ``cells``: the next two of its cells."""

    __slots__ = ("at", "cells", "heading", "name", "said", "tag", "waiting")

    def __init__(self, name: str, tag: str, at: int) -> None:
        self.name = name
        self.tag = tag
        self.at = at
        self.said: Mapping[str, Secret] = _NOTHING
        self.waiting: tuple[tuple[tuple[str, ...], int, int], ...] = ()
        self.heading: tuple[str, Secret] | None = None
        self.cells: tuple[tuple[str, int, int], ...] = ()


_NOTHING: Mapping[str, Secret] = {}


class Markup:
    """One reading. ``named`` gets the spans of secrets, ``revealed`` of what the configuration shows. ``judge`` says of
    a name whether it is secret, ``holds_secret`` of a text whether it holds a secret by its shape."""

    def __init__(self, text: str, judge: Callable[[str], Secret], holds_secret: Callable[[str], bool]) -> None:
        self.named: list[Span] = []
        self.revealed: list[Span] = []
        self._text = text
        self._judge = judge
        self._holds_secret = holds_secret
        self._open = [_Open("", "", 0)]
        self._closes = {match[1].lower(): match.start() for match in _CLOSES.finditer(text)}  # the last of each name
        self._read()

    def _read(self) -> None:
        text = self._text
        hiding, depth, hidden_from = "", 0, 0  # the element that hides all that is in it; its namesakes in it
        at = 0
        while (mark := _MARK.search(text, at)) is not None:
            at = mark.end()
            written = (mark[2] or "").rpartition(":")[2]
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
                elif not hiding:
                    self._end(written.lower(), mark.start())
                continue
            attributes, at, end = _attributes(text, at)
            opens = end == ">" and name not in _EMPTY
            if hiding:
                depth += opens and name == hiding
            elif self._element(name, attributes, at, opens=opens):
                hiding, depth, hidden_from = name, 1, at
            elif opens:
                if name in _ENDS:
                    while self._open[-1].tag in _ENDS[name]:
                        self._close(mark.start())
                self._open.append(_Open(written, written.lower(), at))
        if hiding:
            self._hide(hidden_from, len(text))
        while len(self._open) > 1:
            self._close(len(text))

    def _end(self, name: str, at: int) -> None:
        """An end tag that begins ``at``; one of nothing that is open ends nothing."""
        for up in range(1, min(len(self._open), _LOOKED_UP + 1)):
            if self._open[-up].tag == name:
                for _ in range(up):
                    self._close(at)
                break

    def _close(self, end: int) -> None:
        """The innermost element ends: look at it beside those before it."""
        inner = self._open.pop()
        tag, at, beside = inner.tag, inner.at, self._open[-1]
        if tag in _CELLS:
            self._cell(beside, tag, at, end)
        elif tag == "tr":
            if inner.heading is not None and len(inner.cells) == 1:
                self._told(inner.heading[1], *inner.cells[0])
        elif tag == "dt" or is_caller(inner.name):
            kind = tag if tag in ("dt", "key") else ""
            said = self._name(at, end, label=tag == "dt")
            beside.said = {**beside.said, kind: said}
            for kinds, start, stop in beside.waiting:
                if said and kind in kinds:
                    self._hide(start, stop)
            beside.waiting = ()
        elif tag == "dd" or (how := held(inner.name)) is not None:
            kinds = ("dt",) if tag == "dd" else ("key",) if how is IN_PLISTS else ("", "key")
            told = [beside.said[kind] for kind in kinds if kind in beside.said]
            if any(told):
                self._hide(at, end)
            elif None in told:
                self.revealed.append((at, end))
            elif not told and len(beside.waiting) < _WAITING:
                beside.waiting += ((kinds, at, end),)

    def _cell(self, row: _Open, tag: str, start: int, end: int) -> None:
        """A cell ends: behind a heading stand values; what stands behind another one is known with the row's end."""
        if row.heading is None:
            row.heading = tag, self._name(start, end, label=True)
        elif row.heading[0] == "th":
            self._told(row.heading[1], tag, start, end)
        elif len(row.cells) < 2:
            row.cells += ((tag, start, end),)

    def _told(self, said: Secret, tag: str, start: int, end: int) -> None:
        """What the heading says of a cell."""
        if said and tag == "td":
            self._hide(start, end)
        elif said is None:
            self.revealed.append((start, end))

    def _name(self, start: int, end: int, *, label: bool = False) -> Secret:
        """What the content of an element says as a name; as a ``label`` it may also be a sentence, which is none."""
        text = self._text[start:end] if end - start <= _LONGEST else ""
        data = _CDATA.fullmatch(text)
        text = (data[1] if data else unescape(_TAG.sub("", text))).strip(" \t\r\n:")
        return self._judge(text) if text and (not label or LABEL.fullmatch(text)) else False

    def _element(self, name: str, attributes: list[Attribute], at: int, *, opens: bool) -> bool:
        """Judge one tag that ends at ``at``; True if all that is in the element is secret."""
        secret = self._judge(name.rpartition(":")[2])
        labelled, called = self._called_secret(attributes)
        if called and name not in _PARTS_OF_PAGES:
            secret = True
        elif labelled and opens and secret is False and name not in _PARTS_OF_PAGES:
            self._hide(at, _before(self._text, "<", at))
        if not opens or secret is False:
            return False
        if self._closes.get(name, -1) >= at:
            if secret is None:
                self.revealed.append((at, _before(self._text, "<", at)))
            return bool(secret)
        if secret:  # it never ends: an example in prose ("<token>"), or the text was cut
            within = _WITHIN.match(self._text, at)
            at = at if within is None else within.end()
            end = _before(self._text, "<", at)
            self._hide(at, _before(self._text, "\n", at, end))
        return False

    def _called_secret(self, attributes: list[Attribute]) -> tuple[bool, bool]:
        """Judge the attributes of one tag: whether one says that the text of the element is secret, and whether a name
        or key says so of all that is in it."""
        field: Secret = False
        labelled = called = False
        for name, (start, end), _ in attributes:
            if name in LABELLING or name in HINTING:
                said = self._judge(unescape(self._text[start:end], attribute=True))
                field = field or said
                labelled = labelled or (said is True and name in LABELLING)
                called = called or (said is True and name in NAMING)
            elif name == "type":
                field = field or self._text[start:end].lower() == "password"
        for name, (start, end), ends in attributes:
            said = self._judge(name)
            if name in HOLDING:
                said = said or field
            value = self._text[start:end]
            if said or (said is False and "&" in value and self._holds_secret(unescape(value, attribute=True))):
                self._hide(start, end)
            elif said is None and ends:
                self.revealed.append((start, end))
        return labelled, called

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
